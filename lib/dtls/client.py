"""A DTLS 1.2 client with a pre-shared key, towards one server (RFC 6347, RFC 5246, RFC 4279).

No I/O, no clock, no randomness: datagrams and the time in milliseconds come in, datagrams go to `out`, what the server
sent goes to `inbox`. The handshake is dtls/handshake.py's, loaded while there is one. Renegotiation is refused.
"""

from micropython import const

from dtls import record as r

CCM_8 = const(0xC0A8)  # TLS_PSK_WITH_AES_128_CCM_8 (RFC 6655)
CBC = const(0x00AE)  # TLS_PSK_WITH_AES_128_CBC_SHA256 (RFC 5487)

# `state`
IDLE = const(0)
SHAKING = const(1)
CONNECTED = const(2)
CLOSED = const(3)

_DATAGRAM = const(1200)  # bytes of a datagram of several records
_EARLY = const(512)  # bytes of a record that overtook the ChangeCipherSpec before it


def protections(suite: int):
    """The room's module that has the record protection of a suite."""
    if suite == CBC:
        from dtls import cbc

        return cbc
    from dtls import ccm

    return ccm


class Client:
    """One session. `identity` (at most 128 bytes) and `psk` (at most 64); `suites` offered, best first; `timeout` (ms)
    and `retries` of a flight, doubled each time (RFC 6347 §4.2.4); `offer_cid`: a connection id for the server to use
    (RFC 9146); ours is empty.

    `error` is the DtlsError that ended it; `dropped` counts records that had no effect; `resumed` and `cid` tell what
    the server agreed to. `sequence` is the next record's number; where it has reached `limit`, `reserve()` is called
    first: it must raise `limit`, and have made durable that numbers below it may be used."""

    def __init__(
        self, identity: bytes, psk: bytes, suites=(CCM_8,), timeout: int = 1000, retries: int = 4, offer_cid=True,
        reserve=None,
    ) -> None:
        self.identity = identity
        self.psk = psk
        self.suites = suites
        self.offer_cid = offer_cid
        self.out = []
        self.inbox = []
        self.state = IDLE
        self.error = None  # type: r.DtlsError | None
        self.dropped = 0
        self.retransmitted = 0
        self.suite = 0
        self.block = b""  # the key block
        self.cid = b""  # what our records carry
        self.session_id = b""  # with which the server resumes
        self.master = b""
        self.extended = False  # the master secret is bound to its handshake (RFC 7627)
        self.resumed = False
        self.sequence = 0
        self.limit = None  # type: int | None
        self.reserve = reserve
        self.window = r.Window()
        self._protection = None
        self._shake = None  # type: object
        self._plain = 0  # next record of epoch 0
        self._switched = False  # our ChangeCipherSpec went out: what we say is protected
        self._flight = []  # (epoch, type, body): what is sent again
        self._timeout = timeout
        self._retries = retries
        self._wait = 0
        self._left = 0
        self._due = None  # type: int | None

    def start(self, now: int, random: bytes, resume=None) -> None:
        """Begins a handshake. `random`: 32 bytes, never the same twice; `resume`: what `resumption` of an older Client
        gave, offered to the server."""
        from dtls import handshake

        self.state = SHAKING
        self._shake = handshake.Handshake(self, random, resume)
        self._shake.hello(now)

    def resumption(self):
        """What a server needs to resume this session in a shorter handshake (RFC 5246 §7.3), None where it gave no id:
        (id, master secret, suite, whether that is an extended one)."""
        return (self.session_id, self.master, self.suite, self.extended) if self.session_id else None

    def restore(self) -> None:
        """Goes on with a session of before, whose fields the caller has set (dtls/saved.py)."""
        self.use(self.block)
        self._switched = True
        self.state = CONNECTED

    def send(self, data: bytes) -> None:
        """Application data. Raises DtlsError where there is no session."""
        if self.state != CONNECTED:
            raise self.error or r.DtlsError("not connected", r.HELLO)
        # In a datagram of its own, even behind our Finished: libcoap on OpenSSL overlooks it in the same one
        self.out.append(self._sealed(r.DATA, data))

    def close(self) -> None:
        """Ends the session for both sides (RFC 5246 §7.2.1)."""
        if self.state == CONNECTED:
            self._alert(1, r.CLOSE_NOTIFY)
        self._end(None)

    def deadline(self):
        """When `poll` must be called again (ms), or None."""
        return self._due

    def poll(self, now: int) -> None:
        """Sends the flight again that was not answered; ends the session after the last wait."""
        if self._due is None or now < self._due:
            return
        if not self._left:
            phase = self.phase()
            what = "ClientHello" if phase == r.HELLO else "the handshake's end"
            self._end(r.DtlsError("no answer to " + what, phase))
            return
        self._left -= 1
        self._wait *= 2
        self._due = now + self._wait
        self.retransmitted += 1
        self._transmit()

    def receive(self, datagram: bytes, now: int) -> None:
        """Takes one datagram. Never raises: what came of it is in `state`, `inbox` and `error`."""
        for kind, epoch, sequence, fragment in r.records(datagram):
            if self.state not in (SHAKING, CONNECTED):
                break
            try:
                self._record(kind, epoch, sequence, fragment, now)
            except r.Abort as abort:
                self._alert(2, abort.alert)
                self._end(r.DtlsError(abort.args[0], self.phase(), abort.alert, True))

    def phase(self) -> int:
        """Of the handshake, for a DtlsError."""
        return self._shake.phase if self._shake is not None else r.DATA_PHASE  # type: ignore[attr-defined]

    # -- for the handshake ---------------------------------------------------------------------------------------------

    def use(self, block: bytes) -> None:
        """From now on there is an epoch 1, of `suite`."""
        self.block = block
        self._protection = protections(self.suite).Protection(block)

    def flight(self, parts: list, now: int, last: bool = False) -> None:
        """Sends (epoch, type, body) records, and again until they are answered; where they are the handshake's `last`,
        only when the server repeats what they answer."""
        self._flight = parts
        self._wait, self._left = self._timeout, self._retries
        self._due = None if last else now + self._wait
        self._transmit()

    def hurry(self) -> None:
        """The flight is sent again once at most: a short cut must not take long."""
        self._left = min(self._left, 1)

    def done(self, keep_flight: bool) -> None:
        """The handshake is over."""
        self.state = CONNECTED
        self._shake = None
        self._due = None
        if not keep_flight:
            self._flight = []

    # -- inside --------------------------------------------------------------------------------------------------------

    def _record(self, kind: int, epoch: int, sequence: int, fragment: bytes, now: int) -> None:
        shake = self._shake
        if epoch == 0 and shake is not None:
            body = fragment
        elif epoch == 1 and shake is not None and not shake.changed:  # type: ignore[attr-defined]
            if self._protection is not None and len(fragment) <= _EARLY:
                shake.early = (kind, sequence, fragment)
            return
        elif epoch == 1 and self._protection is not None and self.window.fresh(sequence):
            body = r.unseal(self._protection, kind, sequence, fragment)
            if body is None:
                self.dropped += 1
                return
            self.window.take(sequence)
        else:  # unprotected after the handshake, of another epoch, or a repetition
            self.dropped += 1
            return
        if kind == r.ALERT:
            self._alerted(body)
        elif kind == r.HANDSHAKE and shake is not None:
            shake.fragments(body, epoch, now)  # type: ignore[attr-defined]
        elif kind == r.HANDSHAKE:
            self._late(body)
        elif kind == r.CHANGE_CIPHER_SPEC and epoch == 0 and body == b"\x01":
            early = shake.change()  # type: ignore[attr-defined]
            if early is not None:
                self._record(early[0], 1, early[1], early[2], now)
        elif kind == r.DATA and shake is None:
            self._flight = []
            self.inbox.append(body)
        else:
            self.dropped += 1

    def _alerted(self, body: bytes) -> None:
        if len(body) != 2:
            raise r.Abort(r.DECODE_ERROR, "alert of %d bytes" % len(body))
        level, alert = body[0], body[1]
        if alert == r.CLOSE_NOTIFY:
            if self.state == CONNECTED:
                self._alert(1, r.CLOSE_NOTIFY)
            self._end(r.DtlsError("closed by the server", self.phase(), alert))
        elif level == 2:
            self._end(r.DtlsError("alert %d from the server" % alert, self.phase(), alert))

    def _late(self, body: bytes) -> None:
        """A handshake message in a session."""
        if body[:1] == b"\x00":  # HelloRequest
            self._alert(1, r.NO_RENEGOTIATION)
        elif body[:1] == b"\x14" and self._flight and self._left:  # Finished: ours was lost
            self._left -= 1
            self._transmit()
        elif body[:1] != b"\x14":
            raise r.Abort(r.UNEXPECTED_MESSAGE, "handshake message in a session")

    def _alert(self, level: int, alert: int) -> None:
        body = bytes([level, alert])
        if not self._switched:
            self.out.append(r.plain(r.ALERT, self._plain, body))
            self._plain += 1
            return
        try:
            self.out.append(self._sealed(r.ALERT, body))
        except (OSError, r.DtlsError):  # no number to be had: the other side may do without
            pass

    def _end(self, error) -> None:
        self.error = error
        self.state = CLOSED
        self._shake = None
        self._flight = []
        self._due = None

    def _sealed(self, kind: int, body: bytes) -> bytes:
        if self.limit is not None and self.sequence >= self.limit:
            self.reserve()
        sequence = self.sequence
        if r.spent(sequence):
            raise r.DtlsError("no record numbers left", r.DATA_PHASE)
        self.sequence += 1
        return r.seal(self._protection, kind, sequence, body, self.cid)

    def _transmit(self) -> None:
        """The flight, in as few datagrams as hold it, under new record numbers."""
        datagram = b""
        for epoch, kind, body in self._flight:
            if epoch:
                self._switched = True
                one = self._sealed(kind, body)
            else:
                one = r.plain(kind, self._plain, body)
                self._plain += 1
            if datagram and len(datagram) + len(one) > _DATAGRAM:
                self.out.append(datagram)
                datagram = b""
            datagram += one
        if datagram:
            self.out.append(datagram)
