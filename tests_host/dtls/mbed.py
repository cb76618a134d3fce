"""Mbed TLS as a DTLS server on loopback, through python-mbedtls's buffers: one per client's address, with cookies. What
it decrypts it sends back."""

import socket
import threading
from collections.abc import Sequence

import pytest

from tests_host.dtls.driven import IDENTITY, PSK

tls = pytest.importorskip("mbedtls.tls", reason="python-mbedtls is not installed (none for Python 3.13 and later)")

tls_exceptions = pytest.importorskip("mbedtls.exceptions")

STEPS = 40  # of a handshake, in one go
CIPHERS = ("TLS-PSK-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-128-CBC-SHA256")


class Peer:
    """One client's session."""

    def __init__(self, context, address: tuple[str, int]) -> None:
        self.context, self.address = context, address
        self.error = ""
        self.renew()

    def renew(self) -> None:
        self.buffers = self.context.wrap_buffers()
        self.buffers.setcookieparam(b"%s %d" % (self.address[0].encode(), self.address[1]))

    def over(self) -> bool:
        """Whether the handshake is."""
        return self.buffers._handshake_state is tls.HandshakeStep.HANDSHAKE_OVER

    def outgoing(self) -> list[bytes]:
        data = self.buffers.peek_outgoing(4096)
        self.buffers.consume_outgoing(len(data))
        return [data] if data else []

    def take(self, data: bytes) -> tuple[list[bytes], list[bytes]]:
        """(datagrams to send, what was decrypted)."""
        out, heard = [], []
        self.buffers.receive_from_network(data)
        for _ in range(STEPS):
            try:
                if self.over():
                    heard += [part for part in [self.buffers.read(4096)] if part]
                else:
                    self.buffers.do_handshake()
            except tls.WantWriteError:
                pass
            except tls.WantReadError:
                break
            except tls.HelloVerifyRequest:  # sent: what comes next begins anew, with the cookie
                out += self.outgoing()
                self.renew()
                break
            except tls_exceptions.TLSError as error:  # it has sent its alert
                self.error = str(error)
                break
            out += self.outgoing()
        return out + self.outgoing(), heard


class MbedTls:
    """`with MbedTls() as server:` serves at `server.port`; `said` is what it decrypted."""

    def __init__(self, ciphers: Sequence[str] = CIPHERS) -> None:
        self.context = tls.ServerContext(
            tls.DTLSConfiguration(
                validate_certificates=False, ciphers=list(ciphers), pre_shared_key_store={IDENTITY.decode(): PSK}
            )
        )
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.02)
        self.port = self.socket.getsockname()[1]
        self.peers: dict[tuple[str, int], Peer] = {}
        self.said = b""
        self.ends_on = b""  # ends the session when it is told so
        self._open = True
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "MbedTls":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._open = False
        self._thread.join()
        self.socket.close()

    def _serve(self) -> None:
        while self._open:
            try:
                data, address = self.socket.recvfrom(4096)
            except (TimeoutError, ConnectionRefusedError):
                continue
            if address not in self.peers:
                self.peers[address] = Peer(self.context, address)
            peer = self.peers[address]
            out, heard = peer.take(data)
            for part in heard:
                self.said += part
                peer.buffers.write(part)
                out += peer.outgoing()
                if part == self.ends_on:
                    peer.buffers.shutdown()
                    out += peer.outgoing()
            for datagram in out:
                self.socket.sendto(datagram, address)
