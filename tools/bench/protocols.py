"""The same report over each protocol, from power-on and from PSM, and what each takes of the module."""

from collections.abc import Callable
from typing import Any

from tools.bench.device import APP, PAYLOAD, BenchError
from tools.deployment import PROTOCOLS
from tools.module.flash import Flash
from tools.module.tree import build, sizes, spared
from tools.plan import Plan, quicker
from tools.scenario import Run, Wake, play
from tools.tables import ROOT

Step = Callable[[str], object]

BLOCKS = 512  # enough for any tree


def measure(step: Step = lambda text: None) -> dict[str, dict[str, Any]]:
    """{protocol: figures}. Bytes are those on the wire, headers of IP, UDP and TCP included."""
    return {protocol: _figures(protocol, step) for protocol in PROTOCOLS}


def _figures(protocol: str, step: Step) -> dict[str, Any]:
    step(f"a report over {protocol}")
    run = _reports(protocol)
    config = {"protocol": protocol, "mqtt.engine": "python"} if run.plan.streams else {}
    without = spared({**config, "security": "psk" if run.plan.dtls else "none"})
    main = play(Plan(protocol=protocol))
    empty = main.module.empty_heap()
    assert empty is not None
    code = sizes(ROOT, without)
    flash = Flash(blocks=BLOCKS)
    before = flash.statvfs()["free"]
    flash.install(build(ROOT, engine="vm", without=without))
    return {
        "cold": _wire(run, run.wakes[0]),
        "again": _wire(run, run.wakes[-1]),
        "connected_ms": run.wakes[-1].connected_ms,
        "charge_mc": run.wakes[-1].charge_mc,
        "heap_peak_bytes": main.module.heap_peak - empty,
        "mpy_v5_bytes": None if code is None else sum(code.values()),
        "flash_blocks": before - flash.statvfs()["free"],
    }


def _reports(protocol: str) -> Run:
    """A cold wake and further ones from PSM with one report of PAYLOAD bytes each. Raises BenchError."""
    wakes = 4 if protocol == "lwm2m-dtls" else 2  # until the device has learned which short cut is worth trying
    run = play(quicker(Plan(protocol=protocol, wakes=wakes, commands=False, app=APP)))
    found = [len(uplink.payload) for uplink in run.aep.uplinks(run.device)]
    if run.problem is not None or found != [PAYLOAD] * wakes:
        raise BenchError(f"{protocol}: reports of {found} bytes: {run.problem}")
    return run


def _wire(run: Run, wake: Wake) -> dict[str, int]:
    """Packets and bytes of one wake, each way."""
    out = {"packets_up": 0, "bytes_up": 0, "packets_down": 0, "bytes_down": 0}
    for one in run.network.trace[wake.mark : wake.end_mark]:
        out["packets_" + one.direction] += 1
        out["bytes_" + one.direction] += one.wire_bytes
    return out
