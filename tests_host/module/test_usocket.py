"""`usocket` with the firmware's habits (quecpython.md §3.9), over the network of the world."""

import asyncio

import pytest

from tests_host.module.bench import PEER, BareBoard
from tools.module.modem.usocket import SOCKETS, Usocket, waiting_time
from tools.module.modem.utime import Utime

DGRAM = 2


class Platform(asyncio.DatagramProtocol):
    def __init__(self):
        self.got = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.got.append(data)
        self.sender = addr


class Bench(BareBoard):
    """A board with usocket and a platform at AEP's address."""

    def __init__(self):
        super().__init__(Usocket, Utime)
        _, self.platform = self.loop.run_until_complete(
            self.loop.create_datagram_endpoint(Platform, local_addr=("127.0.0.1", 0))
        )
        self.network.serve(*PEER, self.platform.transport.get_extra_info("sockname"), ["lwm2m.ctwing.cn"])

    def socket(self, *, connected=True):
        """A function that calls the methods of a new UDP socket: s("send", b"...")."""
        handle = self.ask("usocket.socket", 2, DGRAM)
        if connected:
            self.ask(f"@{handle}.connect", PEER)

        def call(method, *args):
            return self.took(f"@{handle}.{method}", *args)[0]

        call.took = lambda method, *args: self.took(f"@{handle}.{method}", *args)
        return call

    def opened(self, **options):
        """A socket whose way to the platform is open: one datagram has gone through."""
        socket = self.socket(**options)
        socket("sendto", b"hello", PEER)
        self.sleep(0.06)
        assert self.platform.got == [b"hello"]
        return socket

    def answer(self, data):
        self.platform.transport.sendto(data, self.platform.sender)


def test_constants_are_lwips():
    constants = BareBoard(Usocket).board.surface()["usocket"]["constants"]
    expected = {"AF_INET": 2, "AF_INET6": 10, "SOCK_STREAM": 1, "SOCK_DGRAM": 2, "IPPROTO_UDP": 17, "SOL_SOCKET": 0xFFF,
                "SO_REUSEADDR": 4, "TCP_KEEPALIVE": 2, "TCP_CUSTOMIZE_PORT": 8}
    assert expected.items() <= constants.items()


def test_without_a_data_call_there_is_no_socket():
    bench = Bench()
    bench.radio.ip = None
    assert bench.took("usocket.socket", 2, DGRAM)[0] == -1


def test_sockets_are_limited_and_closing_frees_them():
    bench = Bench()
    handles = [bench.ask("usocket.socket", 2, DGRAM) for _ in range(SOCKETS)]
    assert bench.took("usocket.socket", 2, DGRAM)[0] == 22
    bench.ask(f"@{handles[0]}.close")
    bench.ask(f"@{handles[0]}.close")
    bench.ask("usocket.socket", 2, DGRAM)


def test_a_datagram_and_its_answer():
    bench = Bench()
    s = bench.socket()
    assert s.took("send", b"\x40\x01") == (2, 0)
    bench.sleep(0.06)
    assert bench.platform.got == [b"\x40\x01"]
    bench.answer(b"answer")
    assert s.took("recvfrom", 3) == ((b"ans", PEER), 0.05)  # the rest of a datagram is lost
    s("settimeout", 1)
    assert s("recv", 100) == 110


def test_memoryviews_and_bytearrays_are_sent():
    bench = Bench()
    s = bench.socket()
    assert s("send", bytearray(b"ab")) == 2
    bench.sleep(1)
    assert bench.platform.got == [b"ab"]


def test_the_radio_delays_both_ways_and_keeps_the_order_up():
    bench = Bench()
    s = bench.opened()
    bench.radio.delays["up"] = 0.3
    s("send", b"first")
    bench.radio.delays["up"] = 0.0
    s("send", b"second")
    bench.sleep(0.29)
    assert bench.platform.got == [b"hello"]
    bench.sleep(0.1)
    assert bench.platform.got == [b"hello", b"first", b"second"]
    bench.radio.delays["down"] = 1.28
    bench.answer(b"paged")
    assert s.took("recv", 100) == (b"paged", 1.33)


