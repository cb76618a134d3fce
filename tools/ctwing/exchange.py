"""CoAP's message layer as the platform needs it: what is one message, who gets an ACK or a RST, what is sent again.

RFC 7252 §4 on asyncio datagrams, with aiocoap's `Message` as codec. aiocoap's own message layer is not used: it keys
observations by remote address, and every PSM wake comes from a new port. What messages mean is lwm2m.py's business.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from aiocoap import ACK, CON, NON, RST, Message
from aiocoap.numbers.codes import Code

from tools.world.coap import EXCHANGE_LIFETIME, Malformed, decode

# RFC 7252 §4.8. ACK_TIMEOUT × ACK_RANDOM_FACTOR is drawn by the caller: 2…3 s.
MAX_RETRANSMIT = 4
MAX_TRANSMIT_WAIT = 93.0

# Critical options (odd numbers) that are understood here, RFC 7252 §5.10: If-Match, Uri-Host, If-None-Match, Uri-Port,
# Uri-Path, Uri-Query, Accept. Block2 and Block1 (RFC 7959) are in responses, where the platform asked; in requests they
# are not: no Register needs them, nor what AEP's object 19 carries (ctwing.md §2.5).
UNDERSTOOD = (1, 3, 5, 7, 11, 15, 17)
BLOCKS = (23, 27)

Address = tuple[Any, ...]


SECURE = "dtls"


def is_secure(address: Address) -> bool:
    """Whether a datagram came through a DTLS session: its address is (host, port, SECURE, number of the session)."""
    return len(address) == 4 and address[2] == SECURE


class Way(Protocol):
    """Where datagrams of DTLS sessions go."""

    def knows(self, address: Address, /) -> bool: ...

    def sendto(self, data: bytes, address: Address, /) -> None: ...


def unknown_critical(message: Message) -> bool:
    """RFC 7252 §5.4.1: an odd option number that is not understood forbids going on."""
    understood = UNDERSTOOD + BLOCKS * message.code.is_response()
    return any(option.number % 2 and option.number not in understood for option in message.opt.option_list())


@dataclass(eq=False)
class Exchange:
    """A request of the platform that waits for its answer; or, where `what` is None, a separate response that waits for
    its ACK. `what` is the caller's. `confirmable`: it is sent again."""

    raw: bytes
    token: bytes
    mid: int
    address: Address
    timeout: float
    what: Any
    confirmable: bool = True
    retransmitted: int = 0
    timer: asyncio.TimerHandle | None = None
    keys: list[tuple[Address, int]] = field(default_factory=list)


@dataclass(eq=False)
class Seen:
    """A message that was acted on: until when it is remembered, its answer, and what is to be done once, when the
    answer has really gone out."""

    until: float
    answer: bytes
    after: Callable[[], object]


def nothing() -> None:
    """What is to be done after an ACK that settles nothing."""


