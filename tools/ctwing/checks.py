"""What the platform's users may ask for: products, commands and requests, checked before anything changes."""

import json
import re
from collections.abc import Collection

from tools.ctwing.tlv import TEXT, TLV
from tools.ctwing.transfer import METHODS, OPAQUE

PROTOCOLS = ("lwm2m", "mqtt", "tcp")
FORMATS = {"lwm2m": ("json", "binary"), "mqtt": ("json",), "tcp": ("binary",)}
"""What a thing model's payloads may be, the usual one first: JSON for MQTT, compact binary for TCP (ctwing.md §3.3,
§4.1)."""
ENDPOINTS = {  # ctwing.md §1.4
    "imei": "{imei}",
    "urn:imei": "urn:imei:{imei}",
    "urn:imei-imsi": "urn:imei-imsi:{imei}-{imsi}",
}
BROKERS = ("own", "mosquitto")
"""What is behind the MQTT front: nothing but that, or a process that is started with it."""
POWER_MODES = ("PSM", "DRX", "eDRX")
ENCRYPTIONS = ("plain", "dtls")
PSK_LIMIT = 64  # bytes that everybody takes (RFC 4279 §5.3)
DATA_TYPES = ("string", "hex", "json")
TTL_LIMIT = 864_000  # seconds, ctwing.md §6.2
PATH = re.compile(r"(/\d{1,5}){1,4}")  # object, instance, resource, resource instance
QUERY = re.compile(r"[!-~]{0,200}")
REQUESTS = (*METHODS, "cancel-by-reset")
WITH_PAYLOAD = ("write", "write-partial", "create", "execute")
LEVELS = {
    "execute": (3,), "write-partial": (2,), "create": (1,), "delete": (2,), "write": (2, 3), "discover": (1, 2, 3),
}
"""How many parts the path of a request has, where it is not any number (LwM2M 1.0 §5.4)."""
REQUEST_LIMIT = 65536  # bytes of a block-wise write; an estimate of what no device takes
ADVISED_SIZE, SIZE_LIMIT = 512, 1024  # bytes of a command, ctwing.md §2.5


class AepError(ValueError):
    """The platform refuses what its user asks for; nothing has changed. The text says what to do."""


class Unknown(AepError):
    """There is no such device or product."""


def among(name: str, value: str, choices: Collection[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise AepError(f"{name} {value!r} is unknown; it is one of {', '.join(choices)}")


def format_of(protocol: str, transparent: bool, wanted: str | None) -> str:
    """The payload format of a product. MQTT's is JSON even where the product is transparent (guide §4.2.1)."""
    choices = FORMATS[protocol]
    if wanted is None or (transparent and protocol == "tcp"):
        return choices[0]
    among("payload format", wanted, choices)
    return wanted


def psk_of(text: str, digits: str) -> str:
    """A device's key in hex, given as text or as hex digits; "" where none is given (ctwing.md §1.5, §2.7)."""
    if not isinstance(text, str) or not isinstance(digits, str):
        raise AepError("a PSK is text")
    if text and digits:
        raise AepError("a PSK is given as text or as hex, not as both")
    if not re.fullmatch(r"([0-9A-Fa-f]{2})*", digits):
        raise AepError("a PSK in hex is an even number of hex digits")
    key = text.encode().hex() if text else digits.lower()
    if len(key) > 2 * PSK_LIMIT:
        raise AepError(f"the PSK has {len(key) // 2} bytes; {PSK_LIMIT} is the most")
    return key


def content_of(content: object, data_type: str) -> bytes:
    """The bytes that go down. A hex command is given as digits (or as the bytes themselves), JSON as its text."""
    among("data type", data_type, DATA_TYPES)
    if not isinstance(content, str | bytes):
        raise AepError(f"the content is text or bytes, not {type(content).__name__}")
    if data_type == "hex" and isinstance(content, str):
        digits = re.sub(r"\s", "", content)
        if len(digits) % 2 or not re.fullmatch("[0-9A-Fa-f]*", digits):
            raise AepError(f"hex content needs an even number of hex digits: {content[:40]!r}")
        raw = bytes.fromhex(digits)
    else:
        raw = content.encode() if isinstance(content, str) else content
    if data_type == "json":
        try:
            json.loads(raw, parse_constant=no_constant)
        except (ValueError, RecursionError) as error:
            raise AepError(f"the content is not JSON: {error}") from None
    if not raw:
        raise AepError("the command has no content")
    if len(raw) > SIZE_LIMIT:
        raise AepError(f"the command has {len(raw)} bytes; {SIZE_LIMIT} is the most a device takes")
    return raw


def no_constant(name: str) -> None:
    """For json's parse_constant."""
    raise ValueError(f"{name} is no JSON")  # Python reads NaN, others do not


def whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def checked(
    kind: str, path: str, payload: str | bytes, content_format: int | None, query: str
) -> tuple[bytes, int | None]:
    """The bytes of a request and their content format: text goes as text, bytes as opaque, or as TLV where they are for
    more than one resource. Raises AepError."""
    among("request", kind, REQUESTS)
    parts = path.count("/") if isinstance(path, str) and PATH.fullmatch(path) else 0
    if not parts or parts not in LEVELS.get(kind, range(1, 5)):
        raise AepError(f"the path {path!r} does not fit {kind}; paths are like /3, /3/0 or /3/0/9")
    if not isinstance(payload, str | bytes):
        raise AepError(f"the payload is text or bytes, not {type(payload).__name__}")
    raw = payload.encode() if isinstance(payload, str) else payload
    if raw and kind not in WITH_PAYLOAD:
        raise AepError(f"{kind} takes no payload")
    if len(raw) > REQUEST_LIMIT:
        raise AepError(f"the payload has {len(raw)} bytes; {REQUEST_LIMIT} is the most")
    if not isinstance(query, str) or not QUERY.fullmatch(query) or bool(query) != (kind == "write-attributes"):
        raise AepError("a query such as pmin=10&pmax=60 goes with write-attributes, and only there")
    if content_format is None and raw:
        content_format = TEXT if isinstance(payload, str) else int(OPAQUE) if parts > 2 else TLV
    return raw, content_format
