"""The handshake of a DTLS 1.2 client with a pre-shared key (RFC 6347 §4.2, RFC 5246 §7.4, RFC 4279 §2).

ClientHello, HelloVerifyRequest, ClientHello with cookie; ServerHello, perhaps ServerKeyExchange with a hint,
ServerHelloDone; ClientKeyExchange, ChangeCipherSpec, Finished; ChangeCipherSpec, Finished. A session that the server
resumes leaves out the key exchange, and its Finished comes first. Loaded for this and dropped after it; it holds the
transcript (about 0.5 KB) and at most 4 messages of 512 bytes that came in fragments.
"""

from micropython import const
from ustruct import pack, unpack_from

from dtls import record as r
from dtls.client import protections
from dtls.primitives import prf, same, sha256

_CLIENT_HELLO = const(1)
_SERVER_HELLO = const(2)
_VERIFY_REQUEST = const(3)
_SERVER_KEY = const(12)
_SERVER_DONE = const(14)
_CLIENT_KEY = const(16)
_FINISHED = const(20)

_NO_RENEGOTIATION = const(0x00FF)  # TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746 §3.3)
_EXTENDED_MASTER = const(23)  # RFC 7627
_CONNECTION_ID = const(54)  # RFC 9146
_RENEGOTIATION = const(0xFF01)

_MESSAGE = const(512)  # bytes of the longest message taken; a ServerHello with a long hint behind it has half of them
_AHEAD = const(4)  # messages that are put together at a time
_RANGES = const(8)  # disjoint parts of one message
_VERIFY_REQUESTS = const(3)  # a server's cookies may become old while we answer