class MessageLayer(asyncio.DatagramProtocol):
    """De-duplication, retransmission, ACK and RST. A subclass gives the hooks meaning.

    A message is known again by (peer address, MID), RFC 7252 §4.5, and a notification by its token, MID and very bytes
    from any address: the carrier's NAT may give a device a new port between a notification and its retransmission. What
    the real platform does with the latter is unknown."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.counters: Counter[str] = Counter()
        self.row = 0  # what `recorded` gave for the datagram at hand
        self._transport: asyncio.DatagramTransport | None = None
        self.secure: Way | None = None  # to peers whose address has four parts and names it (tools/ctwing/dtls.py)
        self._seen: dict[tuple[Address, int] | bytes, Seen] = {}  # oldest first; the keys that are bytes: responses
        self._by_mid: dict[tuple[Address, int], Exchange] = {}
        self._by_token: dict[bytes, Exchange] = {}

    # hooks

    def recorded(self, direction: str, address: Address, raw: bytes) -> int:
        """A datagram came `up` or goes `down`; returns a number to know it by."""
        raise NotImplementedError

    def dropped(self, address: Address, raw: bytes, reason: str) -> None:
        """A datagram was malformed and has no effect."""
        raise NotImplementedError

    def request_received(self, request: Message, address: Address) -> Message:
        """A request, once. Returns the response; type, token and (unless set) MID are filled in here."""
        raise NotImplementedError

    def response_received(
        self, response: Message, address: Address, exchange: Exchange | None
    ) -> Callable[[], None] | None:
        """A response, once; `exchange` is the request it ends. None: nobody knows this token, it gets a RST. Otherwise
        it is acknowledged (if it is a CON) and then the function returned is called."""
        raise NotImplementedError

    def unanswered(self, exchange: Exchange, why: str) -> None:
        """The request ended without a response: `why` is "reset" or "timeout"."""
        raise NotImplementedError

    def next_mid(self) -> int:
        """A MID for a response to a NON request of someone without a session."""
        raise NotImplementedError

    def ignored(self, message: Message, address: Address) -> bool:
        """Whether this CON or NON counts as if it had never come. Asked for every datagram, repeated ones too."""
        return False

    def repeated(self, message: Message, address: Address) -> None:
        """A message came again."""

    def held(self, message: Message, answer: bytes) -> float | None:
        """Seconds to hold back the answer to `message`; None: it is lost. Asked for every datagram."""
        return 0.0

    def separate(self, request: Message) -> float | None:
        """Whether this request gets an empty ACK first; the ACK timeout of the response that then follows."""
        return None

    def copies(self, exchange: Exchange) -> int:
        """How often a datagram of ours goes out: 0 is lost on the way, 2 is doubled."""
        return 1

    # out

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def error_received(self, error: Exception) -> None:
        self.counters["icmp"] += 1  # a peer's port is closed: its business, retransmission goes on

    def close(self) -> None:
        """Ends every exchange without a word and closes the endpoint."""
        for exchange in list(self._by_token.values()):
            self.cancel(exchange)
        self.forget_messages()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def forget_messages(self) -> None:
        """What came before is not known again when it comes once more."""
        self._seen.clear()

    def _send(self, raw: bytes, address: Address) -> None:
        secure = is_secure(address)
        way = self.secure if secure else self._transport
        if way is None or (secure and self.secure is not None and not self.secure.knows(address)):
            self.counters["unsent"] += 1
            return
        self.counters["sent"] += 1
        self.recorded("down", address, raw)
        way.sendto(raw, address)

    def ask(
        self, request: Message, address: Address, timeout: float, what: Any, *, confirmable: bool = True
    ) -> Exchange:
        """Sends `request` (its MID and token set) as CON, again up to 4 times: `timeout` seconds, then doubled. A NON
        goes once."""
        request.mtype = CON if confirmable else NON
        exchange = Exchange(request.encode(), request.token, request.mid, address, timeout, what, confirmable)
        if what is not None:
            self._by_token[exchange.token] = exchange
        self.redirect(exchange, address)
        self._transmit(exchange)
        return exchange

    def redirect(self, exchange: Exchange, address: Address) -> None:
        """The peer has moved: what is still to be sent goes to its new address."""
        exchange.address = address
        key = (address, exchange.mid)
        if key not in exchange.keys:
            exchange.keys.append(key)
            self._by_mid[key] = exchange

    def asked_with(self, token: bytes) -> Exchange | None:
        """The request with this token that is under way."""
        return self._by_token.get(token)

    def cancel(self, exchange: Exchange) -> None:
        """Forgets a request; a late answer is a stray."""
        if exchange.timer is not None:
            exchange.timer.cancel()
        for key in exchange.keys:
            if self._by_mid.get(key) is exchange:
                del self._by_mid[key]
        if self._by_token.get(exchange.token) is exchange:
            del self._by_token[exchange.token]

    def _transmit(self, exchange: Exchange) -> None:
        for _ in range(self.copies(exchange)):
            self._send(exchange.raw, exchange.address)
        if exchange.confirmable:
            wait = exchange.timeout * 2**exchange.retransmitted
            exchange.timer = self.loop.call_later(wait, self._unacknowledged, exchange)
        else:
            exchange.timer = self.loop.call_later(MAX_TRANSMIT_WAIT, self._give_up, exchange)

    def _unacknowledged(self, exchange: Exchange) -> None:
        if exchange.retransmitted == MAX_RETRANSMIT:
            self._give_up(exchange)
            return
        exchange.retransmitted += 1
        self.counters["retransmissions"] += 1
        self._transmit(exchange)

    def _give_up(self, exchange: Exchange, why: str = "timeout") -> None:
        self.cancel(exchange)
        if exchange.what is not None:
            self.unanswered(exchange, why)

    # in

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.counters["received"] += 1
        self.row = self.recorded("up", addr, data)
        try:
            message = decode(data)
        except Malformed as error:
            self.counters["malformed"] += 1
            self.dropped(addr, data, str(error))
            return
        if message.mtype in (ACK, RST):
            self._settled(message, addr)
        else:
            self._message(message, addr, data)

    def _message(self, message: Message, address: Address, raw: bytes) -> None:
        """A CON or NON: the first time it is acted on, later only the answer is given again (RFC 7252 §4.5)."""
        if self.ignored(message, address):
            self.counters["ignored"] += 1
            return
        now = self.loop.time()
        while self._seen and next(iter(self._seen.values())).until <= now:
            del self._seen[next(iter(self._seen))]
        seen = self._seen.get((address, message.mid)) or self._seen.get(raw)
        if seen is not None:
            self.counters["duplicates"] += 1
            self.repeated(message, address)
        else:
            answer, after = self._act(message, address)
            seen = self._seen[address, message.mid] = Seen(now + EXCHANGE_LIFETIME, answer, after)
            if message.code.is_response():
                self._seen[raw] = seen
        self._answer(message, seen, address)

    def _answer(self, message: Message, seen: Seen, address: Address) -> None:
        if not seen.answer:
            return
        held = self.held(message, seen.answer)
        if held is None:
            self.counters["answers lost"] += 1
        elif held:
            self.loop.call_later(held, self._deliver, seen, address)
        else:
            self._deliver(seen, address)

    def _deliver(self, seen: Seen, address: Address) -> None:
        self._send(seen.answer, address)
        after, seen.after = seen.after, nothing
        after()

    def _act(self, message: Message, address: Address) -> tuple[bytes, Callable[[], object]]:
        """Returns the answer's bytes (none for a NON notification) and what to do when it has been sent."""
        if message.code == Code.EMPTY:  # CoAP ping, RFC 7252 §4.3
            return self._empty(RST, message.mid), nothing
        if message.code.is_request():
            return self._respond(message, address)
        after = None
        if not unknown_critical(message):
            exchange = self._by_token.get(message.token)
            if exchange is not None:
                self.cancel(exchange)
            after = self.response_received(message, address, exchange)
        if after is None:
            self.counters["resets"] += 1
            return self._empty(RST, message.mid), nothing
        if message.mtype == NON:
            return b"", nothing
        return self._empty(ACK, message.mid), after

    def _respond(self, request: Message, address: Address) -> tuple[bytes, Callable[[], object]]:
        response = (
            Message(code=Code.BAD_OPTION) if unknown_critical(request) else self.request_received(request, address)
        )
        response.token = request.token
        timeout = self.separate(request) if request.mtype == CON else None
        if request.mtype == CON and timeout is None:
            response.mtype, response.mid = ACK, request.mid
            return response.encode(), nothing
        response.mid = response.mid if response.mid is not None else self.next_mid()
        if timeout is not None:  # RFC 7252 §5.2.2
            return self._empty(ACK, request.mid), partial(self.ask, response, address, timeout, None)
        response.mtype = NON
        return response.encode(), nothing

    def _empty(self, kind: Any, mid: int) -> bytes:
        message = Message(code=Code.EMPTY)
        message.mtype, message.mid = kind, mid
        return message.encode()

    def _settled(self, message: Message, address: Address) -> None:
        """An ACK or RST: it belongs to the exchange of its MID, or to nobody."""
        exchange = self._by_mid.get((address, message.mid))
        answered = message.code != Code.EMPTY
        if exchange is None or (answered and (message.token != exchange.token or unknown_critical(message))):
            self.counters["strays"] += 1
        elif message.mtype == RST:
            self._give_up(exchange, "reset")
        elif exchange.what is None:  # our separate response has arrived
            self.cancel(exchange)
        elif answered:
            self.cancel(exchange)
            self.response_received(message, address, exchange)
        elif exchange.timer is not None:  # the response comes separately, RFC 7252 §5.2.2
            exchange.timer.cancel()
            exchange.timer = self.loop.call_later(MAX_TRANSMIT_WAIT, self._give_up, exchange)
