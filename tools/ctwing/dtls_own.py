"""A DTLS 1.2 PSK server of our own, without I/O, clock or timers. NOT INDEPENDENT of the device's client: one project
wrote both. It is there because python-mbedtls has no connection ids (RFC 9146) and cannot do anything wrong on purpose;
what can be judged by others is, in tests_host/ctwing/test_dtls_own.py.

RFC 6347, 5246, 4279 and 7627: an `Engine` for all peers, a `Session` for each. Flights are sent again when the client
sends its own again; whatever is no record, or not for this state, is dropped.
"""

import hmac
from collections.abc import Hashable, Mapping, MutableMapping

from tools.ctwing import dtls_own_messages as h
from tools.ctwing import dtls_own_records as r
from tools.ctwing import dtls_own_wrong as wrong
from tools.ctwing.dtls_own_state import CIPHER, FINISHED, HELLO, KEYS, MTU, OPEN, Kept, Options, Saved, State
from tools.ctwing.dtls_own_wrong import Piece, said


class Engine:
    """`keys`: identity -> PSK. `random`: the one source of chance, so that runs of a seed are equal byte by byte.
    `options` may be replaced while sessions live."""

    def __init__(
        self,
        keys: Mapping[str, bytes],
        random: r.Source,
        options: Options | None = None,
        saved: MutableMapping[bytes, Saved] | None = None,
    ) -> None:
        self.keys, self.random = keys, random
        self.options = options if options is not None else Options()
        self.saved: MutableMapping[bytes, Saved] = saved if saved is not None else Kept()
        self.by_cid: dict[bytes, Session] = {}
        self._secret = random.randbytes(32)

    def session(self, address: Hashable) -> "Session":
        """For a peer not known yet. It need not be kept while `begun` is False."""
        return Session(self, address)

    def owner(self, datagram: bytes) -> "Session | None":
        """The session whose connection id the first record bears. Whoever sent it is not known before it has been
        authenticated: `Session.fresh`."""
        end = 11 + self.options.cid
        return self.by_cid.get(datagram[11:end]) if datagram[:1] == bytes([r.TLS12_CID]) else None

    def cookie(self, address: Hashable, hello: h.ClientHello) -> bytes:
        seed = repr(address).encode() + b"\0" + hello.rest
        return r.prf(self._secret, "cookie", seed, self.options.cookie)

    def new_cid(self) -> bytes:
        while True:
            cid = self.random.randbytes(self.options.cid)
            if cid not in self.by_cid:
                return cid


