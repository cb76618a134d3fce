"""Plans for drive.py and what came of them: a session of ours in CPython or in the VM, against a server on loopback."""

import json
import subprocess
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from dtls import client as c
from dtls import record as r
from tests_host.conftest import judge
from tests_host.dtls import drive
from tests_host.interpreters.run import HEAP, LIB

IDENTITY = b"868543060974334"
PSK = b"TYvoiTk34D3NZ6GN"
LIMIT_MS = 15_000  # of one session
CLIENT_KEY = 16  # RFC 5246 §7.4

# (interpreter, AES): the image's ucryptolib or our own
EVERYWHERE = [("cpython", "native"), ("cpython", "pure"), ("vm", "native"), ("vm", "pure")]
CIPHERS = {c.CCM_8: "PSK-AES128-CCM8", c.CBC: "PSK-AES128-CBC-SHA256"}  # as OpenSSL calls them


class Told(NamedTuple):
    """What came of a session; `log` has (direction, datagram), the first `shaken` of them until the handshake was
    over."""

    state: int
    timely: bool
    shaken: int
    log: list[tuple[str, bytes]]
    error: list[Any] | None
    inbox: list[bytes]
    suite: int
    dropped: int
    retransmitted: int
    resumed: bool
    extended: bool
    session: list[Any] | None

    def sizes(self) -> list[int]:
        """Of the handshake's datagrams, theirs below zero."""
        return [len(data) if way == ">" else -len(data) for way, data in self.log[: self.shaken]]

    def keys_sent(self) -> int:
        """How often our flight with the keys went out: a datagram that begins with ClientKeyExchange."""
        return sum(way == ">" and data[0] == r.HANDSHAKE and data[13] == CLIENT_KEY for way, data in self.log)


def session(
    where: tuple[str, str],
    port: int,
    steps: Sequence[tuple[str, Any]] = (),
    *,
    identity: bytes = IDENTITY,
    psk: bytes = PSK,
    suites: Sequence[int] = (c.CCM_8,),
    timeout: int = 1000,
    retries: int = 4,
    offer_cid: bool = True,
    resume: list[Any] | None = None,
    seed: int = 1,
) -> Told:
    """Drives one session through `steps` of drive.Session, in (interpreter, AES)."""
    interpreter, aes = where
    plan = {
        "port": port, "aes": aes, "limit": LIMIT_MS, "identity": identity.hex(), "psk": psk.hex(),
        "suites": list(suites), "timeout": timeout, "retries": retries, "offer_cid": offer_cid, "resume": resume,
        "random": Random(seed).randbytes(32).hex(),
        "steps": [(name, part.hex() if isinstance(part, bytes) else part) for name, part in steps],
    }  # fmt: skip
    if interpreter == "cpython":
        told = drive.run(plan)
    else:
        command = [judge("micropython"), "-X", f"heapsize={HEAP}", drive.__file__, str(LIB)]
        done = subprocess.run(
            command, input=json.dumps(plan), capture_output=True, text=True, timeout=LIMIT_MS / 1000 + 20
        )
        assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
        told = json.loads(done.stdout)
    told["log"] = [(way, bytes.fromhex(data)) for way, data in told["log"]]
    told["inbox"] = [bytes.fromhex(data) for data in told["inbox"]]
    return Told(**told)
