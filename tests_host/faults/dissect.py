"""tshark's opinion of what a device sent: a run's trace as pcap, each of its datagrams dissected."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests_host.conftest import judge
from tools.ctwing.store import TraceRow
from tools.ctwing.trace import write_pcap

FIELDS = ("coap.mid", "coap.token", "coap.code", "_ws.malformed", "_ws.expert.severity")
WARNING = 6 << 20  # PI_WARN


def complaints(rows: Iterable[TraceRow], folder: Path) -> list[str]:
    """What tshark holds against datagrams of the device; the platform's may be garbage on purpose."""
    tshark, rows = judge("tshark"), list(rows)
    write_pcap(folder / "run.pcap", rows)
    command = [tshark, "-r", str(folder / "run.pcap"), "-T", "fields", "-E", "separator=|"]
    for name in FIELDS:
        command += ["-e", name]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(rows)
    out = []
    for line, row in zip(lines, rows, strict=True):
        mid, token, code, malformed, severity = line.split("|")
        if row.direction != "up":
            continue
        length = row.raw[0] & 15
        wanted = (int.from_bytes(row.raw[2:4], "big"), row.raw[4 : 4 + length].hex(), row.raw[1])
        if (int(mid), token.replace(":", ""), int(code)) != wanted or malformed or int(severity or 0) >= WARNING:
            out.append(f"{line}: {row.raw.hex()}")
    return out