class Handshake:
    """`client` is the dtls.client.Client it makes a session for. `phase` is that of a DtlsError, `changed` whether the
    server's ChangeCipherSpec came, `early` a record that overtook it."""

    def __init__(self, client, random: bytes, resume) -> None:
        self._client = client
        self._random = random
        self._resume = resume
        self.phase = r.HELLO
        self.changed = False
        self.early = None
        self._cookie = b""
        self._verified = 0  # HelloVerifyRequests answered
        self._next_out = 0  # message_seq
        self._next_in = 0
        self._parts = {}  # message_seq: [type, content, ranges that came]
        self._transcript = b""
        self._server_random = b""
        self._awaited = [_VERIFY_REQUEST, _SERVER_HELLO]  # types of message
        self._expected = b""  # the server's Finished

    def hello(self, now: int) -> None:
        """Sends ClientHello, with the server's cookie once there is one."""
        client = self._client
        known = b"" if self._resume is None else self._resume[0]
        suites = b"".join([suite.to_bytes(2, "big") for suite in client.suites]) + pack(">H", _NO_RENEGOTIATION)
        extensions = pack(">HH", _EXTENDED_MASTER, 0)
        if client.offer_cid:
            extensions += pack(">HHB", _CONNECTION_ID, 1, 0)
        body = pack(">H", r.VERSION) + self._random + _short(known) + _short(self._cookie) + pack(">H", len(suites))
        body += suites + b"\x01\x00" + pack(">H", len(extensions)) + extensions
        self._transcript = b""  # the first ClientHello and its answer are not in it (RFC 6347 §4.2.1)
        client.flight([(0, r.HANDSHAKE, self._message(_CLIENT_HELLO, body))], now)

    def change(self):
        """ChangeCipherSpec came; returns the record that overtook it, or None."""
        if _FINISHED in self._awaited:
            self.changed = True
            early, self.early = self.early, None
            return early
        return None  # too early itself: the server sends it again

    # -- messages in ---------------------------------------------------------------------------------------------------

    def fragments(self, body: bytes, epoch: int, now: int) -> None:
        """Handshake messages or parts of them, in one record. Raises Abort."""
        at = 0
        while at < len(body):
            if len(body) - at < 12:
                raise r.Abort(r.DECODE_ERROR, "handshake header cut short")
            kind, high, length, order, offset_high, offset, count_high, count = unpack_from(">BBHHBHBH", body, at)
            length |= high << 16
            offset |= offset_high << 16
            count |= count_high << 16
            at += 12
            if offset + count > length or at + count > len(body):
                raise r.Abort(r.DECODE_ERROR, "handshake fragment beyond its message")
            if kind or length:  # not HelloRequest, which means nothing now (RFC 5246 §7.4.1.1)
                self._fragment(kind, length, order, offset, body[at : at + count], epoch)
            at += count
        self._assembled(epoch, now)

    def _fragment(self, kind: int, length: int, order: int, offset: int, data: bytes, epoch: int) -> None:
        if not self._next_in <= order < self._next_in + _AHEAD or not epoch and self.changed:
            return  # came before, or is not needed yet: the server sends it again
        if order == self._next_in and kind not in self._awaited:
            raise r.Abort(r.UNEXPECTED_MESSAGE, "handshake message of type %d" % kind)
        if length > _MESSAGE:
            raise r.Abort(r.INTERNAL_ERROR, "handshake message of %d bytes" % length)
        part = self._parts.get(order)
        if part is None:
            part = self._parts[order] = [kind, bytearray(length), [], epoch]
        if part[0] != kind or len(part[1]) != length or part[3] != epoch:
            raise r.Abort(r.ILLEGAL_PARAMETER, "fragments that do not belong together")
        part[1][offset : offset + len(data)] = data
        ranges = [one for one in part[2] if one[1] < offset or one[0] > offset + len(data)]
        touched = [one for one in part[2] if one not in ranges]
        start = min([one[0] for one in touched] + [offset])
        end = max([one[1] for one in touched] + [offset + len(data)])
        if len(ranges) < _RANGES:
            part[2] = ranges + [(start, end)]

    def _assembled(self, epoch: int, now: int) -> None:
        """Takes the messages that are whole and whose turn it is."""
        while True:
            part = self._parts.get(self._next_in)
            if part is None or part[2] != [(0, len(part[1]))]:
                return
            kind, content = part[0], bytes(part[1])
            if kind not in self._awaited or (kind == _FINISHED) != (part[3] == 1):
                raise r.Abort(r.UNEXPECTED_MESSAGE, "handshake message of type %d" % kind)
            del self._parts[self._next_in]
            order = self._next_in
            self._next_in += 1
            if kind == _FINISHED:
                self._finished(content, order, now)
                return
            if kind != _VERIFY_REQUEST:
                self._transcript += _whole(kind, order, content)
            if kind == _VERIFY_REQUEST:
                self._verify(content, now)
            elif kind == _SERVER_HELLO:
                self._server_hello(content)
            elif kind == _SERVER_KEY:
                self._server_key(content)
            else:
                self._server_done(content, now)

    def _verify(self, content: bytes, now: int) -> None:
        """HelloVerifyRequest: version, cookie."""
        if len(content) < 3 or len(content) != 3 + content[2]:
            raise r.Abort(r.DECODE_ERROR, "HelloVerifyRequest")
        self._verified += 1
        if self._verified > _VERIFY_REQUESTS:
            raise r.Abort(r.UNEXPECTED_MESSAGE, "one HelloVerifyRequest after another")
        self._cookie = content[3:]
        self.hello(now)

    def _server_hello(self, content: bytes) -> None:
        client = self._client
        if len(content) < 38 or len(content) < 38 + content[34] or content[34] > 32:
            raise r.Abort(r.DECODE_ERROR, "ServerHello cut short")
        if content[:2] != pack(">H", r.VERSION):
            raise r.Abort(r.PROTOCOL_VERSION, "ServerHello of another version")
        end = 35 + content[34]
        session_id = content[35:end]
        suite, compression = unpack_from(">HB", content, end)
        if suite not in client.suites or compression:
            raise r.Abort(r.ILLEGAL_PARAMETER, "ServerHello chose what was not offered")
        self._server_random = content[2:34]
        client.suite = suite
        client.session_id = session_id
        found = _extensions(content[end + 3 :])
        client.extended = _EXTENDED_MASTER in found
        if found.pop(_EXTENDED_MASTER, b""):
            raise r.Abort(r.DECODE_ERROR, "extended master secret")
        if found.pop(_RENEGOTIATION, b"\x00") != b"\x00":
            raise r.Abort(r.HANDSHAKE_FAILURE, "renegotiation")  # RFC 5746 §3.4
        client.cid = b""
        cid = found.pop(_CONNECTION_ID, None)
        if cid is not None:
            if not client.offer_cid:
                raise r.Abort(r.UNSUPPORTED_EXTENSION, "connection id")
            if not cid or len(cid) != 1 + cid[0]:
                raise r.Abort(r.DECODE_ERROR, "connection id")
            client.cid = cid[1:]
        if found:
            raise r.Abort(r.UNSUPPORTED_EXTENSION, "ServerHello with an extension that was not offered")
        self._awaited = [_SERVER_KEY, _SERVER_DONE]
        if self._resume is not None and session_id == self._resume[0]:
            self._resumes(*self._resume[1:])

    def _resumes(self, master: bytes, suite: int, extended: bool) -> None:
        """The server goes on with the session that was offered (RFC 5246 §7.3, RFC 7627 §5.3)."""
        client = self._client
        if client.suite != suite or client.extended != extended:
            raise r.Abort(r.HANDSHAKE_FAILURE, "resumed under other conditions")
        client.resumed = True
        client.hurry()  # what its secret does not open is dropped: this would look like silence
        client.master = master
        self._keys()
        self._expected = self._verify_data(b"server finished")
        self.phase = r.KEYS
        self._awaited = [_FINISHED]

    def _server_key(self, content: bytes) -> None:
        """The identity hint: it must be well-formed, and is not needed (RFC 4279 §5.2)."""
        if len(content) < 2 or len(content) != 2 + (content[0] << 8 | content[1]):
            raise r.Abort(r.DECODE_ERROR, "ServerKeyExchange")
        self._awaited = [_SERVER_DONE]

    def _server_done(self, content: bytes, now: int) -> None:
        if content:
            raise r.Abort(r.DECODE_ERROR, "ServerHelloDone")
        client = self._client
        key = self._message(_CLIENT_KEY, pack(">H", len(client.identity)) + client.identity)
        # RFC 4279 §2: as many zeros as the key is long, then the key, each behind its length
        size = pack(">H", len(client.psk))
        secret = size + bytes(len(client.psk)) + size + client.psk
        if client.extended:
            client.master = prf(secret, b"extended master secret", sha256(self._transcript), 48)
        else:
            client.master = prf(secret, b"master secret", self._random + self._server_random, 48)
        self._keys()
        finished = self._message(_FINISHED, self._verify_data(b"client finished"))
        self._expected = self._verify_data(b"server finished")
        self.phase = r.KEYS
        self._awaited = [_FINISHED]
        client.flight(
            [(0, r.HANDSHAKE, key), (0, r.CHANGE_CIPHER_SPEC, b"\x01"), (1, r.HANDSHAKE, finished)], now
        )

    def _keys(self) -> None:
        client = self._client
        randoms = self._server_random + self._random
        client.use(prf(client.master, b"key expansion", randoms, protections(client.suite).KEY_BLOCK))

    def _finished(self, content: bytes, order: int, now: int) -> None:
        if not same(content, self._expected):
            raise r.Abort(r.DECRYPT_ERROR, "the server's Finished is wrong")
        client = self._client
        if client.resumed:
            self._transcript += _whole(_FINISHED, order, content)
            finished = self._message(_FINISHED, self._verify_data(b"client finished"))
            client.flight([(0, r.CHANGE_CIPHER_SPEC, b"\x01"), (1, r.HANDSHAKE, finished)], now, True)
        client.done(client.resumed)

    # -- messages out --------------------------------------------------------------------------------------------------

    def _message(self, kind: int, body: bytes) -> bytes:
        """A message of ours, which is in the transcript from now on."""
        whole = _whole(kind, self._next_out, body)
        self._next_out += 1
        self._transcript += whole
        return whole

    def _verify_data(self, label: bytes) -> bytes:
        """RFC 5246 §7.4.9."""
        return prf(self._client.master, label, sha256(self._transcript), 12)


def _whole(kind: int, order: int, body: bytes) -> bytes:
    """A message as one fragment: so it is sent, and so it is hashed (RFC 6347 §4.2.6)."""
    count = len(body)
    return pack(">BBHHBHBH", kind, count >> 16, count & 0xFFFF, order, 0, 0, count >> 16, count & 0xFFFF) + body


def _short(data: bytes) -> bytes:
    return bytes([len(data)]) + data


def _extensions(data: bytes) -> dict:
    """{type: content} of what is behind a ServerHello's compression method; may be nothing at all."""
    found = {}
    if not data:
        return found
    if len(data) < 2 or len(data) != 2 + (data[0] << 8 | data[1]):
        raise r.Abort(r.DECODE_ERROR, "extensions")
    at = 2
    while at < len(data):
        if at + 4 > len(data):
            raise r.Abort(r.DECODE_ERROR, "extension cut short")
        kind, count = unpack_from(">HH", data, at)
        at += 4
        if at + count > len(data) or kind in found:
            raise r.Abort(r.DECODE_ERROR, "extension")
        found[kind] = data[at : at + count]
        at += count
    return found
