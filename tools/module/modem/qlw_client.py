"""The modem's own LwM2M client as it is on the wire: CoAP by aiocoap's `Message`, retransmission of its own, objects 3,
4 and 5 answered by itself, what comes for other objects handed to the host (ctwing.md §1.6, §1.7, §2).

No source shows its inside. Numbers of states and results are those of Quectel's header for a sister silicon
(quecpython.md §3.13: the AT layer of EC800Z); what the host is not told by the guide's transcripts is inferred, and
said so where it is decided.
"""

import random
from asyncio import TimerHandle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from aiocoap import ACK, CON, NON, RST, Message
from aiocoap.numbers.codes import Code
from aiocoap.numbers.contentformat import ContentFormat

from tools.module.board import Board
from tools.module.modem import qlw_objects
from tools.module.modem.qlw_path import Plain
from tools.module.modem.usocket import DNS_MS
from tools.world.coap import EXCHANGE_LIFETIME, Malformed, decode

NONE, DNS_QUERY, HANDSHAKE, REGISTERING, READY, FAILED, DEREGISTERING, DEREGISTERED, REJECTED = (
    0, 5, 7, 11, 12, 13, 15, 16, 17)
"""What AT+QLWSTATUS? says: the header's states."""

OK, TIMED_OUT, RESET, NOT_REGISTERED = 0, 1, 9, -9
"""Results in URCs. -9 is the guide's for a registration that came to nothing (FAQ); 1 and 9 are the header's."""

LINK_FORMAT, OPAQUE = ContentFormat(40), ContentFormat(42)
HELD_S = 20.0
"""How long a request waits for the host's answer before the client forgets it: the guide says "at once"; the time is
inferred. The server's repeats meanwhile are not shown again, a later one is."""

CODES = {1: Code.CONTENT, 2: Code.CHANGED, 11: Code.BAD_REQUEST, 12: Code.UNAUTHORIZED, 13: Code.NOT_FOUND,
         14: Code.METHOD_NOT_ALLOWED, 15: Code.NOT_ACCEPTABLE}
"""Results that the host gives (ctwing.md §1.6)."""

Path = tuple[int, ...]


@dataclass
class Config:
    """AT+QLWCONFIG, and what AT+QLWCFG has of interest on the wire. `auto_write`: writes are answered by the client, as
    in the AEP group (tools/module/modem/ncdp.py)."""

    host: str = ""
    port: int = 5683
    endpoint: str = ""
    lifetime: int = 86400
    security: int = 3  # 0 PSK, 3 none
    psk_id: str = ""
    psk: str = ""  # hex
    ack_timeout_s: int = 2
    retries: int = 4
    auto_ack: bool = False
    auto_write: bool = False
    auto_update: bool = True
    binding: str = "U"


@dataclass(eq=False)
class Pending:
    """A message of ours that waits for its end. `done(response)`: None when it was given up, empty RST when reset."""

    raw: bytes
    done: Callable[[Message | None], None]
    left: int
    wait_s: float
    timer: TimerHandle | None = None


@dataclass
class Held:
    """A request of the server that the host is to answer."""

    kind: str  # observe, cancel, read, write, execute
    request: Message
    path: Path
    until: float = 0.0


@dataclass
class Told:
    """What the AT side does when something happens: one function each."""

    registered: Callable[[int], None]
    updated: Callable[[int, int], None]
    deregistered: Callable[[int], None]
    acknowledged: Callable[[int, int], None]
    asked: Callable[[Held], None]


@dataclass
class Registration:
    """What the server has agreed to; `tokens` by the path that it observes."""

    location: tuple[str, ...] = ()
    tokens: dict[Path, bytes] = field(default_factory=dict)
    sequence: int = 0


