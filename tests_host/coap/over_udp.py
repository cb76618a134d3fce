"""Our side of CoAP on real loopback sockets, in real time, for judges from outside: `Served` is a device to be asked,
`Caller` asks a server."""

import socket
import threading
import time

from coap import exchange as x
from coap import message as m
from m2m import client as c
from m2m import objects

LIMIT_S = 20.0  # real time after which an answer is no more waited for

LONG = "".join(chr(65 + at % 26) for at in range(1300))  # object 3, resource 17: more than two blocks of 512


def now() -> int:
    return int(time.monotonic() * 1000)


class Device:
    """A device with one long value; notes what it was told to do."""

    def __init__(self):
        self.values = {(3, 0): "Quectel", (3, 6): [1, 5], (3, 9): 88, (3, 17): LONG, (4, 8): 94537995, (1, 1): 300}
        self.written = []

    def value(self, number, resource):
        return self.values.get((number, resource))

    def write(self, number, values, replace):
        self.written.append((number, values, replace))
        return m.CHANGED

    def execute(self, number, resource, arguments):
        self.written.append((number, resource, arguments))
        return m.CHANGED


class Served:
    """`with Served() as served:` answers whoever asks on `served.port`, one exchange and client per address."""

    def __init__(self):
        self.device = Device()
        self.kept = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.peers = {}
        self.events = []
        self.sizes = []  # of the datagrams that came
        self.happened = threading.Condition()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.open = True

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.open = False
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(LIMIT_S)
        self.socket.close()
        assert not self.thread.is_alive()

    def serve(self):
        while True:
            data, address = self.socket.recvfrom(2048)
            if not self.open:
                return
            with self.happened:
                if address not in self.peers:
                    mids = iter(range(0x4000, 0x10000))
                    exchange = x.Exchange(lambda mids=mids: next(mids))
                    self.peers[address] = c.Client(exchange, objects.Tree(self.device), self.keep)
                self.sizes.append(len(data))
                event = self.peers[address].receive(data, now())
                if event is not None:
                    self.events.append((*event, address))
                self.flush(address)
                self.happened.notify_all()

    def flush(self, address):
        out = self.peers[address].exchange.out
        while out:
            self.socket.sendto(out.pop(0), address)

    def keep(self, payload):
        self.kept.append(payload)
        return m.CHANGED

    def wait(self, kind):
        """The first event of a kind: its own fields and the peer's address."""
        with self.happened:
            assert self.happened.wait_for(lambda: any(e[0] == kind for e in self.events), LIMIT_S), self.events
            event = next(e for e in self.events if e[0] == kind)
            self.events.remove(event)
            return event[1:]

    def notify(self, address, path, sequence):
        """Tells one observer what `path` reads now."""
        with self.happened:
            client = self.peers[address]
            code, form, payload = client.tree.read(path)
            assert code == m.CONTENT
            client.notify(now(), payload, sequence, path=path, form=form)
            self.flush(address)


class Caller:
    """Asks a server on a connected socket through our exchange."""

    def __init__(self, port, first_mid=0x1000):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.mid = first_mid
        self.exchange = x.Exchange(self.next_mid)
        self.until = now() + int(1000 * LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def next_mid(self):
        self.mid += 1
        return self.mid

    def end(self):
        """The next event of the exchange."""
        while True:
            while self.exchange.out:
                self.send(self.exchange.out.pop(0))
            assert now() < self.until, "no end"
            event = self.exchange.poll(now())
            if event is None:
                wait = (self.exchange.deadline() or self.until) - now()
                self.socket.settimeout(max(wait, 1) / 1000)
                try:
                    event = self.exchange.receive(self.socket.recv(2048), now())
                except (TimeoutError, ConnectionRefusedError):
                    continue
            while self.exchange.out:
                self.send(self.exchange.out.pop(0))
            if event is not None:
                return event

    def send(self, data):
        try:
            self.socket.send(data)
        except ConnectionRefusedError:  # the server is not there yet: the retransmission finds it
            time.sleep(0.02)

    def ask(self, code, path, options=(), payload=b""):
        """The response to one request."""
        mid = self.next_mid()
        options = m.path_options(m.URI_PATH, path) + list(options)
        token = bytes([mid >> 8, mid & 255])
        self.exchange.send(m.Message(m.CON, code, mid, token, options, payload), now())
        event = self.end()
        assert event[0] == x.RESPONSE, event
        return event[1]

    def pull(self, pull):
        """Drives a Pull to its end."""
        pull.ask(now())
        while True:
            end = pull.take(self.end(), now())
            if end is not None:
                return end

    def ready(self):
        """Pings until the server is there (RFC 7252 §4.3)."""
        self.socket.settimeout(0.1)
        while now() < self.until:
            self.send(m.encode(m.Message(m.CON, m.EMPTY, self.next_mid())))
            try:
                if self.socket.recv(64)[0] >> 4 & 3 == m.RST:
                    return
            except (TimeoutError, ConnectionRefusedError):
                continue
        raise AssertionError("no server")
