"""CoAP's message layer towards one peer (RFC 7252 §4): retransmission, de-duplication, acknowledgement, reset.

No I/O, no clock, no randomness: datagrams and the time in milliseconds come in, datagrams go to `out`, and what the
layer above should know comes back as events. One request of ours is outstanding at a time (NSTART = 1, §4.7).
"""

from micropython import const

from coap.message import ACK, CON, EMPTY, NON, RST, FormatError, Message, decode, encode

# Events are tuples that begin with one of these.
ACKED = const(1)  # (ACKED, message): our CON was acknowledged, `message` is the empty ACK
RESPONSE = const(2)  # (RESPONSE, message): the answer to our request
RESET = const(3)  # (RESET, mid): the peer does not know what our message was about
TIMEOUT = const(4)  # (TIMEOUT, mid): no answer after the last retransmission
REQUEST = const(5)  # (REQUEST, message): the peer asks; answer with `respond`

_LIFETIME = const(247000)  # ms, EXCHANGE_LIFETIME (RFC 7252 §4.8.2): how long a message id identifies a message
_REMEMBERED = const(8)  # messages of the peer remembered for de-duplication; bounds the state
_BLOCK2 = const(23)
_BLOCK1 = const(27)
_BLOCK = const(512)  # bytes: a longer answer goes block-wise, which is coap.block's, imported when first needed


