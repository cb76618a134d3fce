"""What a run cost: datagrams, bytes, radio seconds, charge, heap; counted from the network's trace, not by the device.

Each datagram is put into one exchange by what it says (decoded by aiocoap): a report and what keeps it possible, a
command with its answer, or the registration.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from aiocoap import ACK, PUT, Message
from aiocoap.error import UnparsableMessage
from aiocoap.numbers.codes import DELETE, GET, POST

from tools import segments
from tools.checker import Verdict, check
from tools.scenario import NO_BOOT, PSM_WAKE, Run, Wake
from tools.world.network import Datagram

REPORT, COMMAND, SESSION, NOISE = "report", "command", "session", "noise"
HANDSHAKE = "handshake"
"""Of DTLS; and what the platform could not open, tries in a session that it does not know."""


def classify(trace: list[Datagram]) -> list[str]:
    """For each datagram of one wake the exchange it belongs to."""
    kinds: list[str] = []
    of_mid: dict[tuple[str, int], str] = {}  # (who asked, MID) -> kind, for the acknowledgement
    for datagram in trace:
        message, asker = _decode(datagram), datagram.direction
        if message is None:
            kind = NOISE
        elif message.mtype is ACK or message.code == 0:
            kind = of_mid.get(("down" if asker == "up" else "up", message.mid), SESSION)
        else:
            kind = of_mid[(asker, message.mid)] = _kind(message, asker)
        kinds.append(kind)
    return kinds


def _kind(message: Message, direction: str) -> str:
    path = "/".join(message.opt.uri_path)
    if direction == "down":
        return COMMAND if message.code is PUT else SESSION
    if message.code in (POST, DELETE, GET):
        return REPORT if path.startswith("rd/") else SESSION  # an Update is what makes the report possible
    return COMMAND if _is_answer(message.payload) else REPORT


def _is_answer(payload: bytes) -> bool:
    try:
        body = json.loads(payload)
    except ValueError:
        return False
    return any("taskId" in entry for entry in (body if isinstance(body, list) else [body]))


def kinds(run: Run, trace: list[Datagram]) -> list[str]:
    """As `classify`, of what was inside where DTLS is around it; of a connection as tools/segments.py says."""
    if run.plan.streams:
        return segments.classify(run.plan.protocol, trace)
    if not run.plan.dtls:
        return classify(trace)
    inside = classify([replace(datagram, data=run.opened(datagram)) for datagram in trace])
    return [kind if run.opened(datagram) else HANDSHAKE for datagram, kind in zip(trace, inside, strict=True)]


def cost(run: Run, wakes: list[Wake], kind: str) -> tuple[int, int]:
    """(datagrams, wire bytes) of one kind over these wakes."""
    count = size = 0
    for wake in wakes:
        trace = run.network.trace[wake.mark : wake.end_mark]
        for datagram, found in zip(trace, kinds(run, trace), strict=True):
            if found == kind:
                count += 1
                size += datagram.wire_bytes
    return count, size


def resumed(run: Run) -> list[Wake]:
    """Wakes but the first in which the device did not register anew."""
    out = []
    for wake in run.wakes:
        trace = run.network.trace[wake.mark : wake.end_mark]
        if run.plan.streams:
            fresh = run.plan.protocol == "mqtts" and _commanded(run, wake)  # what TLS hides is not told apart
        else:
            fresh = any(_registers(run, datagram) for datagram in trace)
        if wake.reason in (PSM_WAKE, NO_BOOT) and not fresh:
            out.append(wake)
    return out


def _commanded(run: Run, wake: Wake) -> bool:
    return any(wake.began <= event.t <= wake.ended for event in run.events.of("command-sent"))


def _registers(run: Run, datagram: Datagram) -> bool:
    message = _decode(replace(datagram, data=run.opened(datagram)))
    if message is None or datagram.direction == "down":
        return False
    return message.code is POST and message.opt.uri_path == ("rd",)


def _decode(datagram: Datagram) -> Message | None:
    try:
        return Message.decode(datagram.data)
    except (UnparsableMessage, UnicodeDecodeError):
        return None


def _mean(values: Sequence[float], digits: int) -> float | None:
    return round(mean(values), digits or None) if values else None


def result(run: Run) -> dict[str, Any]:
    """The object of DESIGN §10."""
    verdict, plan, module = check(run), run.plan, run.module
    wakes = resumed(run)
    count = len(wakes) or 1
    datagrams, size = [sum(pair) for pair in zip(cost(run, wakes, REPORT), cost(run, wakes, HANDSHAKE), strict=True)]
    command_datagrams, command_size = cost(run, run.wakes, COMMAND)
    commands = verdict.commands_answered or 1
    empty = module.empty_heap() if plan.measure_heap else None
    return {
        "protocol": plan.protocol,
        "family": plan.family,
        "engine": plan.engine,
        "seed": plan.seed,
        "wakes": len(run.wakes),
        "boots": module.boots,
        "psm_entered": module.psm_entered,
        "readings_taken": verdict.readings_taken,
        "readings_acknowledged": verdict.readings_acknowledged,
        "readings_lost": verdict.readings_lost,
        "readings_duplicated": verdict.readings_duplicated,
        "commands_sent": verdict.commands_sent,
        "commands_answered": verdict.commands_answered,
        "datagrams_per_report": round(datagrams / count, 2) if wakes else None,
        "wire_bytes_per_report": round(size / count, 1) if wakes else None,
        "datagrams_per_command": round(command_datagrams / commands, 2) if verdict.commands_answered else None,
        "wire_bytes_per_command": round(command_size / commands, 1) if verdict.commands_answered else None,
        "connected_ms_per_report": _mean([wake.connected_ms for wake in wakes], 0),
        "charge_mc_per_report": _mean([wake.charge_mc for wake in wakes], 3),
        "flash_programs_per_wake": _mean([wake.flash_programs for wake in wakes], 1),
        "heap_peak_bytes": module.heap_peak - empty if empty is not None else None,
        "trace_sha256": run.network.trace_sha256(run.opened),
        "fault": None,
        "error": error(run, verdict),
    }


def error(run: Run, verdict: Verdict) -> dict[str, Any] | None:
    """null, or what went wrong: the device's own fault where it still has one, else the scenario's or checker's."""
    if run.problem is None and verdict.passed() and len(run.wakes) == run.plan.wakes:
        return None
    told = fault(run)
    if told is not None:
        return told
    if run.problem is not None:
        return {"code": 1, "name": run.problem.name, "hint": f"{run.problem}: {run.problem.hint}"}
    text = verdict.problems[0] if verdict.problems else "not every reading was acknowledged"
    return {"code": 2, "name": "check", "hint": text}


def fault(run: Run) -> dict[str, Any] | None:
    """The last fault that the device logged since its last report arrived ("E21 NotProvisioned: text. hint",
    lib/device/health.py)."""
    for event in reversed(run.events.of("log", "uplink")):
        if event.kind == "uplink":
            break
        parts = event.text.split(":", 3)  # level : logger : E21 Name : text
        words = parts[2].split() if len(parts) == 4 else []
        if len(words) == 2 and words[0][:1] == "E" and words[0][1:].isdigit():
            return {"code": int(words[0][1:]), "name": words[1], "hint": parts[3].strip()}
    return None
