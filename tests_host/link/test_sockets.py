"""link.sockets: usocket's quirks are met once (quecpython.md §3.9)."""

from types import SimpleNamespace

import pytest

from tests_host.device.fakes import Ticks
from tests_host.store.bench import Bench
from tools.module.flash import Flash


class Socket:
    """A UDP socket that answers `recv` with what is in `coming`: bytes, an error number, or time that passes."""

    def __init__(self, clock):
        self.clock, self.coming, self.timeouts, self.sent = clock, [], [], []
        self.closed = 0
        self.senders = []
        self.short = False
        self.refuse = {}

    def act(self, name):
        if name in self.refuse:
            raise OSError(self.refuse[name])

    def connect(self, address):
        self.act("connect")
        self.peer = address

    def settimeout(self, seconds):
        self.timeouts.append(seconds)

    def send(self, data):
        self.act("send")
        self.sent.append(data)
        return len(data) - self.short

    def recvfrom(self, count):
        return self.recv(count), self.senders.pop(0) if self.senders else ("1.2.3.4", 5683)

    def recv(self, count):
        assert count >= 1080  # ctwing.md §2.5
        what = self.coming.pop(0) if self.coming else 110
        if isinstance(what, int):
            self.clock.ms += max(1, round(self.timeouts[-1] * 1000))
            raise OSError(what)
        return what

    def close(self):
        self.closed += 1


class Network:
    def __init__(self, refuse=None, found=(), **errors):
        self.clock = Ticks()
        self.made = []
        self.errors = errors

        def socket(family, kind):
            if "socket" in errors:
                raise OSError(errors["socket"])
            self.made.append(Socket(self.clock))
            self.made[-1].family, self.made[-1].refuse = family, refuse or {}
            return self.made[-1]

        def getaddrinfo(host, port):
            if "resolve" in errors:
                raise OSError(errors["resolve"])
            return [(family, 2, 0, "", (ip, port)) for family, ip in found]

        bench = Bench(Flash(blocks=24), usocket=SimpleNamespace(
            socket=socket, getaddrinfo=getaddrinfo, AF_INET=2, AF_INET6=10, SOCK_DGRAM=2))
        self.sockets = bench.load("link.sockets")
        self.fault = bench.load("link.fault")

    def path(self, address="1.2.3.4"):
        path = self.sockets.Path(address, 5683, self.clock)
        self.socket = self.made[-1]
        return path


@pytest.mark.parametrize(
    ("found", "address"),
    [
        ([(2, "1.2.3.4")], "1.2.3.4"), ([(10, "2001::1"), (2, "1.2.3.4")], "1.2.3.4"),
        ([(2, "1.1.1.1"), (2, "2.2.2.2")], "1.1.1.1"),
    ],
)  # fmt: skip
def test_name_resolves_to_ipv4_where_that_is_ours(found, address):
    assert Network(found=found).sockets.resolve("host", 5683, "100.101.1.2") == address


def test_name_resolves_to_ipv6_where_the_apn_gives_nothing_else():
    both = [(2, "1.2.3.4"), (10, "2001::1")]
    assert Network(found=both).sockets.resolve("host", 5683, "240e::2") == "2001::1"


@pytest.mark.parametrize(
    ("own", "found", "wanted"), [("100.101.1.2", (10, "2001::1"), "IPv4"), ("240e::2", (2, "1.2.3.4"), "IPv6")]
)
def test_name_without_an_address_that_we_can_reach_is_a_fault(own, found, wanted):
    network = Network(found=[found])
    with pytest.raises(network.fault.NoName, match=wanted):
        network.sockets.resolve("lwm2m.example", 5683, own)


@pytest.mark.parametrize(("literal", "own"), [("221.229.214.202", "100.101.1.2"), ("240e::1", "240e::2")])
def test_literal_needs_no_name_server(literal, own):
    assert Network(resolve=-2).sockets.resolve(literal, 5683, own) == literal


def test_ipv4_literal_cannot_be_reached_from_an_apn_of_ipv6_alone():
    network = Network()
    with pytest.raises(network.fault.NoName, match="IPv6 alone"):
        network.sockets.resolve("221.229.214.202", 5683, "240e::2")


