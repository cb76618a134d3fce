"""All figures in one object, and the limits that a test holds them to."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from tools.bench import dtls, mqtt, peer, protocols
from tools.bench.device import PAYLOAD, command_run, per_day, report_run, wake_rows, warm_report
from tools.bench.exchanges import FURTHER, count, each_way
from tools.bench.footprint import heap_of_rooms, heap_peak
from tools.bench.instructions import counts
from tools.ctwing.store import TraceRow
from tools.figures import COMMAND, REPORT, SESSION
from tools.module.tree import sizes
from tools.tables import ROOT

ENDPOINTS = ("imei", "urn:imei", "urn:imei-imsi")
TOKENS = range(1, 9)

# Exchange -> what of its trace is counted. A cold report is Register, its answer, Observe 19/0/0, its answer, the
# report, its acknowledgement.
EXCHANGES = {
    "cold": (SESSION, REPORT),
    "resumed": (REPORT,),
    "warm": (REPORT,),
    "command": (COMMAND,),
}
LIMITS = {
    "cold": {"datagrams": 6, "bytes": 420},
    "resumed": {"datagrams": 4, "bytes": 225},
    "warm": {"datagrams": 2, "bytes": 140},
}
"""For PAYLOAD bytes, an IMEI endpoint and tokens of 4 bytes, IP and UDP headers included."""

DAYS = (("resumed", 21600), ("registers", 86400))
"""What each wake does, seconds between wakes: AEP's lifetime ends at 86,400 s, so that a daily meter registers."""

Step = Callable[[str], object]


def measure(step: Step = lambda text: None) -> dict[str, Any]:
    """`step` hears what is run. Of the figures `mpy_v5_bytes` is None without mpy-cross 1.13, `instructions` without
    valgrind."""
    step("exchanges, beside aiocoap")
    out: dict[str, Any] = {"payload_bytes": PAYLOAD, "peer": "aiocoap " + version("aiocoap"), "exchanges": exchanges()}
    step("endpoint formats and tokens")
    out["reports"] = [_row(endpoint, token) for endpoint in ENDPOINTS for token in TOKENS]
    step("days")
    out["days"] = {how: per_day(interval, registers=how == "registers") for how, interval in DAYS}
    step("code and heap")
    out["mpy_v5_bytes"] = sizes(ROOT)
    out["heap_peak_bytes"], out["heap_of_rooms"] = heap_peak(), heap_of_rooms()
    out["instructions"] = counts(step)
    out["dtls"] = dtls.measure(step)
    out["mqtt"] = mqtt.measure(step)
    out["protocols"] = protocols.measure(step)
    return out


def exchanges() -> dict[str, dict[str, Any]]:
    """{exchange: {"ours", "each_way", "peer", "limit", "further"}}: datagrams and bytes; `each_way` is ours "up" and
    "down"; the limit is None where none is set; `further` is what the platform asked beside it, the same of both."""
    ours, part = played()
    theirs = peer.play(part)
    out = {}
    for name, wanted in EXCHANGES.items():
        out[name] = {
            "ours": count(ours[name], *wanted),
            "each_way": each_way(ours[name], *wanted),
            "peer": count(theirs[name], *wanted),
            "limit": LIMITS.get(name),
            "further": {"ours": count(ours[name], FURTHER), "peer": count(theirs[name], FURTHER)},
        }
    return out


def played() -> tuple[dict[str, list[TraceRow]], peer.Part]:
    """The platform's trace of our device in each exchange, and the part that it played there."""
    reports, order = report_run("imei", 4), command_run()
    ours = {
        "cold": wake_rows(reports, 0),
        "resumed": wake_rows(reports, 1),
        "warm": warm_report(),
        "command": wake_rows(order, 1),
    }
    report, answer = reports.aep.uplinks(reports.device)[0], order.aep.uplinks(order.device)[-1]
    command = order.aep.commands(order.device)[0]
    return ours, peer.part_of(ours["cold"], report.payload, command.content, answer.payload)


def _row(endpoint: str, token: int) -> dict[str, Any]:
    run = report_run(endpoint, token)
    resumed, cold = count(wake_rows(run, 1), REPORT), count(wake_rows(run, 0), SESSION, REPORT)
    return {
        "endpoint": endpoint,
        "token": token,
        **resumed,
        "cold_datagrams": cold["datagrams"],
        "cold_bytes": cold["bytes"],
    }
