"""The local AEP as its console sees it: products, devices, commands, what came up; and the fronts devices speak to.

It plays the platform as ctwing.md documents it, on any asyncio loop: real time, or the world's virtual clock.
"""

import asyncio
from functools import cached_property
from pathlib import Path
from typing import Any

from tools.ctwing import store as db
from tools.ctwing import things
from tools.ctwing.catalog import Catalog
from tools.ctwing.checks import ADVISED_SIZE, BROKERS, TTL_LIMIT, AepError, among, checked, content_of, whole
from tools.ctwing.dtls import DtlsFront, Keys, engine_named
from tools.ctwing.faults import NOW, BadSwitch, Switch, switch_named
from tools.ctwing.lwm2m import Lwm2mFront
from tools.ctwing.mqtt import MqttFront
from tools.ctwing.mqtt_relay import RelayFront
from tools.ctwing.session import Session
from tools.ctwing.store import Command, Device, Notification, Registration, Request, Store, TraceRow, Uplink
from tools.ctwing.streams import Front, Link
from tools.ctwing.tcp import TcpFront
from tools.ctwing.tls import Authority
from tools.world.events import Events


class Aep(Catalog):
    """The platform. `token_length` is that of observation tokens, 1…8; None draws it for each registration.
    `connection_id` is the length of DTLS connection ids; with 0 none is agreed on, and Mbed TLS is the server
    unless it `resumes` sessions. `tcp_any_frame`: any frame of a TCP device counts as its heartbeat (whether it
    does on AEP is unknown). `mqtt_wrapped`: transparent MQTT commands go with their taskId around them, not bare (which
    of them AEP does is unknown). `broker`: "mosquitto" puts one behind the MQTT front (mqtt_relay.py)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        events: Events,
        *,
        store: Store | None = None,
        seed: int = 1,
        token_length: int | None = 4,
        connection_id: int = 0,
        resumes: bool = False,
        tcp_any_frame: bool = False,
        mqtt_wrapped: bool = False,
        broker: str = "own",
        ca_file: Path | None = None,
    ) -> None:
        if token_length is not None and token_length not in range(1, 9):
            raise AepError(f"token_length {token_length} is not 1…8 (RFC 7252 §3; an empty one tells nothing apart)")
        among("broker", broker, BROKERS)
        super().__init__(loop, store if store is not None else Store(), seed)
        self.events, self.ca_file = events, ca_file
        self.front = Lwm2mFront(loop, events, self.store, self.draws, token_length)
        self.log = self.front.log
        self.tcp = TcpFront(loop, events, self.store, self.front.faults, any_frame=tcp_any_frame)
        mqtt_front = RelayFront if broker == "mosquitto" else MqttFront
        self.mqtt = mqtt_front(loop, events, self.store, self.front.faults, wrapped=mqtt_wrapped)
        self.fronts: dict[str, Front] = {"lwm2m": self.front, "tcp": self.tcp, "mqtt": self.mqtt}
        keys = Keys(self.store, self.front.faults, events)
        wanted = "own" if connection_id or resumes else "mbedtls"
        found, engine = engine_named(wanted, keys, seed, connection_id)
        self._stands_in = found != wanted
        self.dtls = DtlsFront(engine, keys, self.front, events, self.store)
        self.store.forget_sessions(loop.time(), "platform started")
        self._expiries: dict[int, asyncio.TimerHandle] = {}
        for command in self.store.commands(status=db.SAVED):
            self._expire_later(command)

    def cancelled(self, device: Device, *, key_stays: bool) -> None:
        self._front_of(device).end(device.id, "cancelled")
        self.store.set_life_cycle(device.id, db.CANCELLED, self.loop.time())
        for command in self.store.commands(device.id, db.SAVED):
            self.log.finish(command.id, db.FAILED, "device cancelled")
        for request in self.store.requests(device.id, db.SAVED):
            self.store.end_request(request.id, db.FAILED, self.loop.time(), "device cancelled")
        if not key_stays and device.imei:  # whoever has the old key only may not go on
            self.dtls.forget(device, say=False)

    def session(self, device: str) -> Session | Link | None:
        """The living registration or connection of a device."""
        return self._front_of(self.device(device)).session(device)

    def uplinks(self, device: str) -> list[Uplink]:
        """What came up on /19/0/0, oldest first."""
        return self.store.uplinks(self.device(device).id)

    def decoded(self, uplink: Uplink) -> dict[str, Any] | None:
        """What an uplink says by its product's services: the fields with `serviceId`, and an answer's `taskId`;
        {"error": why} where it does not match; None where nothing is declared."""
        product = self.product_of(self.device(uplink.device))
        return things.decoded(product, uplink.payload, uplink.topic or uplink.service)

    def all_uplinks(self, device: str) -> list[Uplink]:
        """Those of the device, and before them those of the devices that had its IMEI and were cancelled."""
        target = self.device(device)
        known = [one for one in self.store.devices(cancelled=True) if target.imei and one.imei == target.imei]
        return [uplink for one in known or [target] for uplink in self.store.uplinks(one.id)]

    def commands(self, device: str) -> list[Command]:
        """The command log, oldest first."""
        return self.store.commands(self.device(device).id)

    def registrations(self, device: str) -> list[Registration]:
        """Registrations with their ends, oldest first."""
        return self.store.registrations(self.device(device).id)

    def trace(self, device: str | None = None) -> list[TraceRow]:
        """Every datagram, byte by byte, or those of one device."""
        return self.store.trace(device)

    # commands

    def command(
        self, device: str, content: str | bytes | dict[str, Any], *, data_type: str = "string", ttl: int = 7200
    ) -> int:
        """Gives a command; returns its id. `ttl` is how long it may wait, in seconds; 0 sends it now or never. One of a
        thing model is {"serviceIdentifier" or "serviceId": …, "params": {…}}, or that as JSON."""
        target = self._in_use(device)
        if not whole(ttl, 0, TTL_LIMIT):
            raise AepError(f"ttl {ttl!r} is not 0…{TTL_LIMIT} s")
        product = self.product_of(target)
        service, raw = things.command(product, content) or (0, content_of(content, data_type))
        if service:
            data_type = "json" if product.payload_format == "json" else "hex"
        number = self.store.add_command(device, raw, data_type, ttl, self.loop.time(), service)
        command = self.store.command(number)
        assert command is not None
        advice = f" (over {ADVISED_SIZE}: not every device takes it)" if len(raw) > ADVISED_SIZE else ""
        self.events.emit("aep", "command-saved", f"command {number}: {len(raw)} bytes{advice}, ttl {ttl} s",
                         device=device, command=number, content=raw)
        front = self.fronts[product.protocol]
        session = front.session(device)
        if ttl:
            self._expire_later(command)
        if session is not None and (ttl == 0 or session.power_mode == "DRX"):
            front.wake(device, flush=session.power_mode == "DRX")
        elif ttl == 0:
            self.log.finish(number, db.FAILED, "off-line, and ttl 0 is not cached")
        return number

    def _front_of(self, device: Device) -> Front:
        return self.fronts[self.product_of(device).protocol]

    def _in_use(self, device: str) -> Device:
        target = self.device(device)
        if target.life_cycle == db.CANCELLED:
            raise AepError(f"device {device} has been cancelled: its IMEI was given to another product")
        return target

    def _expire_later(self, command: Command) -> None:
        self._expiries[command.id] = self.loop.call_at(command.expires, self._expire, command.id)

    def _expire(self, number: int) -> None:
        """The ttl is over: a command still in the cache never goes, nor one that a broker holds for a device that is
        off-line; one under way may still be answered."""
        self._expiries.pop(number, None)
        command = self.store.command(number)
        held = command is not None and command.status == db.SENT and self.session(command.device) is None
        if command is not None and (command.status == db.SAVED or held):
            self.log.finish(command.id, db.EXPIRED, "ttl over")

    # device management

    def ask(
        self, device: str, kind: str, path: str, payload: str | bytes = b"", *, content_format: int | None = None,
        query: str = "", accept: int | None = None, ttl: int = 86_400,
    ) -> int:
        """A request of device management (LwM2M 1.0 §5.4): a kind of REQUESTS on a path like "/3/0/9"; returns its id.
        It waits, like a command, until the device can be reached, `ttl` seconds at most; its answer is then in
        `requests`. Raises AepError."""
        target = self._in_use(device)
        if target.number:
            raise AepError("device management is LwM2M's")
        raw, content_format = checked(kind, path, payload, content_format, query)
        for name, value in (("content format", content_format), ("accept", accept)):
            if value is not None and not whole(value, 0, 65535):
                raise AepError(f"{name} {value!r} is not 0…65535")
        if not whole(ttl, 1, TTL_LIMIT):
            raise AepError(f"ttl {ttl!r} is not 1…{TTL_LIMIT} s")
        number = self.store.add_request(device, kind, path, raw, self.loop.time(), format=content_format, query=query,
                                        accept=accept, ttl=ttl)
        self.events.emit("aep", "request-saved", f"{kind} {path} waits", device=device, request=number)
        session = self.front.session(target.id)
        if session is not None and session.power_mode == "DRX":
            self.front.wake(device, flush=True)
        return number

    def requests(self, device: str) -> list[Request]:
        """Device management requests with their answers, oldest first."""
        return self.store.requests(self.device(device).id)

    def notifications(self, device: str) -> list[Notification]:
        """What came up on observed paths other than /19/0/0, oldest first."""
        return self.store.notifications(self.device(device).id)

    # fault switches

    def fault(self, name: str, device: str | None = None, *, strikes: int | None = None, value: object = None) -> None:
        """Switches a fault on (tools/ctwing/faults.py), for one device or all, for so many strikes or until `heal`; one
        that strikes at once does so here. Raises AepError."""
        if device is not None:
            self.device(device)
        try:
            switch = switch_named(name)
            value = self.front.faults.set(name, device, strikes=strikes, value=value).value
        except BadSwitch as error:
            raise AepError(str(error)) from None
        if switch.when == NOW:
            self._strike(switch, device, value)

    def heal(self, name: str, device: str | None = None) -> bool:
        """Switches a fault off, or lifts a ban, by count too; whether it was on."""
        if name == "ban":
            return self.tcp.lift(device)
        try:
            return self.front.faults.clear(name, device)
        except BadSwitch as error:
            raise AepError(str(error)) from None

    def _strike(self, switch: Switch, device: str | None, value: Any) -> None:
        self.front.faults.struck(switch, device)
        if switch.name == "ban":
            for banned in [device] if device is not None else [known.id for known in self.store.devices()]:
                self.tcp.ban(banned, value)
            return
        if switch.name in ("forget-dtls", "end-dtls"):
            for one in self.store.devices():
                if device in (None, one.id):
                    self.dtls.forget(one, say=switch.name == "end-dtls")
            return
        if switch.name == "restart":
            device = None
            self.front.forget_messages()
            self.dtls.restart()
        for struck in [device] if device is not None else [known.id for known in self.store.devices()]:
            if switch.name == "forget-observation":
                self.front.forget(struck)
            else:
                reason = "platform restarted" if switch.name == "restart" else "forgotten on purpose"
                self._front_of(self.device(struck)).end(struck, reason)

    # service

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Opens the LwM2M front; returns the address it listens on."""
        transport, _ = await self.loop.create_datagram_endpoint(lambda: self.front, local_addr=(host, port))
        name = transport.get_extra_info("sockname")
        return name[0], name[1]

    async def start_dtls(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Opens the DTLS front; returns the address it listens on."""
        if self._stands_in:
            self.events.emit("aep", "dtls-engine", "by our own server: python-mbedtls is not there for this Python")
        transport, _ = await self.loop.create_datagram_endpoint(lambda: self.dtls, local_addr=(host, port))
        name = transport.get_extra_info("sockname")
        return name[0], name[1]

    async def start_tcp(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Opens the TCP front; returns the address it listens on."""
        return await self.tcp.serve("TCP", host, port)

    async def start_mqtt(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Opens the MQTT front; returns the address it listens on."""
        return await self.mqtt.serve("MQTT", host, port)

    async def start_mqtts(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Opens the MQTT front over TLS; returns the address it listens on. Who trusts `ca_pem` finds it to be `host`,
        or the platform's own name."""
        return await self.mqtt.serve("MQTTS", host, port, self.authority.context([host]))

    @cached_property
    def authority(self) -> Authority:
        return Authority(self.loop.time(), self.ca_file)

    @property
    def ca_pem(self) -> str:
        """The CA of MQTTS, as a device is given it."""
        return self.authority.ca_pem

    def stop(self) -> None:
        """Closes the fronts and forgets every session, as a platform that goes down; the store can still be read."""
        for device in self.store.devices():
            self._front_of(device).end(device.id, "platform stopped")
        for timer in self._expiries.values():
            timer.cancel()
        self._expiries.clear()
        self.dtls.close()
        for front in self.fronts.values():
            front.close()