@pytest.mark.parametrize(("number", "found"), [(-2, []), (-202, []), (None, []), (None, [(1, "x")])])
def test_name_that_does_not_resolve_is_a_fault_that_names_it(number, found):
    network = Network(found=found, **({"resolve": number} if number else {}))
    with pytest.raises(network.fault.NoName, match="lwm2m.example"):
        network.sockets.resolve("lwm2m.example", 5683, "100.101.1.2")


@pytest.mark.parametrize(("address", "family"), [("1.2.3.4", 2), ("2001::1", 10)])
def test_socket_is_of_the_addresss_family_and_connected(address, family):
    network = Network()
    network.path(address)
    assert (network.socket.family, network.socket.peer) == (family, (address, 5683))


@pytest.mark.parametrize("number", [-1, 22])
def test_socket_without_a_data_call_or_beyond_the_last_is_no_path(number):
    network = Network(socket=number)
    with pytest.raises(network.fault.NoPath, match=str(number)):
        network.path()


def test_socket_that_does_not_connect_is_closed():
    network = Network({"connect": 113})
    with pytest.raises(network.fault.NoPath, match="113"):
        network.path()
    assert network.made[0].closed == 1


def test_closing_frees_the_socket():
    network = Network()
    network.path().close()
    assert network.socket.closed == 1


def test_datagram_goes_out_whole_or_there_is_no_path():
    network = Network()
    path = network.path()
    path.send(b"abc")
    assert network.socket.sent == [b"abc"]
    network.socket.short = True
    with pytest.raises(network.fault.NoPath, match="2 of 3"):
        path.send(b"abc")
    network.socket.refuse["send"] = 107
    with pytest.raises(network.fault.NoPath, match="107"):
        path.send(b"abc")


@pytest.mark.parametrize("number", [110, 11])
def test_time_out_under_either_number_is_no_datagram(number):
    """S21 raises EAGAIN where S25 raises ETIMEDOUT."""
    network = Network()
    path = network.path()
    network.socket.coming = [number] * 20
    assert path.receive(12000) is None
    assert network.clock.now() == 12000


def test_no_wait_is_longer_than_five_seconds():
    """usocket rounds longer ones up (quecpython.md §3.9)."""
    network = Network()
    network.path().receive(12000)
    assert network.socket.timeouts == [5, 5, 2]


def test_datagram_that_comes_later_is_received_as_bytes():
    network = Network()
    path = network.path()
    network.socket.coming = [110, bytearray(b"\x60\x45")]
    data = path.receive(20000)
    assert (data, type(data), path.received) == (b"\x60\x45", bytes, 1)


def test_recv_that_makes_a_str_of_the_bytes_is_understood():
    network = Network()
    path = network.path()
    network.socket.coming = ["abc"]
    assert path.receive(5000) == b"abc"


def test_long_wait_sleeps_in_the_slices_that_are_not_polled():
    """Up to 5 s usocket polls every 100 ms; 20 s it waits out in full in either version (quecpython.md §3.9)."""
    network = Network()
    network.path().receive(120_000)
    assert network.socket.timeouts == [20, 20, 20, 20, 5, 5, 5, 5, 5, 5, 5, 5]
    assert network.clock.now() == 120_000


def test_datagram_of_a_stranger_is_dropped_and_counted():
    """Whether the firmware's `connect` keeps them out is not known."""
    network = Network()
    path = network.path()
    network.socket.coming = [b"evil", b"good"]
    network.socket.senders = [("6.6.6.6", 5683), ("1.2.3.4", 5683)]
    assert path.receive(5000) == b"good"
    assert (path.strangers, path.received) == (1, 1)


def test_datagrams_over_ipv6_come_without_their_sender():
    network = Network()
    path = network.path("2001::1")
    network.socket.recvfrom = None
    network.socket.coming = [b"x"]
    assert path.receive(5000) == b"x"


def test_end_that_has_passed_asks_the_socket_nothing():
    network = Network()
    assert network.path().receive(0) is None
    assert network.socket.timeouts == []


@pytest.mark.parametrize("what", [b"", 104, 107, 103])
def test_empty_datagram_and_any_other_error_mean_a_dead_socket(what):
    network = Network()
    path = network.path()
    network.socket.coming = [what]
    with pytest.raises(network.fault.NoPath):
        path.receive(5000)
