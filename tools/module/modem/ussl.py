"""`ussl`: TLS over a connected stream socket, as the firmware's Mbed TLS does it (quecpython.md §1.7). Here OpenSSL
speaks TLS 1.2, the newest that Mbed TLS 2 has.

Who the peer is is looked at only where a CA is given; a certificate that is not valid yet is tolerated, one that has
expired by the module's clock is not (S25). The numbers of errors are Mbed TLS's, negative (inferred).
"""

import datetime
import ssl
from typing import Any

from cryptography import x509

from tools.module.board import Board, Firmware, Thing
from tools.module.modem.stream import Readable, StreamSocket
from tools.module.modem.utime import rtc_us, zone_hours

VERIFY_FAILED = -0x2700  # MBEDTLS_ERR_X509_CERT_VERIFY_FAILED
BAD_CERTIFICATE = -0x2180  # MBEDTLS_ERR_X509_INVALID_FORMAT
ALERT = -0x7780  # MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE
CLOSED_BY_PEER = -0x7280  # MBEDTLS_ERR_SSL_CONN_EOF

NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME: its clock is the host's, so dates are held to the module's here."""

CHUNK = 4096


class TlsSocket(Readable, Thing):
    """What `wrap_socket` gives: `read`, `readinto`, `readline`, `write`, `setblocking`, `close`, `getpeercert`, and no
    `recv`, `send` or `settimeout`: the time-out is the socket's own. The handshake is begun by construction and made
    with the first bytes to be read or written, since a constructor here cannot wait."""

    def __init__(self, board: Board, sock: StreamSocket, server_hostname: str | None = None, cert: Any = None,
                 key: Any = None, ca: Any = None, server_side: bool = False, do_handshake: bool = True) -> None:
        super().__init__(board)
        if not isinstance(sock, StreamSocket):
            raise TypeError("stream socket expected")
        self._socket, self._ca = sock, _text(ca)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = bool(self._ca and server_hostname)
        context.verify_mode = ssl.CERT_REQUIRED if self._ca else ssl.CERT_NONE
        context.verify_flags |= NO_CHECK_TIME
        if self._ca:
            try:
                context.load_verify_locations(cadata=self._ca)
            except (ssl.SSLError, ValueError):
                raise OSError(BAD_CERTIFICATE) from None
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_hostname or None)
        self._ready = False

    async def read(self, size: int = -1) -> bytes | None:
        """`size` bytes, or what there is at the end of the stream; None where the socket does not block and nothing is
        there."""
        out = b""
        while size < 0 or len(out) < size:
            part = await self._read(size - len(out) if size >= 0 else CHUNK)
            if part is None:
                return out or None
            if not part:
                break
            out += part
        return out

    async def write(self, data: Any) -> int:
        await self._handshake()
        self._tls.write(bytes(data))
        await self._flush()
        return len(data)

    def setblocking(self, blocking: bool) -> None:
        self._socket.setblocking(blocking)

    async def getpeercert(self, binary: bool = True) -> bytes | None:
        await self._handshake()
        return self._tls.getpeercert(binary_form=True)

    def getsocketsta(self) -> int:
        return self._socket.getsocketsta()

    def close(self) -> None:
        """Ends the socket with it."""
        self._socket.close()

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _read(self, size: int) -> bytes | None:
        """What there is, `size` bytes at most; b"" at the end, None where nothing is there now."""
        await self._handshake()
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                if not await self._more():
                    return None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError:
                raise OSError(ALERT) from None

    async def _handshake(self) -> None:
        while not self._ready:
            try:
                self._tls.do_handshake()
                self._ready = True
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._more():
                    raise OSError(11) from None
            except ssl.SSLCertVerificationError:
                await self._fail(VERIFY_FAILED)
            except ssl.SSLError:
                await self._fail(ALERT)
            else:
                await self._flush()
                if self._ca and self._expired():
                    await self._fail(VERIFY_FAILED)

    async def _fail(self, number: int) -> None:
        """The handshake ends with an alert, where there is still somebody to tell."""
        await self._flush()
        raise OSError(number)

    def _expired(self) -> bool:
        now = rtc_us(self.board) / 1e6 - zone_hours(self.board) * 3600
        when = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
        leaf = self._tls.getpeercert(binary_form=True)
        assert leaf is not None and self._ca is not None
        chain = [x509.load_der_x509_certificate(leaf), *x509.load_pem_x509_certificates(self._ca.encode())]
        return any(one.not_valid_after_utc < when for one in chain)

    async def _more(self) -> bool:
        """Takes what the socket has; False where it does not block and has nothing. Raises what the socket raises."""
        try:
            data = await self._socket.recv(CHUNK)
        except OSError as error:
            if error.args[0] == 11:
                return False
            raise
        if data:
            self._in.write(data)
        elif not self._ready:
            raise OSError(CLOSED_BY_PEER)
        else:
            self._in.write_eof()
        return True

    async def _flush(self) -> None:
        data = self._out.read()
        if data:
            await self._socket.write(data)


def _text(pem: Any) -> str | None:
    if pem is None:
        return None
    return pem if isinstance(pem, str) else bytes(pem).decode("ascii", "replace")


class Ussl(Firmware):
    """`wrap_socket` is a function; here a class of that name does the same."""

    NAME = "ussl"
    CLASSES = {"wrap_socket": TlsSocket}
