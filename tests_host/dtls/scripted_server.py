"""A DTLS 1.2 PSK server that says what a test tells it to: it keeps keys, transcript and numbers, and judges nothing.

Written from RFC 6347, 5246, 4279, 6655, 5487, 7627 and 9146 with none of the room's code but AES where an interpreter
has no other; for CPython and the VMs. What an honest server says: `verify_request`, `hello_flight`, `last_flight`.
"""

from uhashlib import sha256
from ustruct import pack, unpack_from

try:
    from ucryptolib import aes
except ImportError:  # MicroPython 1.13 on a PC: FIPS 197's vectors judge the room's
    from dtls.soft_aes import Aes128

    def aes(key, mode):
        return Aes128(key)


ECB = 1

DTLS_1_2, DTLS_1_0 = 0xFEFD, 0xFEFF
CCS, ALERT, HANDSHAKE, DATA, CID_RECORD = 20, 21, 22, 23, 25
HELLO_REQUEST, CLIENT_HELLO, SERVER_HELLO, VERIFY_REQUEST, SESSION_TICKET, CERTIFICATE = 0, 1, 2, 3, 4, 11
SERVER_KEY, CERTIFICATE_REQUEST, SERVER_DONE, CLIENT_KEY, FINISHED = 12, 13, 14, 16, 20
CCM_8, CBC = 0xC0A8, 0x00AE
EXTENDED_MASTER, CONNECTION_ID, RENEGOTIATION = 23, 54, 0xFF01
RANDOM = bytes([0x53]) * 32

# Alerts (RFC 5246 §7.2)
CLOSE_NOTIFY, UNEXPECTED, HANDSHAKE_FAILURE, ILLEGAL, DECODE, DECRYPT = 0, 10, 40, 47, 50, 51
VERSION, INTERNAL, NO_RENEGOTIATION, UNSUPPORTED = 70, 80, 100, 110


def hmac(key, data):
    if len(key) > 64:
        key = sha256(key).digest()
    key = key + bytes(64 - len(key))
    inner = sha256(bytes([byte ^ 0x36 for byte in key]) + data).digest()
    return sha256(bytes([byte ^ 0x5C for byte in key]) + inner).digest()


def prf(secret, label, seed, count):
    seed = label + seed
    out, a = b"", seed
    while len(out) < count:
        a = hmac(secret, a)
        out += hmac(secret, a + seed)
    return out[:count]


def xor(one, other):
    count = min(len(one), len(other))
    number = int.from_bytes(one[:count], "big") ^ int.from_bytes(other[:count], "big")
    return number.to_bytes(count, "big")


def padded(data):
    return data + bytes(-len(data) % 16)


