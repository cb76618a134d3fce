"""link.streams: TCP and TLS by usocket and ussl, each quirk met once (quecpython.md §1.7, §3.9)."""

from types import SimpleNamespace

import pytest

from tests_host.device.fakes import Ticks
from tests_host.store.bench import Bench
from tools.module.flash import Flash

RESET, TIMED_OUT, AGAIN = 104, 110, 11
UNVERIFIED, ALERT = -0x2700, -0x7780  # Mbed TLS's


class Socket:
    """`coming` is what is read: bytes, a text as S25 makes of them, or an error number; `takes` how much each write
    takes, or an error number that is negative or over 99; all where nothing is said."""

    def __init__(self, clock):
        self.clock, self.coming, self.takes, self.sent, self.closed, self.timeout = clock, [], [], b"", 0, None

    def connect(self, address):
        self.peer = address

    def settimeout(self, seconds):
        assert seconds <= 5 or seconds == 20  # others are rounded
        self.timeout = seconds

    def write(self, data):
        count = self.takes.pop(0) if self.takes else len(data)
        if count is not None and (count < 0 or count > 99):
            raise OSError(count)
        self.sent += data[: count or 0]
        return count

    def recv(self, size):
        what = self.coming.pop(0) if self.coming else TIMED_OUT
        if isinstance(what, int):
            self.clock.ms += max(1, round(self.timeout * 1000))
            raise OSError(what)
        return what

    read = recv

    def close(self):
        self.closed += 1


def stream(tls=False):
    clock = Ticks()
    made = Socket(clock)
    usocket = SimpleNamespace(AF_INET=2, AF_INET6=10, SOCK_STREAM=1, SOCK_DGRAM=2, socket=lambda *_: made)
    ussl = SimpleNamespace(wrap_socket=lambda sock, server_hostname, ca: sock)
    bench = Bench(Flash(blocks=24), usocket=usocket, ussl=ussl)
    streams = bench.load("link.streams")
    return streams.Stream("1.2.3.4", 1883, clock, *(("host", "CA") if tls else ())), made


def fault(call, *args):
    with pytest.raises(Exception) as caught:
        call(*args)
    return type(caught.value).__name__


def test_a_write_that_takes_a_part_is_gone_on_with_and_one_that_takes_nothing_is_a_lost_connection():
    opened, socket = stream()
    socket.takes = [3, 1]
    opened.send(b"0123456789")
    assert socket.sent == b"0123456789"
    for nothing in (0, None):
        opened, socket = stream()
        socket.takes = [3, nothing]
        assert fault(opened.send, b"0123456789") == "ConnectionLost" and socket.sent == b"012"


def test_a_time_out_is_waited_on_until_time_is_up_and_bytes_may_come_as_a_text():
    opened, socket = stream()
    socket.coming = [TIMED_OUT, AGAIN, "on"]
    assert opened.receive(60_000) == b"on"
    assert opened.receive(socket.clock.ms + 7000) is None


@pytest.mark.parametrize("what", [RESET, b"", -1, 107])
def test_an_end_of_the_connection_is_one_fault_however_it_shows(what):
    opened, socket = stream()
    socket.coming = [what]
    assert fault(opened.receive, 60_000) == "ConnectionLost"


@pytest.mark.parametrize(("number", "name"), [
    (UNVERIFIED, "BadCertificate"), (ALERT, "NoTls"), (RESET, "ConnectionLost"),
])
def test_an_error_of_tls_is_one_of_the_handshake_until_something_was_received(number, name):
    for call, args in (("send", (b"x",)), ("receive", (60_000,))):
        opened, socket = stream(tls=True)
        socket.takes, socket.coming = [number], [number]
        assert fault(getattr(opened, call), *args) == name
        opened, socket = stream(tls=True)
        socket.takes, socket.coming = [number], [b"\x20", number]
        assert opened.receive(60_000) == b"\x20"
        assert fault(getattr(opened, call), *args) == "ConnectionLost"