class Exchange:
    """Both directions of one peer.

    `next_mid()` gives a message id that was never used before in EXCHANGE_LIFETIME; `jitter` is a factor 256-384 in
    1/256 (ACK_RANDOM_FACTOR 1 to 1.5); `timeout` is ACK_TIMEOUT in ms, `retries` is MAX_RETRANSMIT.
    Counters: `malformed`, `duplicates`, `retransmitted`, `stray` (answers to nothing of ours, and what RFC 7252
    §5.4.1 has us reject).
    """

    def __init__(self, next_mid, jitter: int = 320, timeout: int = 2000, retries: int = 4) -> None:
        self.next_mid = next_mid
        self.jitter = jitter
        self.timeout = timeout
        self.retries = retries
        self.out = []
        self.malformed = 0
        self.duplicates = 0
        self.retransmitted = 0
        self.stray = 0
        self._pending = None  # type: Message | None  # our outstanding CON
        self._pending_raw = b""
        self._wait = 0  # ms until the next retransmission doubles
        self._left = 0  # retransmissions left
        self._due = 0  # when the next one is due
        self._answered = []  # [mid, time, answer bytes or None]: messages of the peer, oldest first
        self._quiet = []  # mids of our NON messages that a RST may still be about
        self._blocks = None  # type: object  # coap.block.Blocks, once there was a block
        self.late = -1  # message id of the last acknowledgement that came when nobody waited for it any more
        self._now = 0  # when the last datagram came

    def busy(self) -> bool:
        """A CON of ours is still without an answer."""
        return self._pending is not None

    def send(self, message: Message, now: int, timeout: int = 0, retries: int = -1) -> None:
        """Sends a CON (tracked until an event names its end) or a NON. `timeout` (ms) and `retries` bound a short cut
        where CoAP's own 62-93 s with the radio on would be a waste."""
        if message.kind == CON and self._pending is not None:
            raise RuntimeError("NSTART: a confirmable message is outstanding")
        raw = encode(message)
        self.out.append(raw)
        if message.kind != CON:
            self._quiet = self._quiet[-3:] + [message.mid]
            return
        self._pending = message
        self._pending_raw = raw
        self._left = self.retries if retries < 0 else retries
        self._wait = (timeout or self.timeout) * self.jitter >> 8
        self._due = now + self._wait

    def cancel(self) -> None:
        """Forgets our outstanding message: its answer no longer matters."""
        self._pending = None

    def deadline(self):
        """When `poll` must be called again (ms), or None."""
        return self._due if self._pending is not None else None

    def poll(self, now: int):
        """Retransmits what is due; returns (TIMEOUT, mid) at the end of the last wait, else None."""
        if self._pending is None or now < self._due:
            return None
        if self._left <= 0:
            mid = self._pending.mid
            self._pending = None
            return (TIMEOUT, mid)
        self._left -= 1
        self.retransmitted += 1
        self._wait *= 2
        self._due = now + self._wait
        self.out.append(self._pending_raw)
        return None

    def receive(self, data: bytes, now: int):
        """Takes one datagram; returns an event or None. Never raises: what is no message is counted and dropped."""
        self._now = now
        try:
            message = decode(data)
        except FormatError:
            self.malformed += 1
            if len(data) > 3 and data[0] & 0xF0 == 0x40:  # a confirmable message is rejected (RFC 7252 §4.2)
                self._send_empty(RST, data[2] << 8 | data[3])
            return None
        if message.kind == CON and message.code == EMPTY:
            self._send_empty(RST, message.mid)  # a CoAP ping (RFC 7252 §4.3)
            return None
        if message.kind in (ACK, RST):
            return self._settled(message)
        if self._repeated(message, now):
            return None
        if message.is_request() and not (message.kind == NON and message.critical()):
            self._remember(message.mid, now, None)
            if _in_blocks(message) and not message.critical():
                answer = self.blockwise().request(message, now)
                if answer is not None:
                    self._reply(message, *answer)
                    return None
            return (REQUEST, message)
        return self._separate(message, now)

    def respond(self, request: Message, code: int, options=(), payload: bytes = b"") -> None:
        """Answers a request: piggybacked for a CON, as a NON of its own for a NON. Repeats of it get the same bytes."""
        if len(payload) > _BLOCK or _in_blocks(request):
            code, options, payload = self.blockwise().response(request, self._now, code, options, payload)
        self._reply(request, code, options, payload)

    def _reply(self, request: Message, code: int, options, payload: bytes) -> None:
        kind, mid = (ACK, request.mid) if request.kind == CON else (NON, self.next_mid())
        raw = encode(Message(kind, code, mid, request.token, options, payload))
        for entry in self._answered:
            if entry[0] == request.mid:
                entry[2] = raw
        self.out.append(raw)

    def blockwise(self):
        """What serves block-wise transfers (RFC 7959), transparent to the layer above."""
        if self._blocks is None:
            from coap.block import Blocks

            self._blocks = Blocks()
        return self._blocks

    def _repeated(self, message: Message, now: int) -> bool:
        """A message that came before has no second effect: a CON gets the same answer again (RFC 7252 §4.5)."""
        self._answered = [entry for entry in self._answered if now - entry[1] < _LIFETIME]
        for mid, _, answer in self._answered:
            if mid == message.mid:
                self.duplicates += 1
                if answer is not None and message.kind == CON:
                    self.out.append(answer)
                return True
        return False

    def _remember(self, mid: int, now: int, answer) -> None:
        self._answered = self._answered[1 - _REMEMBERED :] + [[mid, now, answer]]

    def _settled(self, message: Message):
        """An ACK or a RST."""
        pending = self._pending
        ours = pending is not None and pending.mid == message.mid
        if message.kind == RST:
            if ours or message.mid in self._quiet:
                if ours:
                    self._pending = None
                return (RESET, message.mid)
        elif ours and pending is not None and message.code == EMPTY:
            if pending.is_request():
                # The response comes separately: no more retransmission, and an end no later than without this ACK, so
                # that a short cut stays one.
                self._due += self._wait * ((2 << self._left) - 2)
                self._left = 0
                return None
            self._pending = None
            return (ACKED, message)
        elif ours and self._answers(message):
            self._pending = None
            return (RESPONSE, message)
        elif message.code == EMPTY:
            self.late = message.mid
        self.stray += 1
        return None

    def _separate(self, message: Message, now: int):
        """A response that is a message of its own (RFC 7252 §5.2.2)."""
        if not self._answers(message):
            if message.kind == CON:
                self._send_empty(RST, message.mid)
            self.stray += 1
            return None
        answer = None
        if message.kind == CON:
            answer = self._send_empty(ACK, message.mid)
        self._remember(message.mid, now, answer)
        self._pending = None
        return (RESPONSE, message)

    def _answers(self, message: Message) -> bool:
        """It answers our request. A response with an unknown critical option is rejected (RFC 7252
        §5.4.1)."""
        ours = self._pending
        if ours is None or not ours.is_request() or message.is_request():
            return False
        return message.token == ours.token and not message.critical()

    def _send_empty(self, kind: int, mid: int) -> bytes:
        raw = encode(Message(kind, EMPTY, mid))
        self.out.append(raw)
        return raw


def _in_blocks(request: Message) -> list:
    return request.all(_BLOCK1) or request.all(_BLOCK2)
