"""One registration of a device, and what its Register and Update may say: pure data and parsing.

The rules are ctwing.md §2.1's; what the platform then does is lwm2m.py's.
"""

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field

from aiocoap import Message
from aiocoap.numbers.codes import Code

from tools.ctwing.exchange import Address, Exchange, is_secure
from tools.ctwing.store import Device
from tools.ctwing.transfer import Step, Transfer

LIFETIME = range(300, 86400 + 1)  # seconds, ctwing.md §2.1; the bound really enforced is unknown (§10)
LONG_LIFETIME = range(300, 30 * 86400 + 1)  # as one of China Telecom's own SDKs has it, ctwing.md §2.1
VERSION = "1.0"
BINDINGS = ("U", "UQ", "S", "SQ", "US", "UQS")  # LwM2M 1.0 §5.3.1.1; AEP uses the first two
KNOWN = ("ep", "lt", "lwm2m", "b")
ENDPOINT = re.compile(r"[A-Za-z0-9:+._-]{1,128}")
_OBJECTS = re.compile(r"<\s*/?(\d+(?:/\d+)?)/?\s*>")  # lenient: a load tool sends <3/0> without the slash, §2.1


@dataclass(eq=False)
class Session:
    """One registration while it lives. `kept` is how long the platform keeps it, `lifetime` what it says; `flushing`:
    what is cached may go now; `busy`: the requests under way, one but for a fault switch; `resets`: paths whose next
    notification gets a RST, as a user asked."""

    device: Device
    power_mode: str
    registration: int
    address: Address
    lifetime: int
    binding: str
    token_length: int
    plan: deque[Step | Transfer]
    observed: dict[bytes, str] = field(default_factory=dict)
    flushing: bool = False
    kept: int = 0
    resets: set[str] = field(default_factory=set)
    busy: list[Exchange] = field(default_factory=list)
    next: asyncio.TimerHandle | None = None
    expiry: asyncio.TimerHandle | None = None


class Refused(Exception):
    """A registration or update is answered with an error code; the text says what to check."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


def peer_name(address: Address) -> str:
    return f"{address[0]}:{address[1]}" + " by DTLS" * is_secure(address)


def parameters(request: Message) -> dict[str, str]:
    """The query items the platform knows; what else modules send is ignored (ctwing.md §2.1), twice is an error."""
    found: dict[str, str] = {}
    for item in request.opt.uri_query:
        name, _, value = item.partition("=")
        if name not in KNOWN:
            continue
        if name in found:
            raise Refused(Code.BAD_REQUEST, f"query item {name!r} is given twice")
        found[name] = value
    return found


def lifetime_of(query: dict[str, str], allowed: range = LIFETIME) -> int:
    text = query.get("lt", "")
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) not in allowed:
        raise Refused(Code.BAD_REQUEST, f"lt={text[:20]!r} is not {allowed[0]}…{allowed[-1]} s")
    return int(text)


def binding_of(query: dict[str, str], default: str) -> str:
    binding = query.get("b", default)
    if binding not in BINDINGS:
        raise Refused(Code.BAD_REQUEST, f"binding b={binding[:20]!r} is unknown")
    return binding


def objects_of(payload: bytes) -> str:
    """Objects and instances that a Register's link-format names, as "1/0,3/0,19/0"."""
    return ",".join(_OBJECTS.findall(payload.decode("utf-8", "replace")))
