"""Products and devices as the console's user makes them: what each protocol asks for, and what must be unique."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

from tools.ctwing import store as db
from tools.ctwing.checks import (
    ENCRYPTIONS,
    ENDPOINTS,
    POWER_MODES,
    PROTOCOLS,
    AepError,
    Unknown,
    among,
    format_of,
    psk_of,
)
from tools.ctwing.draws import Draws
from tools.ctwing.store import Device, Product, Store

NUMBER = re.compile("[0-9A-Za-z_-]{1,64}")  # 设备编号; its length on AEP is unknown
TOKEN = re.compile("[!-~]{1,128}")  # 特征串; 43 characters where the platform draws it (ctwing.md §3.1)


class Catalog:
    """Raises AepError, before anything has changed, for what cannot be."""

    def __init__(self, loop: asyncio.AbstractEventLoop, store: Store, seed: int) -> None:
        self.loop, self.store, self.draws = loop, store, Draws(seed)

    def cancelled(self, device: Device, *, key_stays: bool) -> None:
        """The device's id is given up: its session and whatever waits for it end."""
        raise NotImplementedError

    def create_product(
        self,
        name: str,
        *,
        protocol: str = "lwm2m",
        endpoint_format: str = "imei",
        power_mode: str = "PSM",
        auto_observe: bool = True,
        transparent: bool = True,
        encryption: str = "plain",
        payload_format: str | None = None,
        services: Sequence[dict[str, Any]] = (),
    ) -> int:
        """Returns the product id. Endpoint format, power mode, auto-observe and encryption are LwM2M's alone. The
        payload format and the `services` are those of a thing model; format None: the one the protocol has."""
        if not name.strip():
            raise AepError("a product needs a name")
        among("protocol", protocol, PROTOCOLS)
        among("endpoint format", endpoint_format, ENDPOINTS)
        among("power mode", power_mode, POWER_MODES)
        among("encryption", encryption, ENCRYPTIONS)
        if protocol != "lwm2m" and encryption != "plain":
            raise AepError(f"encryption {encryption} is LwM2M's; MQTT has TLS on its second port")
        if transparent and services:
            raise AepError("a transparent product has no services: the platform does not look inside its payloads")
        payload_format = format_of(protocol, transparent, payload_format)
        number = self.draws.product_id()
        while self.store.product(number) is not None:
            number = self.draws.product_id()
        self.store.add_product(Product(number, name, protocol, endpoint_format, power_mode, auto_observe, transparent,
                                       self.loop.time(), encryption, payload_format, json.dumps(list(services))))
        return number

    def create_device(
        self, product: int, *, name: str, imei: str = "", imsi: str = "", psk: str = "", psk_hex: str = "",
        number: str = "", token: str = "",
    ) -> str:
        """Returns the device id. LwM2M: an IMEI is unique over the whole platform, and a device that has it already is
        cancelled where it was (ctwing.md §2.1); where the product asks for DTLS, the key is given as text or in hex, or
        drawn. MQTT and TCP: the id is the product's with the device's `number` after it; the `token` (特征串) is given
        or drawn."""
        kind = self.store.product(product)
        if kind is None:
            raise Unknown(f"there is no product {product}")
        if not name.strip():
            raise AepError("a device needs a name")
        if kind.protocol != "lwm2m":
            if imei or imsi or psk or psk_hex:
                raise AepError(f"a device of {kind.protocol} has a number and a token, no IMEI, IMSI or PSK")
            return self._numbered(kind, name, number, token)
        if number or token:
            raise AepError("a device of lwm2m has an IMEI, no number and no token")
        return self._with_imei(kind, name, imei, imsi, psk_of(psk, psk_hex))

    def _numbered(self, kind: Product, name: str, number: str, token: str) -> str:
        if not NUMBER.fullmatch(number):
            raise AepError(f"device number {number!r} is not 1 to 64 letters, digits, _ or -")
        if token and not TOKEN.fullmatch(token):
            raise AepError("a token is 1 to 128 visible ASCII characters")
        identity = f"{kind.id}{number}"
        if self.store.device(identity) is not None:
            raise AepError(f"product {kind.id} has a device {number} already")
        self.store.add_device(Device(identity, kind.id, name, "", "", identity, db.REGISTERED, self.loop.time(), None,
                                     False, "", number, token or self.draws.token_of_device()))
        return identity

    def _with_imei(self, kind: Product, name: str, imei: str, imsi: str, key: str) -> str:
        if not re.fullmatch("[0-9A-Za-z]{8,17}", imei):
            raise AepError(f"IMEI {imei!r} is not 8 to 17 digits")
        if not re.fullmatch("[0-9]{0,15}", imsi):
            raise AepError(f"IMSI {imsi!r} is not up to 15 digits")
        if "{imsi}" in ENDPOINTS[kind.endpoint_format] and not imsi:
            raise AepError(f"endpoint format {kind.endpoint_format} of this product needs the device's IMSI")
        if key and kind.encryption == "plain":
            raise AepError("a PSK needs a product with encryption dtls")
        if not key and kind.encryption == "dtls":
            key = self.draws.psk().encode().hex()
        former = self.store.device_by("imei", imei)
        if former is not None:
            self.cancelled(former, key_stays=former.psk == key)
        identity = self.draws.device_id()
        while self.store.device(identity) is not None:
            identity = self.draws.device_id()
        endpoint = ENDPOINTS[kind.endpoint_format].format(imei=imei, imsi=imsi)
        self.store.add_device(Device(identity, kind.id, name, imei, imsi, endpoint, db.REGISTERED, self.loop.time(),
                                     None, False, key))
        return identity

    def device(self, device: str) -> Device:
        """The device with its life cycle and whether it is on-line; raises AepError where there is none."""
        found = self.store.device(device)
        if found is None:
            raise Unknown(f"there is no device {device}")
        return found

    def product_of(self, device: Device) -> Product:
        product = self.store.product(device.product)
        assert product is not None
        return product

    def devices(self) -> list[Device]:
        """Devices in use, oldest first."""
        return self.store.devices()

    def recreate(self, device: str) -> str:
        """Deletes a device and adds it again under its product, as the guide's FAQ advises; returns its id, a new one
        for LwM2M. A device of MQTT or TCP keeps its id and is given another token."""
        former = self.device(device)
        if not former.number:
            return self.create_device(former.product, name=former.name, imei=former.imei, imsi=former.imsi,
                                      psk_hex=former.psk)
        self.cancelled(former, key_stays=False)
        self.store.renew_device(former.id, self.draws.token_of_device(), self.loop.time())
        return former.id
