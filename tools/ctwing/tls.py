"""The certificate authority of the local AEP's MQTTS, made when it starts, or kept in a file: no device trusts it but
those that were given `ca_pem`. And TLS that says why a handshake failed.

RSA-2048 with SHA-256 and ten years, as China Telecom's own CA (ctwing.md §3.1); numbers that are counted, not drawn,
so that a handshake always has the same length.
"""

import asyncio
import datetime
import ssl
import tempfile
from asyncio import sslproto
from collections.abc import Callable, Iterable
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

NAMES = ("mqtt.ctwing.cn", "*.non-nb.ctwing.cn", "localhost", "127.0.0.1", "::1")
"""Who the server is in any case: the platform's names for MQTT (ctwing.md §1.2), and this computer."""
DAY = datetime.timedelta(days=1)
CA_DAYS, SERVER_DAYS = 3650, 730
GONE = "gone before the end"
HINTS = {
    "unknown ca": "the device does not trust this platform's CA",
    GONE: "perhaps the device does not trust this platform's CA, or its clock is wrong",
    "certificate": "the device does not take this platform's certificate: name, CA, or either side's clock",
    "wrong version": "the device does not speak TLS here",
    "http request": "the device does not speak TLS here",
}
"""What may be behind a failed handshake, by what OpenSSL says of it."""


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def _server_key() -> rsa.RSAPrivateKey:
    """One for as long as this program runs: making it takes a moment, and trust hangs on the CA's."""
    return _key()


class BadAuthority(ValueError):
    """A file holds no certificate authority; the text says what is wrong."""


class Authority:
    """`now` is Unix seconds: what it signs is valid from the day before. `kept` is the file it is kept in: read where
    it is there, else written, for its owner alone. Raises BadAuthority or OSError."""

    def __init__(self, now: float, kept: Path | None = None) -> None:
        self._now = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).replace(microsecond=0)
        self._subject = _name("Local AEP test CA")
        self._count = 1
        if kept is not None and kept.exists():
            self._key, self._ca = _read(kept)
            self._subject = self._ca.subject
            self._count = int(now)  # later than any serial number of before
        else:
            self._key = _key()
            self._ca = self._own()
            if kept is not None:
                kept.touch(0o600)
                kept.write_bytes(_private(self._key) + self._ca.public_bytes(serialization.Encoding.PEM))
        self.ca_pem = self._ca.public_bytes(serialization.Encoding.PEM).decode()

    def _own(self) -> x509.Certificate:
        signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = self._builder(self._subject, self._key.public_key(), CA_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return builder.add_extension(signs, critical=True).sign(self._key, hashes.SHA256())

    def _builder(self, subject: x509.Name, key: rsa.RSAPublicKey, days: int) -> x509.CertificateBuilder:
        issuer = self._key.public_key()
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._subject).public_key(key)
        builder = builder.serial_number(self._count).not_valid_before(self._now - DAY)
        builder = builder.not_valid_after(self._now + days * DAY)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        self._count += 1
        return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)

    def context(self, hosts: Iterable[str]) -> ssl.SSLContext:
        """For a server of these host names and addresses, and of NAMES: TLS 1.2 or 1.3, no certificate asked for (AEP
        has no mutual TLS, ctwing.md §3.1)."""
        key, names = _server_key(), dict.fromkeys((*hosts, *NAMES))
        builder = self._builder(_name(next(iter(names))), key.public_key(), SERVER_DAYS)
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        certificate = builder.add_extension(alternatives, critical=False).sign(self._key, hashes.SHA256())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        with tempfile.TemporaryDirectory() as folder:  # ssl takes them from a file and no other way
            path = Path(folder, "server.pem")
            path.write_bytes(_private(key) + certificate.public_bytes(serialization.Encoding.PEM))
            context.load_cert_chain(path)
        return context


class Secured(sslproto.SSLProtocol):
    """TLS under a server's `protocol`, which is told of a connection once the handshake is over. One that fails is told
    to `failed(address, reason)`; asyncio's own servers say nothing of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, context: ssl.SSLContext,
                 failed: Callable[[tuple, str], None]) -> None:
        super().__init__(loop, protocol, context, None, server_side=True)  # type: ignore[arg-type]
        self._failed, self._why, self._over, self._address = failed, GONE, False, ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._address = transport.get_extra_info("peername")
        super().connection_made(transport)

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        self._over = handshake_exc is None
        self._why = (getattr(handshake_exc, "reason", None) or GONE).replace("_", " ").lower()
        super()._on_handshake_complete(handshake_exc)

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._over:
            hint = next((f" ({text})" for part, text in HINTS.items() if part in self._why), "")
            self._failed(self._address, self._why + hint)
        super().connection_lost(exc)


def _private(key: rsa.RSAPrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _read(kept: Path) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    try:
        text = kept.read_bytes()
        key = serialization.load_pem_private_key(text, None)
        certificate = x509.load_pem_x509_certificate(text)
    except (ValueError, TypeError):
        raise BadAuthority(f"{kept}: no private key with its certificate, as PEM") from None
    if not isinstance(key, rsa.RSAPrivateKey) or certificate.public_key() != key.public_key():
        raise BadAuthority(f"{kept}: the certificate is not that of the key")
    return key, certificate


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