class Session:
    """One peer. `identity` is known from the ClientKeyExchange on, `established` from the last Finished to the end;
    `ended` says why the last one ended. `begun`: there is something to keep. `fresh`: the last datagram had an
    authenticated record newer than all before, so that its source may become the peer's address (RFC 9146 §6)."""

    def __init__(self, engine: Engine, address: Hashable) -> None:
        self._engine = engine
        self.address = address  # whom cookies are made for: the front's to change
        self._state = State()
        self._out: list[bytes] = []
        self._plain: list[bytes] = []
        self._again = False  # the last flight has been sent again for this datagram
        self.identity = ""
        self.ended = ""
        self.fresh = False

    @property
    def established(self) -> bool:
        return self._state.step == OPEN

    @property
    def begun(self) -> bool:
        return self._state.step != HELLO

    @property
    def suite(self) -> str:
        """Its name in the IANA registry; "" while there is none."""
        return r.NAMES.get(self._state.suite, "")

    @property
    def resumed(self) -> bool:
        """Whether the handshake was an abbreviated one."""
        return self._state.resumed

    @property
    def connection_id(self) -> bytes:
        """That of records to us; empty where none was negotiated."""
        return self._state.own_cid

    def receive(self, datagram: bytes) -> tuple[list[bytes], list[bytes]]:
        """(datagrams to send, plaintexts). Whatever comes, no exception."""
        self.fresh = self._again = False
        for record in r.split(datagram, len(self._state.own_cid) or self._engine.options.cid):
            try:
                self._record(record)
            except (h.Malformed, r.BadRecord):
                continue
            except h.Fatal as failure:
                self._send(wrong.alert(h.FATAL, failure.alert, self._state.write_epoch))
                self._end(f"alert {failure.alert} sent")
                break
        plain, self._plain = self._plain, []
        return self._datagrams(), plain

    def send(self, plaintext: bytes) -> list[bytes]:
        """The datagrams that carry it; none where no session is established."""
        if self.established:
            self._send(Piece(r.APPLICATION_DATA, 1, plaintext))
        return self._datagrams()

    def close(self) -> list[bytes]:
        """Says close_notify, where a session is established, and forgets it."""
        if self.established:
            self._send(wrong.alert(h.WARNING, h.CLOSE_NOTIFY, 1))
        self._end("closed")
        return self._datagrams()

    def _end(self, why: str) -> None:
        self._engine.by_cid.pop(self._state.own_cid, None)
        self._state, self.identity, self.ended = State(), "", why

    # records in

    def _record(self, record: r.Record) -> None:
        state = self._state
        if record.epoch == 0:
            self._content(record, record.kind, record.body)
        elif record.epoch == 1 and state.reader is not None and self._is_ours(record):
            self._protected(record, state.reader)

    def _is_ours(self, record: r.Record) -> bool:
        """New, and with the connection id where one was negotiated: no other record counts then (RFC 9146 §3)."""
        return record.cid == self._state.own_cid and self._state.window.is_new(record.number)

    def _protected(self, record: r.Record, reader: r.Protection) -> None:
        state, alert = self._state, self._engine.options.unreadable_finished
        try:
            body = reader.open(record).body
            kind, body = r.unwrap(body) if state.own_cid else (record.kind, body)
        except r.BadRecord:
            if state.step == FINISHED and alert is not None:
                raise h.Fatal(alert) from None
            raise
        self.fresh |= state.window.take(record.number)
        if state.step == CIPHER or state.step == FINISHED and kind == r.APPLICATION_DATA:
            self._repeat()  # something of the client's last flight was lost, and it may not know
        else:
            self._content(record, kind, body)

    def _content(self, record: r.Record, kind: int, body: bytes) -> None:
        state, epoch = self._state, record.epoch
        if kind == r.HANDSHAKE:
            for fragment in h.fragments(body):
                self._fragment(record, fragment)
        elif kind == r.CHANGE_CIPHER_SPEC and epoch == 0 and body == b"\1" and state.step == CIPHER:
            state.step = FINISHED
        elif kind == r.ALERT and len(body) == 2 and self.begun and (epoch == 1 or not self.established):
            self._alerted(*body)
        elif kind == r.APPLICATION_DATA and epoch == 1 and self.established:
            self._plain.append(body)

    def _alerted(self, level: int, code: int) -> None:
        if code == h.CLOSE_NOTIFY:
            if self.established:
                self._send(wrong.alert(h.WARNING, h.CLOSE_NOTIFY, 1))
            self._end("close_notify received")
        elif level == h.FATAL:
            self._engine.saved.pop(self._state.session_id, None)  # RFC 5246 §7.2.2
            self._end(f"alert {code} received")

    def _fragment(self, record: r.Record, fragment: h.Fragment) -> None:
        state = self._state
        if fragment.kind == h.CLIENT_HELLO:
            if record.epoch:
                self._send(wrong.alert(h.WARNING, h.NO_RENEGOTIATION, 1))
            else:
                self._hello_fragment(record, fragment)
        elif fragment.seq < state.next_in and fragment.kind == h.FINISHED and record.epoch:
            self._repeat()
        elif fragment.seq == state.next_in and self.begun and record.epoch == (state.step in (FINISHED, OPEN)):
            body = state.assembly.add(fragment)
            if body is not None:
                state.assembly = h.Assembly()
                self._message(fragment.kind, body)

    def _message(self, kind: int, body: bytes) -> None:
        """The next message of the client is whole."""
        state = self._state
        if kind != {KEYS: h.CLIENT_KEY_EXCHANGE, FINISHED: h.FINISHED}.get(state.step):
            raise h.Fatal(h.UNEXPECTED_MESSAGE)
        whole = h.message(kind, state.next_in, body)
        state.next_in += 1
        if kind == h.CLIENT_KEY_EXCHANGE:
            state.transcript.append(whole)
            self._key_exchange(body)
        else:
            self._finished(body, whole)

    # the handshake

    def _hello_fragment(self, record: r.Record, fragment: h.Fragment) -> None:
        """A server that asks for cookies keeps nothing before it has seen one: not even fragments."""
        state, options = self._state, self._engine.options
        if fragment.seq > 1 or record.number >> 32:  # of no honest client, and ours would follow these numbers
            return
        if fragment.whole:
            body: bytes | None = fragment.body
        elif options.cookie or self.begun:
            return
        else:
            body = state.assembly.add(fragment)
        if body is not None:
            self._client_hello(record, fragment.seq, h.ClientHello.decode(body), body)

    def _client_hello(self, record: r.Record, seq: int, hello: h.ClientHello, body: bytes) -> None:
        state, options = self._state, self._engine.options
        peer_cid = hello.connection_id()
        if state.hello is not None and state.hello.random == hello.random and state.hello_seq == seq:
            if not self.established:
                self._repeat()
            return
        if self.established and not (options.cookie and options.restart):
            return
        cookie = self._engine.cookie(self.address, hello)
        if options.cookie and not hmac.compare_digest(hello.cookie, cookie):
            asked = h.message(h.HELLO_VERIFY_REQUEST, seq, h.hello_verify_request(r.DTLS_1_0, cookie))
            # version 1.0 whatever follows, and the number of the ClientHello's record: RFC 6347 §4.2.1
            self._out.append(r.Record(r.HANDSHAKE, r.DTLS_1_0, 0, record.number, b"", asked).encode())
            return
        self._end("a new ClientHello")
        self.ended = ""
        state = self._state
        state.hello, state.hello_seq, state.numbers = hello, seq, [record.number, 0]
        state.next_in, state.next_out = seq + 1, seq
        state.transcript.append(h.message(h.CLIENT_HELLO, seq, body))
        self._agree(state, hello)
        if options.cid and peer_cid is not None:
            state.own_cid, state.peer_cid = self._engine.new_cid(), peer_cid
        self._answer(state, hello)

    def _agree(self, state: State, hello: h.ClientHello) -> None:
        """Chooses the suite and looks for a session to resume."""
        engine, options = self._engine, self._engine.options
        if hello.version >> 8 != 0xFE or hello.version > r.DTLS_1_2:  # they count downwards
            raise h.Fatal(h.PROTOCOL_VERSION)
        suites = [suite for suite in options.suites if suite in hello.suites]
        if not suites or 0 not in hello.compressions or hello.extensions.get(h.RENEGOTIATION_INFO, b"\0") != b"\0":
            raise h.Fatal(h.HANDSHAKE_FAILURE)
        extended = h.EXTENDED_MASTER_SECRET in hello.extensions
        state.suite, state.extended = suites[0], extended and options.extended_master_secret
        saved = engine.saved.get(hello.session_id) if options.resumption else None
        if saved is None or saved.suite not in suites or engine.keys.get(saved.identity) != saved.psk:
            return
        if saved.extended and not extended:
            raise h.Fatal(h.HANDSHAKE_FAILURE)  # RFC 7627 §5.3
        if saved.extended == state.extended:
            state.resumed, state.session_id = True, hello.session_id
            state.suite, state.psk, state.master = saved.suite, saved.psk, saved.master
            self.identity = saved.identity

    def _answer(self, state: State, hello: h.ClientHello) -> None:
        """The flight of the ServerHello."""
        engine, options = self._engine, self._engine.options
        state.server_random = engine.random.randbytes(32)
        if not state.resumed and options.resumption:
            state.session_id = engine.random.randbytes(32)
        extensions = []
        if h.RENEGOTIATION_INFO in hello.extensions or h.RENEGOTIATION_SCSV in hello.suites:
            extensions.append((h.RENEGOTIATION_INFO, b"\0"))
        if state.extended:
            extensions.append((h.EXTENDED_MASTER_SECRET, b""))
        if state.own_cid:
            extensions.append((h.CONNECTION_ID, h.connection_id(state.own_cid)))
        answer = h.ServerHello(
            r.DTLS_1_2, state.server_random, state.session_id, state.suite, 0, tuple(extensions))  # fmt: skip
        for name in options.wrong:
            answer = wrong.HELLO[name](answer, hello) if name in wrong.HELLO else answer
        flight = [said(h.SERVER_HELLO, answer.encode())]
        if state.resumed:
            self._derive(state)
            flight += wrong.CIPHER_CHANGE
        else:
            if options.hint is not None:
                flight.append(said(h.SERVER_KEY_EXCHANGE, h.server_key_exchange(options.hint)))
            flight.append(said(h.SERVER_HELLO_DONE))
        state.step = CIPHER if state.resumed else KEYS
        self._fly(flight)

    def _key_exchange(self, body: bytes) -> None:
        state, engine = self._state, self._engine
        try:
            self.identity = h.psk_identity(body).decode()
        except h.Malformed:
            raise h.Fatal(h.DECODE_ERROR) from None
        except UnicodeDecodeError:  # RFC 4279 §5.1: identities are UTF-8
            raise h.Fatal(engine.options.unknown_identity) from None
        psk = engine.keys.get(self.identity)
        if psk is None:
            raise h.Fatal(engine.options.unknown_identity)
        state.psk, secret = psk, r.premaster(psk)
        if state.extended:
            state.master = r.prf(secret, "extended master secret", r.digest(state.transcript), 48)
        elif state.hello is not None:
            state.master = r.prf(secret, "master secret", state.hello.random + state.server_random, 48)
        self._derive(state)
        state.step = CIPHER

    def _derive(self, state: State) -> None:
        randoms = state.server_random + (state.hello.random if state.hello is not None else b"")
        state.reader, state.writer = r.protections(state.suite, state.master, randoms, self._engine.random)

    def _verify_data(self, label: str) -> bytes:
        return r.prf(self._state.master, label, r.digest(self._state.transcript), 12)

    def _finished(self, body: bytes, whole: bytes) -> None:
        state, engine, options = self._state, self._engine, self._engine.options
        if not hmac.compare_digest(body, self._verify_data("client finished")):
            raise h.Fatal(h.DECRYPT_ERROR)
        state.transcript.append(whole)
        if not state.resumed:
            self._fly(list(wrong.CIPHER_CHANGE))
        state.step = OPEN
        if state.own_cid:
            engine.by_cid[state.own_cid] = self
        if state.session_id and not state.resumed:
            saved = Saved(self.identity, state.psk, state.suite, state.master, state.extended)
            engine.saved[state.session_id] = saved
        extra = wrong.later(options.alert)
        for name in options.wrong:
            for piece in extra.get(name, ()):
                self._send(piece)

    # records out

    def _fly(self, flight: wrong.Flight) -> None:
        """Numbers the messages of a flight, notes them in the transcript, and sends it."""
        state, options = self._state, self._engine.options
        for name in options.wrong:
            if any(piece.message == wrong.INSTEAD.get(name) for piece in flight):
                raise h.Fatal(options.alert)
            flight = wrong.FLIGHT[name](flight) if name in wrong.FLIGHT else flight
        state.flight = []
        for piece in flight:
            bodies = [piece.body] if piece.kind != r.HANDSHAKE else self._numbered(piece)
            state.flight += [(piece, body) for body in bodies]
        self._again = False
        self._repeat()

    def _numbered(self, piece: Piece) -> list[bytes]:
        """A message in fragments."""
        state, options = self._state, self._engine.options
        body = piece.body
        if piece.message == h.FINISHED:
            body = self._verify_data("server finished")
            if wrong.FINISHED in options.wrong:
                body = bytes([body[0] ^ 1]) + body[1:]
        whole = h.message(piece.message, state.next_out, body)
        state.next_out += 1
        state.transcript.append(whole)
        return h.cut(whole, options.fragment)

    def _repeat(self) -> None:
        """Sends the last flight, once for a datagram: with new record numbers (RFC 6347 §4.2.4)."""
        if self._again:
            return
        self._again = True
        flight = list(self._state.flight)
        if self._engine.options.reorder:
            flight.sort(key=lambda _: self._engine.random.randbytes(4))
        for piece, body in flight:
            self._seal(piece, body)

    def _send(self, piece: Piece) -> None:
        """A record that is not sent again; a HelloRequest is of the next handshake, so its number is 0."""
        body = h.message(piece.message, 0, piece.body) if piece.kind == r.HANDSHAKE else piece.body
        self._seal(piece, body)

    def _seal(self, piece: Piece, body: bytes) -> None:
        state, options = self._state, self._engine.options
        kind, cid = piece.kind, b""
        if piece.epoch and state.peer_cid:
            kind, cid, body = r.TLS12_CID, state.peer_cid, r.wrap(body, kind, options.cid_padding)
        record = r.Record(kind, r.DTLS_1_2, piece.epoch, state.numbers[piece.epoch], cid, body)
        state.numbers[piece.epoch] += 1
        if piece.epoch and state.writer is not None:
            record, state.write_epoch = state.writer.seal(record), 1
        data = record.encode()
        spoilt = wrong.MAC_OF_DATA if piece.kind == r.APPLICATION_DATA else wrong.MAC_OF_FINISHED
        if spoilt in options.wrong and (piece.kind == r.APPLICATION_DATA or piece.message == h.FINISHED):
            data = data[:-1] + bytes([data[-1] ^ 1])
        self._out.append(data)

    def _datagrams(self) -> list[bytes]:
        """The records that wait, as many in one datagram as go in."""
        out: list[bytes] = []
        for data in self._out:
            if out and not self._engine.options.one_each and len(out[-1]) + len(data) <= MTU:
                out[-1] += data
            else:
                out.append(data)
        self._out = []
        return out