class Client:
    """One client, registered or not. Nothing outlives the power (guide §6.1: after deep sleep it registers anew)."""

    def __init__(self, board: Board, config: Config, told: Told) -> None:
        self.board, self.config, self.told = board, config, told
        self.rng = random.Random(board.rng.getrandbits(64))
        self.status = NONE
        self.now = Registration()
        self.custom: set[Path] = set()  # (object, instance, resource) that the host has added
        self._path: Plain | None = None
        self._mid = self.rng.getrandbits(16)
        self._pending: dict[int, Pending] = {}  # by MID
        self._by_token: dict[bytes, Pending] = {}
        self._answered: OrderedDict[int, tuple[float, bytes]] = OrderedDict()  # MID of a request -> (until, answer)
        self._held: dict[int, Held] = {}
        self._renewal: TimerHandle | None = None

    # -- what the host asks for ----------------------------------------------------------------------------------

    def register(self) -> None:
        """Name, DTLS, Register; ends in `told.registered`."""
        self._leave()
        self.status = DNS_QUERY
        delay = (self.board.radio.traffic("up") or 0.0) + self.rng.randint(*DNS_MS) / 1000
        literal = ":" in self.config.host or self.config.host.replace(".", "").isdigit()
        self.board.later(0.0 if literal else delay, self._resolved)

    def update(self, lifetime: int | None = None, binding: str = "") -> int:
        """Update with what changes; its MID."""
        message = Message(code=Code.POST, uri_path=self.now.location)
        query = [f"lt={lifetime}"] if lifetime is not None else []
        message.opt.uri_query = query + ([f"b={binding}"] if binding else [])
        mid = self._request(message, lambda answer: self._updated(mid, answer))
        return mid

    def deregister(self) -> None:
        self.status = DEREGISTERING
        self._request(Message(code=Code.DELETE, uri_path=self.now.location), self._deregistered)

    def notify(self, path: Path, payload: bytes, confirmed: bool, sent: Callable[[int], None]) -> None:
        """A report under the token of the Observe; `sent(mid)` is called as it goes to the stack. KeyError where
        nobody observes the path: a client without a token refuses (ctwing.md §2.3)."""
        token = self.now.tokens[path]
        self.now.sequence = self.now.sequence + 1 & 0xFFFFFF
        message = Message(code=Code.CONTENT, payload=payload, observe=self.now.sequence, content_format=OPAQUE)
        message.mtype, message.mid, message.token = CON if confirmed else NON, self._next_mid(), token
        sent(message.mid)
        if confirmed:
            self._await(message, partial(self._acknowledged, path, message.mid))
        else:
            self._send(message.encode())

    def answer(self, mid: int, kinds: tuple[str, ...], result: int, payload: bytes | None = None) -> None:
        """The host's answer to a request of one of `kinds`. KeyError where none waits under this MID."""
        held = self._held[mid]
        if held.kind not in kinds or held.until <= self.board.loop.time():
            raise KeyError(mid)
        del self._held[mid]
        response = Message(code=CODES[result])
        if payload is not None and response.code.is_successful():
            response.payload, response.opt.content_format = payload, OPAQUE
        if held.kind == "observe" and response.code.is_successful():
            self.now.tokens[held.path] = held.request.token
            response.opt.observe = 0
        elif held.kind == "cancel":
            self.now.tokens.pop(held.path, None)
        self._respond(held.request, response)

    def reset(self) -> None:
        """Forgets everything without a word to the server (AT+QLWRESET; inferred)."""
        self._leave()
        self.status = NONE

    # -- registering ---------------------------------------------------------------------------------------------

    def _resolved(self) -> None:
        if self.status != DNS_QUERY:
            return
        family = 0 if self.board.radio.ip and self.board.radio.ip6 else 10 if self.board.radio.ip6 else 2
        try:
            ip = self.board.network.resolve(self.config.host, family)[0]
            self._path = self._way((ip, self.config.port))
        except OSError:
            self._registered(None)
            return
        self.status = HANDSHAKE if self.config.security == 0 else REGISTERING
        self._path.start(self._reached)

    def _way(self, peer: tuple[str, int]) -> Plain:
        if self.config.security != 0:
            return Plain(self.board, peer, self._heard)
        try:
            from tools.module.modem.qlw_dtls import Secured
        except ImportError:  # python-mbedtls has no wheel for this Python
            self.board.events.emit("module", "qlw-dtls", "python-mbedtls is not there for this Python")
            raise OSError from None
        return Secured(self.board, peer, self._heard, self.config.psk_id, bytes.fromhex(self.config.psk))

    def _reached(self, good: bool) -> None:
        if not good:
            self._registered(None)
            return
        self.status = REGISTERING
        message = Message(code=Code.POST, uri_path=("rd",), content_format=LINK_FORMAT,
                          payload=qlw_objects.links(self.custom))
        message.opt.uri_query = ["lwm2m=1.0", f"ep={self.config.endpoint}", f"b={self.config.binding}",
                                 f"lt={self.config.lifetime}"]
        self._request(message, self._registered)

    def _registered(self, answer: Message | None) -> None:
        if answer is not None and answer.code == Code.CREATED:
            self.status, self.now.location = READY, answer.opt.location_path
            self._renew_later()
            self.told.registered(OK)
            return
        self._leave()
        self.status = FAILED if answer is None or answer.mtype is RST else REJECTED
        self.told.registered(NOT_REGISTERED)

    def _updated(self, mid: int, answer: Message | None) -> None:
        """An Update that is refused, or not answered, ends the registration (inferred)."""
        good = answer is not None and answer.code == Code.CHANGED
        if good:
            self._renew_later()
        else:
            self._leave()
            self.status = FAILED
        self.told.updated(OK if good else NOT_REGISTERED, mid)

    def _renew_later(self) -> None:
        """`lifetime_enable` 1: an Update by itself when nine tenths of the lifetime have gone (ctwing.md §2.8)."""
        if self._renewal is not None:
            self._renewal.cancel()
        self._renewal = None
        if self.config.auto_update:
            self._renewal = self.board.later(self.config.lifetime * 0.9, self.update)

    def _deregistered(self, answer: Message | None) -> None:
        """Without an answer the registration ends with its lifetime; here it has ended (inferred)."""
        self._leave()
        self.status = DEREGISTERED
        self.told.deregistered(OK if answer is not None else TIMED_OUT)

    def _leave(self) -> None:
        for pending in self._pending.values():
            if pending.timer is not None:
                pending.timer.cancel()
        if self._renewal is not None:
            self._renewal.cancel()
        self._pending.clear()
        self._by_token.clear()
        self._held.clear()
        self.now = Registration()
        if self._path is not None:
            self._path.close()
            self._path = None

    # -- our messages --------------------------------------------------------------------------------------------

    def _request(self, message: Message, done: Callable[[Message | None], None]) -> int:
        message.mtype, message.mid, message.token = CON, self._next_mid(), self.rng.randbytes(4)
        self._by_token[message.token] = self._await(message, done)
        return int(message.mid)

    def _await(self, message: Message, done: Callable[[Message | None], None]) -> Pending:
        wait = self.config.ack_timeout_s * self.rng.uniform(1.0, 1.5)  # RFC 7252 §4.2
        pending = self._pending[message.mid] = Pending(message.encode(), done, self.config.retries, wait)
        self._try(message.mid)
        return pending

    def _try(self, mid: int) -> None:
        pending = self._pending[mid]
        self._send(pending.raw)
        pending.timer = self.board.later(pending.wait_s, self._again, mid)

    def _again(self, mid: int) -> None:
        pending = self._pending[mid]
        if pending.left == 0:
            self._end(mid, None)
            return
        pending.left, pending.wait_s = pending.left - 1, pending.wait_s * 2
        self._try(mid)

    def _end(self, mid: int, answer: Message | None) -> None:
        pending = self._pending.pop(mid)
        if pending.timer is not None:
            pending.timer.cancel()
        self._by_token = {token: known for token, known in self._by_token.items() if known is not pending}
        pending.done(answer)

    def _acknowledged(self, path: Path, mid: int, answer: Message | None) -> None:
        """The end of a confirmed report. After a RST the observation is gone; after silence it stays (inferred)."""
        if answer is not None and answer.mtype is RST:
            self.now.tokens.pop(path, None)
        self.told.acknowledged(TIMED_OUT if answer is None else RESET if answer.mtype is RST else OK, mid)

    def _next_mid(self) -> int:
        self._mid = self._mid + 1 & 0xFFFF
        return self._mid

    def _send(self, raw: bytes) -> None:
        if self._path is not None:
            self._path.send(raw)

    # -- the server's messages -----------------------------------------------------------------------------------

    def _heard(self, raw: bytes) -> None:
        try:
            message = decode(raw)
        except Malformed:
            return
        if message.code.is_request() and message.mtype in (CON, NON):
            self._asked(message)
        elif message.mtype is RST or (message.mtype is ACK and message.code == Code.EMPTY):
            pending = self._pending.get(message.mid)
            if pending is not None and message.mtype is ACK and pending in self._by_token.values():
                if pending.timer is not None:  # the answer comes separately (RFC 7252 §5.2.2)
                    pending.timer.cancel()
                    pending.left, pending.timer = 0, self.board.later(EXCHANGE_LIFETIME, self._again, message.mid)
            elif pending is not None:
                self._end(message.mid, message)
        elif message.code.is_response():
            self._response(message)
        elif message.mtype is CON:  # an empty one is a ping (RFC 7252 §4.3)
            self._send(bytes([0x70, 0]) + message.mid.to_bytes(2, "big"))

    def _response(self, message: Message) -> None:
        pending = self._by_token.get(message.token)
        if message.mtype is CON:
            kind = 0x60 if pending is not None else 0x70
            self._send(bytes([kind, 0]) + message.mid.to_bytes(2, "big"))
        if pending is not None:
            self._end(next(mid for mid, known in self._pending.items() if known is pending), message)

    def _asked(self, request: Message) -> None:
        now = self.board.loop.time()
        self._held = {mid: held for mid, held in self._held.items() if held.until > now}
        while self._answered and next(iter(self._answered.values()))[0] <= now:
            self._answered.popitem(last=False)
        if request.mid in self._answered:
            self._send(self._answered[request.mid][1])
            return
        if request.mid in self._held:
            return
        parts = request.opt.uri_path
        path = tuple(int(part) for part in parts) if all(part.isdecimal() and len(part) < 6 for part in parts) else ()
        if not path or path[0] in qlw_objects.OWN or not any(path == known[: len(path)] for known in self.custom):
            self._respond(request, self._own_answer(request, path))
            return
        self._for_host(request, path, now)

    def _for_host(self, request: Message, path: Path, now: float) -> None:
        """An object that the host has added. With `auto_ack` the Observe is answered here, with an empty body, and the
        host still hears of it (inferred: that it does)."""
        kind = _kind(request)
        if kind is None or len(path) != 3:
            self._respond(request, Message(code=Code.METHOD_NOT_ALLOWED))
            return
        held = self._held[request.mid] = Held(kind, request, path, now + HELD_S)
        if kind in ("observe", "cancel") and self.config.auto_ack:
            self.answer(request.mid, (kind,), 1, b"")
        elif kind == "write" and self.config.auto_write:
            self.answer(request.mid, (kind,), 2)
        self.told.asked(held)

    def _own_answer(self, request: Message, path: Path) -> Message:
        answer = qlw_objects.answer(self.board, self.config.lifetime, request, path)
        if answer.code.is_successful() and request.opt.observe is not None:
            if request.opt.observe == 0:
                self.now.tokens[path] = request.token
                answer.opt.observe = 0
            else:
                self.now.tokens.pop(path, None)
        return answer

    def _respond(self, request: Message, response: Message) -> None:
        piggybacked = request.mtype is CON
        response.mtype, response.token = ACK if piggybacked else NON, request.token
        response.mid = request.mid if piggybacked else self._next_mid()
        raw = response.encode()
        self._answered[request.mid] = (self.board.loop.time() + EXCHANGE_LIFETIME, raw)
        self._send(raw)


def _kind(request: Message) -> str | None:
    """What a request for one resource of the host's is."""
    if request.code == Code.GET:
        if request.opt.accept == LINK_FORMAT:
            return None  # Discover: the header has it switched off
        return {None: "read", 0: "observe"}.get(request.opt.observe, "cancel")
    return {Code.PUT: "write", Code.POST: "execute"}.get(request.code)
