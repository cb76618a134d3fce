"""`usocket`'s TCP and `ussl` with the firmware's habits (quecpython.md §1.7, §3.9), over the network of the world."""

import asyncio
import datetime
import functools
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests_host.module.bench import PEER, BareBoard
from tools.module.board import Handle
from tools.module.modem.stream import SEND_BUFFER
from tools.module.modem.usocket import SOCKETS, Usocket
from tools.module.modem.ussl import BAD_CERTIFICATE, CLOSED_BY_PEER, VERIFY_FAILED, Ussl
from tools.module.modem.utime import Utime, set_rtc

STREAM = 1
NAME = "mqtt.ctwing.cn"


class Echo(asyncio.Protocol):
    """Answers in capitals; "fin" and "rst" it takes as orders."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if data == b"rst":
            self.transport.abort()
        elif data == b"fin":
            self.transport.close()
        else:
            self.transport.write(data.upper())


class Bench(BareBoard):
    """A board and a platform."""

    def __init__(self, context=None):
        super().__init__(Usocket, Utime, Ussl)
        self.server = self.loop.run_until_complete(self.loop.create_server(Echo, "127.0.0.1", 0, ssl=context))
        self.network.serve_stream(*PEER, self.server.sockets[0].getsockname())
        self.network.name(NAME, [PEER[0]])

    def socket(self, timeout=5):
        handle = self.ask("usocket.socket", 2, STREAM)
        self.ask(f"@{handle}.settimeout", timeout)
        return handle

    def connected(self, timeout=5):
        handle = self.socket(timeout)
        self.ask(f"@{handle}.connect", PEER)
        return handle

    def error(self, *call):
        with pytest.raises(OSError) as caught:
            self.ask(*call)
        return caught.value.args[0]


def test_a_connection_and_its_states():
    bench = Bench()
    s = bench.socket()
    assert bench.ask(f"@{s}.getsocketsta") == 0
    bench.ask(f"@{s}.connect", (NAME, PEER[1]))
    assert bench.ask(f"@{s}.getsocketsta") == 4
    assert bench.ask(f"@{s}.send", b"hello") == 5
    assert bench.ask(f"@{s}.recv", 3) == b"HEL" and bench.ask(f"@{s}.recv", 100) == b"LO"
    assert bench.error(f"@{s}.connect", PEER) == 114
    bench.ask(f"@{s}.close")
    assert bench.ask(f"@{s}.getsocketsta") == -1
    bench.ask(f"@{s}.close")
    assert bench.error(f"@{s}.recv", 1) == 9


def test_before_it_is_connected_it_neither_reads_nor_writes():
    bench = Bench()
    s = bench.socket()
    assert bench.error(f"@{s}.recv", 1) == 107 and bench.error(f"@{s}.send", b"x") == 107


def test_nothing_to_read_is_110_after_the_time_out_and_11_without_one():
    bench = Bench()
    s = bench.connected(2)
    before = bench.loop.time()
    assert bench.error(f"@{s}.recv", 1) == 110
    assert bench.loop.time() - before == pytest.approx(2, abs=0.01)
    bench.ask(f"@{s}.settimeout", 0)
    assert bench.error(f"@{s}.recv", 1) == 11 and bench.ask(f"@{s}.read", 1) is None


def test_the_peers_fin_reads_as_nothing_for_ever_and_its_rst_as_104():
    bench = Bench()
    s, other = bench.connected(), bench.connected()
    bench.ask(f"@{s}.send", b"fin")
    assert [bench.ask(f"@{s}.recv", 10) for _ in range(3)] == [b""] * 3
    bench.ask(f"@{other}.send", b"rst")
    assert bench.error(f"@{other}.recv", 10) == 104 and bench.error(f"@{other}.send", b"x") == 104


def test_a_refused_connection_is_104_and_a_silent_host_110_after_whole_seconds_up_to_24():
    bench = Bench()
    s = bench.socket(5)
    assert bench.error(f"@{s}.connect", (PEER[0], 99)) == 104
    for timeout, waits in ((5, 5), (24, 24), (25, 123), (0.5, 123), (None, 123)):
        s = bench.socket(timeout)
        before = bench.loop.time()
        assert bench.error(f"@{s}.connect", ("9.9.9.9", 99)) == 110
        assert bench.loop.time() - before == pytest.approx(waits, abs=1), timeout


def test_a_name_that_does_not_resolve_is_minus_two():
    bench = Bench()
    assert bench.error(f"@{bench.socket()}.connect", ("nobody.example", 1)) == -2


def test_read_waits_for_all_of_it_and_loses_what_came_when_time_is_up():
    bench = Bench()
    s = bench.connected(1)
    bench.ask(f"@{s}.write", b"abcdef")
    assert bench.ask(f"@{s}.read", 4) == b"ABCD"
    assert bench.error(f"@{s}.read", 4) == 110
    assert bench.error(f"@{s}.recv", 4) == 110  # EF was lost with it
    bench.ask(f"@{s}.write", b"line\nrest")
    assert bench.ask(f"@{s}.readline") == b"LINE\n"
    buffer = bytearray(4)
    assert bench.ask(f"@{s}.readinto", buffer) == 4 and buffer == b"REST"


def test_send_takes_what_there_is_room_for_and_write_takes_all():
    bench = Bench()
    s = bench.connected()
    assert bench.ask(f"@{s}.send", b"x" * (SEND_BUFFER + 100)) == SEND_BUFFER
    assert bench.ask(f"@{s}.write", b"y" * 20000) == 20000
    got = b""
    while len(got) < SEND_BUFFER + 20000:
        got += bench.ask(f"@{s}.recv", 4096)
    assert got == b"X" * SEND_BUFFER + b"Y" * 20000


def test_an_address_that_is_gone_ends_the_connection_with_103():
    bench = Bench()
    s = bench.connected()
    bench.board.radio.ip = "10.9.9.9"
    assert bench.error(f"@{s}.recv", 1) == 103 and bench.error(f"@{s}.send", b"x") == 103
    bench.ask(f"@{s}.close")


def test_sockets_are_few_and_close_frees_them_once_both_have_said_so():
    bench = Bench()
    for _ in range(3 * SOCKETS):
        s = bench.connected()
        bench.ask(f"@{s}.close")
        bench.sleep(2)
    assert not bench.network.flows.legs
    open_ones = [bench.connected() for _ in range(SOCKETS)]
    assert bench.error("usocket.socket", 2, STREAM) == 22 and open_ones


# -- TLS ------------------------------------------------------------------------------------------------------------


@functools.cache
def key():
    return rsa.generate_private_key(65537, 2048)


def certificate(subject, *, ca=False, end=datetime.datetime(2028, 12, 9), begin=datetime.datetime(2018, 12, 12)):
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    made = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("CTG CA")).public_key(
        key().public_key()).serial_number(5).not_valid_before(begin).not_valid_after(end).add_extension(
        x509.BasicConstraints(ca, None), True)
    if not ca:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), False)
    return made.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def secured(tmp_path):
    """A function that gives a bench whose server has such a certificate, and its CA's."""

    def make(subject=NAME, **validity):
        private = key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())
        chain = tmp_path / "chain.pem"
        chain.write_bytes(certificate(subject, **validity) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        bench = Bench(context)
        set_rtc(bench.board, int(bench.loop.time()))
        return bench, certificate("CTG CA", ca=True).decode()

    return make


def wrapped(bench, **named):
    s = bench.connected(2)
    return bench.loop.run_until_complete(bench.board.call("ussl.wrap_socket", [Handle(s)], named))


def test_tls_carries_bytes_both_ways_and_has_no_recv(secured):
    bench, ca = secured()
    tls = wrapped(bench, server_hostname=NAME, ca=ca)
    assert bench.ask(f"@{tls}.write", b"hello") == 5
    assert bench.ask(f"@{tls}.read", 5) == b"HELLO"
    assert bench.error(f"@{tls}.read", 1) == 110
    assert not hasattr(bench.board.things[tls], "recv") and not hasattr(bench.board.things[tls], "settimeout")
    assert b"HELLO" not in b"".join(one.data for one in bench.network.trace)


def test_without_a_ca_anybody_is_believed(secured):
    bench, _ = secured("somebody.else")
    tls = wrapped(bench, server_hostname=NAME)
    bench.ask(f"@{tls}.write", b"hello")
    assert bench.ask(f"@{tls}.read", 5) == b"HELLO"


@pytest.mark.parametrize(("subject", "validity"), [
    ("somebody.else", {}), (NAME, {"end": datetime.datetime(2026, 1, 1)}),
])
def test_with_a_ca_another_name_and_an_expired_certificate_are_refused(secured, subject, validity):
    bench, ca = secured(subject, **validity)
    assert bench.error(f"@{wrapped(bench, server_hostname=NAME, ca=ca)}.write", b"hello") == VERIFY_FAILED
    assert b"hello" not in b"".join(one.data for one in bench.network.trace)


def test_another_ca_refuses_and_rubbish_is_no_ca(secured):
    bench, _ = secured()
    other = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CTG CA")])
    stranger = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(
        other.public_key()).serial_number(6).not_valid_before(datetime.datetime(2018, 1, 1)).not_valid_after(
        datetime.datetime(2030, 1, 1)).add_extension(x509.BasicConstraints(True, None), True).sign(
        other, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    assert bench.error(f"@{wrapped(bench, server_hostname=NAME, ca=stranger)}.write", b"x") == VERIFY_FAILED
    with pytest.raises(OSError) as caught:
        wrapped(bench, server_hostname=NAME, ca="rubbish")
    assert caught.value.args[0] == BAD_CERTIFICATE


def test_not_valid_yet_is_tolerated_where_the_clock_was_never_set(secured):
    bench, ca = secured(begin=datetime.datetime(2026, 1, 1))
    bench.board.nv.rtc_offset_us = None
    tls = wrapped(bench, server_hostname=NAME, ca=ca)
    bench.ask(f"@{tls}.write", b"hello")
    assert bench.ask(f"@{tls}.read", 5) == b"HELLO"


def test_a_peer_that_hangs_up_in_the_handshake(secured):
    bench = Bench()
    tls = wrapped(bench)
    bench.board.things[tls]._socket._finished = True
    assert bench.error(f"@{tls}.write", b"x") == CLOSED_BY_PEER


def test_a_closed_socket_whose_fin_nobody_acknowledges_gives_its_port_back():
    bench = Bench()
    socket = bench.connected()
    bench.network.blackout_until = bench.loop.time() + 3600
    bench.ask(f"@{socket}.close")
    bench.sleep(60)
    assert len(bench.board.firmware["usocket"].ports) == 1
    bench.sleep(1800)
    assert bench.board.firmware["usocket"].ports == set() and bench.network.flows.legs == {}