class Ccm:
    """One direction under AES-128-CCM with 8 bytes of MAC (RFC 3610, RFC 6655)."""

    def __init__(self, key, salt):
        self._block = aes(key, ECB).encrypt
        self._salt = salt

    def _crypt(self, nonce, data):
        """Key stream over `data`; and what hides the MAC."""
        blocks = b"".join([b"\x02" + nonce + pack(">I", i)[1:] for i in range(2 + len(data) // 16)])
        stream = self._block(blocks)
        return xor(data, stream[16:]), stream[:8]

    def _mac(self, nonce, extra, plain):
        state = self._block(b"\x5a" + nonce + pack(">I", len(plain))[1:])
        rest = padded(pack(">H", len(extra)) + extra) + padded(plain)
        for at in range(0, len(rest), 16):
            state = self._block(xor(state, rest[at : at + 16]))
        return state[:8]

    def seal(self, explicit, extra, plain):
        nonce = self._salt + explicit
        data, mask = self._crypt(nonce, plain)
        return explicit + data + xor(self._mac(nonce, extra(len(plain)), plain), mask)

    def unseal(self, extra, sealed):
        if len(sealed) < 16:
            return None
        nonce = self._salt + sealed[:8]
        plain, mask = self._crypt(nonce, sealed[8:-8])
        return plain if xor(self._mac(nonce, extra(len(plain)), plain), mask) == sealed[-8:] else None


class Cbc:
    """One direction under AES-128-CBC and HMAC-SHA-256, MAC first (RFC 5246 §6.2.3.2)."""

    def __init__(self, key, mac_key):
        self._encrypt, self._decrypt = aes(key, ECB).encrypt, aes(key, ECB).decrypt
        self._mac_key = mac_key

    def seal(self, explicit, extra, plain):
        data = plain + hmac(self._mac_key, extra(len(plain)) + plain)
        pad = -(len(data) + 1) % 16
        return self.chained(explicit, data + bytes([pad]) * (pad + 1))

    def chained(self, explicit, data):
        """Encrypts whole blocks, MAC and padding made by the caller."""
        state = sha256(explicit).digest()[:16]
        out = state
        for at in range(0, len(data), 16):
            state = self._encrypt(xor(state, data[at : at + 16]))
            out += state
        return out

    def unseal(self, extra, sealed):
        if len(sealed) % 16 or len(sealed) < 64:
            return None
        data = xor(self._decrypt(sealed[16:]), sealed[:-16])
        pad = data[-1]
        end = len(data) - pad - 33
        if end < 0 or data[end + 32 :] != bytes([pad]) * (pad + 1):
            return None
        return data[:end] if hmac(self._mac_key, extra(end) + data[:end]) == data[end : end + 32] else None


def message(kind, order, body, offset=0, count=None, length=None):
    """A handshake message or a fragment of it: `body` is what is in it."""
    length = len(body) if length is None else length
    count = len(body) if count is None else count
    sizes = [pack(">I", number)[1:] for number in (length, offset, count)]
    return bytes([kind]) + sizes[0] + pack(">H", order) + sizes[1] + sizes[2] + body


def pieces_of(whole, *cuts):
    """A whole message as fragments, cut at these offsets of its body."""
    kind, order = whole[0], unpack_from(">H", whole, 4)[0]
    body, edges = whole[12:], [0] + list(cuts) + [len(whole) - 12]
    return [
        message(kind, order, body[edges[i] : edges[i + 1]], edges[i], None, len(body)) for i in range(len(edges) - 1)
    ]


def extension(kind, content):
    return pack(">HH", kind, len(content)) + content


def framed(kind, epoch, sequence, fragment, version=DTLS_1_2, length=None, cid=b""):
    """A record's header, and the fragment as it is."""
    length = len(fragment) if length is None else length
    head = pack(">BHHHI", kind, version, epoch, sequence >> 32, sequence & 0xFFFFFFFF) + cid
    return head + pack(">H", length) + fragment


def split(datagram, cid=b""):
    """[(kind, epoch, sequence, fragment)] of what a client sent; asserts that it is nothing but records."""
    found, at = [], 0
    while at < len(datagram):
        kind, version, epoch, high, low = unpack_from(">BHHHI", datagram, at)
        assert version == DTLS_1_2, version
        at += 11
        if kind == CID_RECORD:
            assert datagram[at : at + len(cid)] == cid
            at += len(cid)
        length = unpack_from(">H", datagram, at)[0]
        assert at + 2 + length <= len(datagram)
        found.append((kind, epoch, high << 32 | low, datagram[at + 2 : at + 2 + length]))
        at += 2 + length
    return found


class Server:
    """`cid`: the connection id it wants in records to it, None for no such extension; `session_id`: its choice, with
    `master` that of the session it goes on with; `hint`: None for no ServerKeyExchange."""

    def __init__(self, psk, suite=CCM_8, extended=True, cid=None, hint=None, session_id=b"", master=b""):
        self.psk, self.suite, self.extended, self.cid = psk, suite, extended, cid
        self.hint, self.session_id, self.master = hint, session_id, master
        self.resumes = master != b""
        self.order = 0  # of its next handshake message
        self.numbers = [0, 0]  # of its next record, by epoch
        self.transcript = b""
        self.client_random = b""
        self.reader = self.writer = None
        self.heard = []  # (epoch, kind, content) of the client's records

    # -- records -------------------------------------------------------------------------------------------------------

    def record(self, kind, body, epoch=0, sequence=None, version=DTLS_1_2):
        """The next record, or one with the number of `sequence`; protected in epoch 1."""
        if sequence is None:
            sequence = self.numbers[epoch]
            self.numbers[epoch] += 1
        if epoch:
            body = self.sealed(kind, body, epoch, sequence, version)
        return framed(kind, epoch, sequence, body, version)

    def sealed(self, kind, body, epoch, sequence, version=DTLS_1_2):
        """A protected fragment."""
        which = pack(">HHI", epoch, sequence >> 32, sequence & 0xFFFFFFFF)
        return self.writer.seal(which, lambda length: which + pack(">BHH", kind, version, length), body)

    def opened(self, kind, epoch, sequence, fragment):
        """(kind, content) of a protected record of the client; asserts that it is one."""
        which = pack(">HHI", epoch, sequence >> 32, sequence & 0xFFFFFFFF)
        cid = self.cid or b""
        if kind == CID_RECORD:
            head = bytes([255] * 8) + pack(">BBBH", CID_RECORD, len(cid), CID_RECORD, DTLS_1_2) + which + cid
            inner = self.reader.unseal(lambda length: head + pack(">H", length), fragment)
            assert inner, "not the client's"
            return inner[-1], inner[:-1]
        assert not cid, "no connection id"
        body = self.reader.unseal(lambda length: which + pack(">BHH", kind, DTLS_1_2, length), fragment)
        assert body is not None, "not the client's"
        return kind, body

    # -- what the client says ------------------------------------------------------------------------------------------

    def hear(self, datagram):
        for kind, epoch, sequence, fragment in split(datagram, self.cid or b""):
            if epoch:
                kind, fragment = self.opened(kind, epoch, sequence, fragment)
            self.heard.append((epoch, kind, fragment))
            if kind == HANDSHAKE:
                self._heard(fragment)

    def _heard(self, whole):
        if whole[0] == CLIENT_HELLO:
            self.client_random, self.transcript = whole[14:46], whole
            return
        if whole[0] == FINISHED:
            assert whole[12:] == self.verify_data(b"client finished")
        self.transcript += whole
        if whole[0] == CLIENT_KEY:
            size = pack(">H", len(self.psk))
            secret = size + bytes(len(self.psk)) + size + self.psk
            if self.extended:
                self.master = prf(secret, b"extended master secret", sha256(self.transcript).digest(), 48)
            else:
                self.master = prf(secret, b"master secret", self.client_random + RANDOM, 48)
            self.derive()

    def derive(self):
        """Both directions' protection."""
        mac, salt = (0, 4) if self.suite == CCM_8 else (32, 0)
        block = prf(self.master, b"key expansion", RANDOM + self.client_random, 2 * (mac + 16 + salt))
        macs, keys, salts = block[: 2 * mac], block[2 * mac : 2 * mac + 32], block[2 * mac + 32 :]
        if self.suite == CCM_8:
            self.reader, self.writer = Ccm(keys[:16], salts[:4]), Ccm(keys[16:], salts[4:])
        else:
            self.reader, self.writer = Cbc(keys[:16], macs[:32]), Cbc(keys[16:], macs[32:])

    def verify_data(self, label):
        return prf(self.master, label, sha256(self.transcript).digest(), 12)

    # -- what it says --------------------------------------------------------------------------------------------------

    def say(self, kind, body, heard=True):
        """The next handshake message, in the transcript unless `heard` is False."""
        whole = message(kind, self.order, body)
        self.order += 1
        if heard:
            self.transcript += whole
        return whole

    def hello_body(self, version=DTLS_1_2, session_id=None, suite=None, compression=0, extensions=None):
        session_id = self.session_id if session_id is None else session_id
        if extensions is None:
            extensions = self.extensions()
        body = pack(">H", version) + RANDOM + bytes([len(session_id)]) + session_id
        body += pack(">HB", self.suite if suite is None else suite, compression)
        return body + (pack(">H", len(extensions)) + extensions if extensions else b"")

    def extensions(self):
        out = extension(RENEGOTIATION, b"\x00")
        if self.extended:
            out += extension(EXTENDED_MASTER, b"")
        if self.cid is not None:
            out += extension(CONNECTION_ID, bytes([len(self.cid)]) + self.cid)
        return out

    def verify_request(self, cookie=b"\xc0" * 20):
        return self.say(VERIFY_REQUEST, pack(">HB", DTLS_1_0, len(cookie)) + cookie, False)

    def hello_flight(self):
        """ServerHello and what follows it in epoch 0: whole messages."""
        flight = [self.say(SERVER_HELLO, self.hello_body())]
        if self.resumes:
            self.derive()
            return flight
        if self.hint is not None:
            flight.append(self.say(SERVER_KEY, pack(">H", len(self.hint)) + self.hint))
        return flight + [self.say(SERVER_DONE, b"")]

    def finished(self):
        return self.say(FINISHED, self.verify_data(b"server finished"))

    def last_flight(self):
        """ChangeCipherSpec and Finished, as records in one datagram."""
        return self.record(CCS, b"\x01") + self.record(HANDSHAKE, self.finished(), 1)
