"""Who talks to our own DTLS server in tests: a client of the fewest lines, and a loopback socket for outside programs.

The client (PSK-AES128-CCM8, connection ids, resumption) is written from the RFCs and shares nothing with the server.
"""

import hashlib
import hmac
import random
import socket
import struct
import threading

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from tools.ctwing.dtls_own import Engine

PSK = b"TYvoiTk34D3NZ6GN"
IDENTITY = "868543060974334"
LIMIT_S = 20.0


def sha256_prf(secret, label, seed, length):
    """RFC 5246 §5."""
    block, out = label + seed, b""
    while len(out) < length:
        block = hmac.digest(secret, block, "sha256")
        out += hmac.digest(secret, block + label + seed, "sha256")
    return out[:length]


class Client:
    """`cid`: the id asked for in records to us, None: no such extension. `saved`: (session id, master) to resume."""

    def __init__(self, psk=PSK, identity=b"868543060974334", cid=None, saved=(b"", b""), extended=True, seed=1):
        self.psk, self.identity, self.cid, self.extended = psk, identity, cid, extended
        self.session_id, self.master = saved
        self.random = random.Random(seed).randbytes(32)
        self.suites, self.version = (0xC0A8, 0x00FF), 0xFEFD
        self.numbers, self.seq = [0, 0], 0
        self.transcript = b""
        self.to_server = b""  # the server's connection id
        self.received = []  # (type, epoch, content) of every record
        self.server_hello = None

    # records

    def record(self, kind, epoch, content):
        number = struct.pack("!HHI", epoch, 0, self.numbers[epoch])
        self.numbers[epoch] += 1
        if epoch == 0:
            return struct.pack("!BH", kind, 0xFEFD) + number + struct.pack("!H", len(content)) + content
        if not self.to_server:
            additional = number + struct.pack("!BHH", kind, 0xFEFD, len(content))
            head = struct.pack("!BH", kind, 0xFEFD) + number
        else:
            content += bytes([kind])
            size = bytes([len(self.to_server)])
            additional = b"\xff" * 8 + b"\x19" + size + b"\x19\xfe\xfd" + number + self.to_server
            additional += struct.pack("!H", len(content))
            head = b"\x19\xfe\xfd" + number + self.to_server
        body = number + AESCCM(self.keys[0], 8).encrypt(self.keys[2] + number, content, additional)
        return head + struct.pack("!H", len(body)) + body

    def open(self, datagram):
        """The records of the server, noted and returned."""
        out, cid, at = [], self.cid or b"", 0
        while at < len(datagram):
            kind, size = datagram[at], len(cid) if datagram[at] == 25 else 0
            epoch, number = datagram[at + 4], datagram[at + 3 : at + 11]
            assert datagram[at + 11 : at + 11 + size] == cid[:size]
            start = at + 13 + size
            end = start + int.from_bytes(datagram[start - 2 : start], "big")
            content = datagram[start:end]
            if epoch:
                length = struct.pack("!H", len(content) - 16)
                additional = number + bytes([kind]) + b"\xfe\xfd" + length
                if size:
                    additional = b"\xff" * 8 + bytes([25, size, 25]) + b"\xfe\xfd" + number + cid + length
                content = AESCCM(self.keys[1], 8).decrypt(self.keys[3] + content[:8], content[8:], additional)
                if size:
                    content = content.rstrip(b"\0")
                    kind, content = content[-1], content[:-1]
            out.append((kind, epoch, content))
            at = end
        self.received += out
        return out

    # messages

    def message(self, kind, body):
        length = len(body).to_bytes(3, "big")
        whole = bytes([kind]) + length + struct.pack("!H", self.seq) + bytes(3) + length + body
        self.seq += 1
        self.transcript += whole
        return whole

    def hello(self, cookie=b""):
        extensions = b"\x00\x17\x00\x00" if self.extended else b""
        if self.cid is not None:
            extensions += struct.pack("!HHB", 54, len(self.cid) + 1, len(self.cid)) + self.cid
        suites = struct.pack(f"!{len(self.suites)}H", *self.suites)
        body = struct.pack("!H", self.version) + self.random + bytes([len(self.session_id)]) + self.session_id
        body += bytes([len(cookie)]) + cookie + struct.pack("!H", len(suites)) + suites + b"\x01\x00"
        self.transcript = b""
        return self.record(22, 0, self.message(1, body + struct.pack("!H", len(extensions)) + extensions))

    def derive(self, server_random):
        block = sha256_prf(self.master, b"key expansion", server_random + self.random, 40)
        self.keys = block[:16], block[16:32], block[32:36], block[36:40]

    def verify_data(self, label):
        return sha256_prf(self.master, label, hashlib.sha256(self.transcript).digest(), 12)

    def begin(self, server):
        """Both hellos; the datagrams of the server's flight."""
        out, _ = server.receive(self.hello())
        if out and out[0][13] == 3:
            cookie = out[0][28:]
            out, _ = server.receive(self.hello(cookie))
        return out

    def read_server_hello(self, message):
        body = message[12:]
        at = 35 + body[34]
        self.server_hello = {"version": body[:2], "random": body[2:34], "id": body[35:at], "suite": body[at : at + 2],
                             "compression": body[at + 2], "extensions": {}}  # fmt: skip
        at += 5
        while at < len(body):
            kind, length = struct.unpack_from("!HH", body, at)
            self.server_hello["extensions"][kind] = body[at + 4 : at + 4 + length]
            at += 4 + length
        self.to_server = self.server_hello["extensions"].get(54, b"\0")[1:]

    def key_exchange(self):
        """The client's flight after a full ServerHello's."""
        key = self.message(16, struct.pack("!H", len(self.identity)) + self.identity)
        length = struct.pack("!H", len(self.psk))
        premaster = length + bytes(len(self.psk)) + length + self.psk
        seed, label = self.random + self.server_hello["random"], b"master secret"
        if 23 in self.server_hello["extensions"]:
            seed, label = hashlib.sha256(self.transcript).digest(), b"extended master secret"
        self.master = sha256_prf(premaster, label, seed, 48)
        self.derive(self.server_hello["random"])
        return [self.record(22, 0, key), *self.finished()]

    def finished(self):
        self.last = self.message(20, self.verify_data(b"client finished"))
        return [self.record(20, 0, b"\1"), self.record(22, 1, self.last)]

    def again(self, datagram):
        """That flight once more: its plain records as they were, its Finished in a record of the next number."""
        at = 0
        while at < len(datagram) and datagram[at + 4] == 0:
            at += 13 + int.from_bytes(datagram[at + 11 : at + 13], "big")
        return datagram[:at] + (self.record(22, 1, self.last) if at < len(datagram) else b"")

    def connect(self, server):
        """A whole handshake, full or abbreviated. The flights must come in one datagram each."""
        [flight] = self.begin(server)
        messages, at = [], 0
        while at < len(flight) and flight[at + 4] == 0:  # the plain records; a Finished needs keys first
            end = at + 13 + int.from_bytes(flight[at + 11 : at + 13], "big")
            messages.append(flight[at + 13 : end])
            at = end
        self.read_server_hello(messages[0])
        if self.session_id and self.server_hello["id"] == self.session_id:
            self.transcript += messages[0]
            self.derive(self.server_hello["random"])
            self.check_finished(flight[at:])
            server.receive(b"".join(self.finished()))
        else:
            self.transcript += b"".join(messages)
            [last], _ = server.receive(b"".join(self.key_exchange()))
            self.check_finished(last[14:])
        self.session_id = self.server_hello["id"]
        return self

    def check_finished(self, record):
        [(kind, epoch, message)] = self.open(record)
        assert (kind, epoch, message[0]) == (22, 1, 20)
        assert message[12:] == self.verify_data(b"server finished")
        self.transcript += message

    def send(self, data):
        return self.record(23, 1, data)