def test_a_downlink_finds_no_module_that_the_radio_cannot_reach():
    bench = Bench()
    s = bench.opened()
    bench.radio.delays["down"] = None
    bench.answer(b"x")
    s("settimeout", 1)
    assert s("recv", 10) == 110 and len(bench.events.of("unreached")) == 1


@pytest.mark.parametrize(("timeout", "waits"), [
    (0.05, 0.1), (0.1, 0.1), (0.25, 0.3), (1, 1), (5, 5), (5.9, 5.9), (6, 10), (14.9, 10), (15, 15), (19, 15), (24, 20),
])
def test_long_timeouts_are_rounded_to_slices_of_5_s(timeout, waits):
    assert waiting_time(timeout) == waits
    bench = Bench()
    s = bench.socket()
    s("settimeout", timeout)
    assert s.took("recv", 10) == (110, waits)


def test_nonblocking_reads_say_11_and_blocking_ones_wait():
    bench = Bench()
    s = bench.opened()
    for method, argument in (("setblocking", False), ("settimeout", 0)):
        s(method, argument)
        assert s.took("recv", 10) == (11, 0)
    s("setblocking", True)
    bench.loop.call_later(9999, bench.answer, b"late")
    bench.network.nat_idle_s = 1e6
    assert s("recv", 10) == b"late"


def test_an_empty_datagram_poisons_the_socket():
    bench = Bench()
    s = bench.opened()
    bench.answer(b"one")
    bench.answer(b"")
    bench.sleep(1)
    assert [s("recv", 10) for _ in range(3)] == [b"one", b"", b""]
    s("settimeout", 1)
    assert s.took("recv", 10) == (b"", 0)


def test_connect_resolves_names_and_takes_a_look_ups_time():
    bench = Bench()
    handle = bench.ask("usocket.socket", 2, DGRAM)
    result, seconds = bench.took(f"@{handle}.connect", ("lwm2m.ctwing.cn", 5683))
    assert result is None and 0.06 <= seconds <= 0.2
    assert bench.took(f"@{handle}.connect", PEER) == (None, 0)
    assert bench.took(f"@{handle}.connect", ("nobody.example", 5683))[0] == -2


def test_only_the_peer_is_heard_once_connected():
    bench = Bench()
    bench.network.serve("36.111.5.1", 5683, bench.platform.transport.get_extra_info("sockname"))
    s = bench.opened(connected=False)
    s("connect", ("36.111.5.1", 5683))
    bench.answer(b"from the first")
    s("settimeout", 1)
    assert s("recv", 10) == 110


def test_send_needs_a_peer_and_sendto_takes_ipv4_literals_only():
    s = Bench().socket(connected=False)
    assert s("send", b"x") == 107
    assert s("sendto", b"x", ("lwm2m.ctwing.cn", 5683)) == -2
    assert s("sendto", b"x", ("240e::1", 5683)) == -2
    assert s("sendto", b"x", PEER) == 1


def test_a_socket_dies_with_the_data_call():
    """quecpython.md §3.9: recreate after every PDP loss."""
    bench = Bench()
    s = bench.opened()
    bench.radio.ip = "10.9.9.9"
    assert s("send", b"x") == 113
    bench.answer(b"x")
    s("settimeout", 1)
    assert s("recv", 10) == 110
    bench.socket()


def test_a_closed_socket_refuses_everything():
    s = Bench().socket()
    s("close")
    assert [s("send", b"x"), s("recv", 1), s("getsocketsta"), s("fileno")] == [9, 9, -1, -1]


def test_at_power_off_sockets_close_and_nothing_leaves_or_arrives():
    bench = Bench()
    s = bench.opened()
    bench.radio.delays["up"] = 0.5
    s("send", b"never")
    bench.answer(b"nobody")
    bench.board.power_off()
    bench.loop.run_until_complete(asyncio.sleep(2))
    assert bench.platform.got == [b"hello"] and bench.network.dropped == 1


