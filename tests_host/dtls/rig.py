"""A client of ours under test, the scripted server before it, and what must be true of every datagram it sends.

For CPython and the VMs. The client has the server's AES, the fastest there is: the room's own has tests of its own.
"""

from dtls import client as c
from dtls import primitives
from dtls.record import DtlsError, Window
from tests_host.dtls import scripted_server as s

IDENTITY = b"868543060974334"
PSK = b"TYvoiTk34D3NZ6GN"
CLIENT_RANDOM = bytes([0x43]) * 32
DATAGRAM = 1200  # the longest of a handshake
FATAL, WARNING = 2, 1


def quickly(call):
    """With the AES of tests."""
    before, primitives._aes = primitives._aes, s.aes
    try:
        return call()
    finally:
        primitives._aes = before


class Watched:
    """A client. `datagrams` are those of the last call; each record has a number of its own, nothing is said in plain
    after the ChangeCipherSpec but what was said before it, and application data never."""

    def __init__(self, client, floor=0):
        self.client = client
        self.datagrams = []
        self.next = [0, floor]  # the least number a record may have, by epoch
        self.plain = []  # (type, content) of epoch 0, until the ChangeCipherSpec
        self.switched = floor > 0
        self.block = b""  # the keys of epoch 1, from its first record on

    def start(self, now=0, resume=None):
        return self._run(lambda: self.client.start(now, CLIENT_RANDOM, resume))

    def receive(self, datagram, now=0):
        return self._run(lambda: self.client.receive(datagram, now))

    def poll(self, now):
        return self._run(lambda: self.client.poll(now))

    def send(self, data):
        return self._run(lambda: self.client.send(data))

    def close(self):
        return self._run(self.client.close)

    def _run(self, call):
        """What was sent."""
        quickly(call)
        self.datagrams = self.client.out[:]
        del self.client.out[:]
        for datagram in self.datagrams:
            records = s.split(datagram, self.client.cid)
            assert len(datagram) <= DATAGRAM or len(records) == 1
            for record in records:
                self._record(*record)
        return self.datagrams

    def _record(self, kind, epoch, sequence, fragment):
        assert epoch in (0, 1) and sequence >= self.next[epoch], "a record number twice"
        self.next[epoch] = sequence + 1
        if epoch:
            assert self.switched and self.block in (b"", self.client.block)
            self.block = self.client.block
            return
        assert kind in (s.CCS, s.ALERT, s.HANDSHAKE)
        if self.switched:
            assert (kind, fragment) in self.plain, "in plain after the ChangeCipherSpec"
        self.plain.append((kind, fragment))
        self.switched = self.switched or kind == s.CCS

    def copy(self):
        """As it is now; what comes of one does not reach the other."""
        other = Watched(copy_of(self.client))
        other.next, other.plain = self.next[:], self.plain[:]
        other.switched, other.block = self.switched, self.block
        return other


def copy_of(client):
    other = c.Client(client.identity, client.psk)
    _take_over(client, other)
    window = client.window
    other.window = Window(window.high, window.seen)
    if client._shake is not None:
        from dtls.handshake import Handshake

        other._shake = Handshake(other, b"", None)
        _take_over(client._shake, other._shake)
        other._shake._client = other
        parts = client._shake._parts
        other._shake._parts = {order: _part(parts[order]) for order in parts}
    return other


def _part(part):
    kind, content, ranges, epoch = part
    return [kind, bytearray(content), ranges[:], epoch]


def _take_over(one, other):
    """Every field, lists as new ones."""
    fields = one.__dict__
    for name in fields:
        value = fields[name]
        setattr(other, name, value[:] if isinstance(value, list) else value)


class Rig:
    """`step` by `step`: "hello", "asked" (with a cookie), "keys" (our Finished is out), "changed", "open"."""

    def __init__(self, step="hello", suite=s.CCM_8, offer_cid=True, suites=None, resume=None, cookie=False, **server):
        client = c.Client(IDENTITY, PSK, suites or (suite,), 1000, 4, offer_cid)
        self.watched = Watched(client)
        self.client = client
        self.server = s.Server(PSK, suite, **server)
        self.cookie = cookie
        self.hear(self.watched.start(0, resume))
        self.go(step)

    def go(self, step):
        server = self.server
        if step == "hello":
            return
        if self.cookie or step == "asked":
            self.receive(server.record(s.HANDSHAKE, server.verify_request()))
        if step == "asked":
            return
        flight = server.hello_flight()
        self.receive(server.record(s.HANDSHAKE, b"".join(flight)))
        if step == "keys":
            return
        self.receive(server.record(s.CCS, b"\x01"))
        if step == "changed":
            return
        assert step == "open"
        self.receive(server.record(s.HANDSHAKE, server.finished(), 1))
        assert self.client.state == c.CONNECTED, self.client.error

    def go_on(self):
        """The honest end of a handshake after the server's first flight, and data in both directions."""
        assert self.client.state == c.SHAKING, self.client.error
        self.receive(self.server.last_flight())
        self.talk()

    def talk(self):
        """Data in both directions."""
        assert self.client.state == c.CONNECTED, self.client.error
        del self.client.inbox[:]
        self.sealed(s.DATA, b"downlink")
        self.hear(self.watched.send(b"uplink"))
        assert self.client.inbox == [b"downlink"] and self.server.heard[-1] == (1, s.DATA, b"uplink")

    def hear(self, datagrams):
        for datagram in datagrams:
            self.server.hear(datagram)
        return datagrams

    def receive(self, datagram, now=0):
        """From the server; it hears the answer."""
        return self.hear(self.watched.receive(datagram, now))

    def plain(self, kind, body, **changed):
        return self.receive(self.server.record(kind, body, **changed))

    def sealed(self, kind, body, **changed):
        return self.receive(self.server.record(kind, body, 1, **changed))

    def message(self, kind, body, epoch=0, order=None):
        """A handshake message of these bytes, with the next number."""
        order = self.server.order if order is None else order
        return self.receive(self.server.record(s.HANDSHAKE, s.message(kind, order, body), epoch))

    # -- what came of it -----------------------------------------------------------------------------------------------

    def ended(self, alert):
        """Whether it ended the session with this alert, protected where it had to be, and says no more."""
        error, client = self.client.error, self.client
        if client.state != c.CLOSED or not isinstance(error, DtlsError) or not error.ours:
            return False
        where = 1 if self.watched.switched else 0
        return error.alert == alert and self.server.heard[-1] == (where, s.ALERT, bytes([FATAL, alert]))

    def unmoved(self):
        """Whether the last datagram had no effect at all, and the session still comes to its end."""
        return self.client.error is None and not self.watched.datagrams


def held(client):
    """Bytes of all byte strings a client and its handshake hold, keys of a protection aside."""
    total, left = 0, [client.__dict__[name] for name in client.__dict__]
    if client._shake is not None:
        left += [client._shake.__dict__[name] for name in client._shake.__dict__]
    while left:
        one = left.pop()
        if isinstance(one, (bytes, bytearray)):
            total += len(one)
        elif isinstance(one, (list, tuple)):
            total += 8
            left += one
        elif isinstance(one, dict):
            left += [one[name] for name in one]
    return total