def engine(options=None, seed=7, **keys):
    return Engine({IDENTITY: PSK, **keys}, random.Random(seed), options)


class Served:
    """`with Served(engine) as served:` answers on `served.port`: CoAP with 2.05 "served", anything else in capitals.
    Datagrams of either direction whose number is in `lost` are; `held` ones go after the next."""

    def __init__(self, engine, lost=(), held=()):
        self.engine, self.lost, self.held = engine, lost, held
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.peers, self.plain, self.ends, self.count, self.waiting = {}, [], [], 0, []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.open = True

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.open = False
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(LIMIT_S)
        self.socket.close()
        assert not self.thread.is_alive()

    def through(self, item):
        """What arrives when `item` is sent: nothing, it, or it and what waited."""
        self.count += 1
        if self.count in self.lost:
            return []
        if self.count in self.held:
            self.waiting.append(item)
            return []
        out, self.waiting = [item, *self.waiting], []
        return out

    def serve(self):
        while True:
            data, address = self.socket.recvfrom(65536)
            if not self.open:
                return
            for one in self.through((True, data, address)):
                self.pass_on(*one)

    def pass_on(self, inward, data, address):
        if not inward:
            self.socket.sendto(data, address)
            return
        session = self.engine.owner(data) or self.peers.get(address) or self.engine.session(address)
        out, plain = session.receive(data)
        if session.fresh or session.begun:
            self.peers[address] = session
        if session.ended:
            self.ends.append(session.ended)
        for text in plain:
            self.plain.append((session.identity, text))
            out += session.send(answer(text))
        for datagram in out:
            for one in self.through((False, datagram, address)):
                self.pass_on(*one)


def answer(text):
    if text[0] >> 6 != 1 or text[0] & 15 > 8 or text[1] > 31:
        return text.upper()
    return bytes([0x60 | text[0] & 15, 0x45]) + text[2 : 4 + (text[0] & 15)] + b"\xffserved"