def test_bind_takes_the_port():
    bench = Bench()
    s = bench.socket(connected=False)
    s("bind", ("", 56830))
    s("sendto", b"x", PEER)
    bench.sleep(1)
    assert bench.network.trace[-1].local == ("10.1.2.3", 56830)


@pytest.mark.parametrize(("asked", "gets"), [
    (("0.0.0.0", 56831), 56831), (("10.9.9.9", 56831), 56831), (("", 65536 + 40000), 40000), (("", 65535), 65535),
])
def test_bind_takes_the_data_calls_address_and_16_bits_of_port(asked, gets):
    bench = Bench()
    s = bench.socket(connected=False)
    assert s("bind", asked) is None
    s("sendto", b"x", PEER)
    bench.sleep(1)
    assert bench.network.trace[-1].local == ("10.1.2.3", gets)


def test_bind_to_port_0_leaves_the_port_from_creation():
    bench = Bench()
    s = bench.socket(connected=False)
    for _ in range(2):
        s("sendto", b"x", PEER)
        s("bind", ("", 0))
    bench.sleep(1)
    first, second = [datagram.local for datagram in bench.network.trace]
    assert first == second


@pytest.mark.parametrize(("pause", "port", "seen_as_the_same"), [
    (10, 56830, True), (10, 56831, False), (61, 56830, False),
])
def test_a_port_bound_again_after_power_off_finds_its_nat_binding_while_it_lives(pause, port, seen_as_the_same):
    bench = Bench()
    s = bench.socket(connected=False)
    s("bind", ("", 56830))
    s("sendto", b"before", PEER)
    bench.sleep(1)
    before = bench.platform.sender
    bench.board.power_off()
    bench.loop.run_until_complete(asyncio.sleep(pause))
    bench.answer(b"while it was off")
    bench.loop.run_until_complete(asyncio.sleep(0.1))
    bench.power_on()
    s = bench.socket()
    s("bind", ("", port))
    s("send", b"after")
    bench.sleep(1)
    assert bench.platform.got == [b"before", b"after"]
    assert (bench.platform.sender == before) == seen_as_the_same
    bench.answer(b"answer")
    s("settimeout", 1)
    assert s("recv", 100) == b"answer"


def test_getaddrinfo_gives_5_tuples_of_both_families():
    bench = Bench()
    bench.network.serve("240e:980:9500::1", 5683, ("127.0.0.1", 1), ["lwm2m.ctwing.cn"])
    found, seconds = bench.took("usocket.getaddrinfo", "lwm2m.ctwing.cn", 5683)
    assert [(entry[0], entry[4]) for entry in found] == [(2, PEER), (10, ("240e:980:9500::1", 5683))]
    assert all(len(entry) == 5 for entry in found) and seconds > 0
    assert bench.took("usocket.getaddrinfo", "1.2.3.4", 80) == ([(2, 1, 0, "", ("1.2.3.4", 80))], 0)
    assert bench.took("usocket.getaddrinfo", "nobody.example", 80)[0] == -2


def test_unknown_options_are_accepted_in_silence():
    s = Bench().socket()
    assert s("setsockopt", 0xFFF, 4, 1) is None


def test_only_the_peers_port_is_heard_once_connected():
    bench = Bench()
    bench.network.serve(PEER[0], 5684, bench.platform.transport.get_extra_info("sockname"))
    s = bench.opened(connected=False)
    s("connect", (PEER[0], 5684))
    bench.answer(b"from port 5683")
    s("settimeout", 1)
    assert s("recv", 100) == 110


def test_bind_to_a_port_in_use_is_ignored():
    """quecpython.md §3.9: the result of lwIP's bind is ignored."""
    bench = Bench()
    first, second = bench.socket(connected=False), bench.socket(connected=False)
    for s in (first, second):
        assert s("bind", ("", 56830)) is None
        s("sendto", b"x", PEER)
    bench.sleep(1)
    ports = [datagram.local[1] for datagram in bench.network.trace]
    assert ports[0] == 56830 != ports[1]
