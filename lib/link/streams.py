"""TCP, and TLS on it: usocket's and ussl's quirks, once. A `Stream` is made connected; `send(bytes)` and
`receive(until)` as a `Path` has them, but bytes come in any pieces."""

import usocket
from micropython import const

from aep.stream_faults import BadCertificate, ConnectionLost, NoConnection, NoTls
from link.fault import NoPath
from link.sockets import TIMED_OUT, patience

_SEND = const(5)  # s: usocket rounds longer time-outs to 10, 15 or 20 s (quecpython.md §3.9)
_CONNECT = const(5)  # s: whole seconds, 1-24, or the firmware waits until lwIP gives up (quecpython.md §3.9)
_PIECE = const(1024)
_UNVERIFIED = const(-9984)  # -0x2700: MBEDTLS_ERR_X509_CERT_VERIFY_FAILED
_UNREADABLE = const(-8576)  # -0x2180: MBEDTLS_ERR_X509_INVALID_FORMAT


class Stream:
    """A connection to (address, port). Make it only while a data call is up, and make a new one after NoPath. `clock`
    is link.clock.Clock; `host` and `ca`, the CA's certificate as PEM, where it is TLS: the platform's certificate is
    held to both, always. Raises NoPath, NoConnection, BadCertificate or NoTls."""

    def __init__(self, address: str, port: int, clock, host: str = "", ca=None) -> None:
        self._clock = clock
        try:
            self._socket = usocket.socket(
                usocket.AF_INET6 if ":" in address else usocket.AF_INET, usocket.SOCK_STREAM
            )
        except OSError as error:
            raise NoPath("socket: error %d" % error.args[0])
        self._io = self._socket
        self._tls = ca is not None
        self._met = False  # something was received: the platform is who it should be, whatever fails now
        try:
            self._socket.settimeout(_CONNECT)
            self._socket.connect((address, port))
        except OSError as error:
            self._socket.close()  # there are few of them (quecpython.md §3.9)
            raise NoConnection("connect to %s:%d: error %d" % (address, port, error.args[0]))
        if self._tls:
            try:
                self._secure(host, ca)
            except OSError as error:
                self._socket.close()
                raise _of_tls(error.args[0])

    def _secure(self, host: str, ca) -> None:
        try:
            import ussl
        except ImportError:
            self._socket.close()
            raise NoTls("this image has no ussl")
        self._socket.settimeout(_SEND)
        try:
            self._io = ussl.wrap_socket(self._socket, server_hostname=host, ca=ca)  # type: ignore[assignment]
        except TypeError:  # an image whose wrap_socket takes no CA would connect unverified (quecpython.md §1.7)
            self._socket.close()
            raise NoTls("this image's ussl takes no CA")

    def send(self, data: bytes) -> None:
        """Sends all of it. Raises ConnectionLost; by TLS also BadCertificate or NoTls, until something was received."""
        try:
            self._socket.settimeout(_SEND)
            while data:
                count = self._io.write(data)
                if not count:
                    raise ConnectionLost("send: %d bytes are not taken" % len(data))
                data = data[count:]
        except OSError as error:
            raise self._fault("send", error.args[0])

    def receive(self, until: int):
        """What has come, at most a kilobyte, or None at `until` (clock milliseconds). Raises as `send`."""
        while True:
            left = until - self._clock.now()
            if left <= 0:
                return None
            self._socket.settimeout(patience(left))
            try:
                # TLS byte by byte: what a time-out cuts off in the middle of a `read` is lost
                data = self._io.read(1) if self._tls else self._socket.recv(_PIECE)
            except OSError as error:
                if error.args[0] in TIMED_OUT:
                    continue
                raise self._fault("recv", error.args[0])
            if not data:
                raise ConnectionLost("the platform has closed the connection")
            self._met = True
            # S25's recv makes a str of the bytes (quecpython.md §3.9)
            return data.encode() if isinstance(data, str) else bytes(data)

    def close(self) -> None:
        """Frees the socket; twice is harmless."""
        self._io.close()
        self._socket.close()

    def _fault(self, what: str, number: int):
        """What an error is. Mbed TLS's are negative: they are of the handshake until the platform was met."""
        if self._tls and number < 0 and not self._met:
            return _of_tls(number)
        return ConnectionLost("%s: error %d" % (what, number))


def _of_tls(number: int):
    """The fault behind an error of Mbed TLS."""
    if number in (_UNVERIFIED, _UNREADABLE):
        return BadCertificate("TLS: error %d" % number)
    return NoTls("TLS: error %d" % number)
