"""Was anything lost, doubled or invented? What the simulated sensors drew against what the platform's database holds.

It trusts nothing the device says of itself: samples come from the world (the meter's controller, the modem's signal),
reports from the AEP's store, what still waits from the bytes on the flash, commands from those who gave them.
"""

import json
import struct
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tools.module.flash import Flash
from tools.scenario import Run

# Sensor of the world -> (field of the report, units of the field in one unit of the sensor).
FIELDS = {"flow": ("water_flow", 1000), "rsrp": ("rsrp", 1), "battery": ("battery_voltage", 1000)}
EVERY_SAMPLE = ("flow",)
"""Sensors that only readings ask: each sample they drew must have become an entry. The modem's signal and supply are
looked at for other ends as well."""
SLACK = 3.0
"""Seconds between an entry's time and the sample's: an entry carries the time at which sampling began."""


@dataclass
class Verdict:
    """`problems` is empty when everything is as it should be."""

    readings_taken: int = 0
    readings_acknowledged: int = 0
    readings_waiting: int = 0
    readings_lost: int = 0
    readings_duplicated: int = 0
    commands_sent: int = 0
    commands_answered: int = 0
    problems: list[str] = field(default_factory=list)

    def passed(self) -> bool:
        """Everything was reported and acknowledged, once, and every command answered."""
        return not self.problems and self.readings_acknowledged == self.readings_taken > 0


def check(run: Run) -> Verdict:
    """The verdict on a run."""
    verdict = Verdict()
    stored = list(entries(run))
    reports = [entry for entry in stored if "taskId" not in entry]
    answers = [entry for entry in stored if "taskId" in entry]
    _readings(run, reports, verdict)
    _ids(stored, {entry["id"] for entry in waiting(run.module.flash)}, verdict)
    _commands(run, answers, verdict)
    return verdict


def entries(run: Run) -> list[dict[str, Any]]:
    """Every entry the platform stored, in the order it came, with `acked`: whether its uplink was acknowledged."""
    out = []
    for uplink in run.aep.uplinks(run.device):
        body = json.loads(uplink.payload)
        for entry in body if isinstance(body, list) else [body]:
            out.append({**entry, "acked": uplink.acked_at is not None})
    return out


def waiting(flash: Flash) -> list[dict[str, Any]]:
    """Entries of the outbox that were not consumed: an own reading of its format on flash (lib/store/outbox.py)."""
    if not flash.exists("state/outbox.log"):
        return []
    head = 1
    if flash.exists("state/outbox.rec"):
        head = json.loads(flash.read("state/outbox.rec")[9:])["head"]
    data, at, out = flash.read("state/outbox.log"), 0, []
    while at + 10 <= len(data):
        size, crc = struct.unpack_from(">HI", data, at)
        frame = data[at + 6 : at + 10 + size]
        if zlib.crc32(frame) != crc:
            break
        number = int.from_bytes(frame[:4], "big")
        if number >= head:
            out.append({"id": number, **json.loads(frame[4:])})
        at += 10 + size
    return out


def _readings(run: Run, reports: list[dict[str, Any]], verdict: Verdict) -> None:
    left = [{name: text for name, text in entry["f"]} | {"t": entry["t"], "id": entry["id"]}
            for entry in waiting(run.module.flash) if "task" not in entry]
    seen = {entry["id"] for entry in reports}
    at_platform = list({entry["id"]: entry for entry in reports}.values())
    verdict.readings_acknowledged = len({entry["id"] for entry in reports if entry["acked"]})
    held = at_platform + [entry for entry in left if entry["id"] not in seen]
    verdict.readings_waiting = len(held) - len(at_platform)
    verdict.readings_taken = len(held)
    for sensor, (name, scale) in FIELDS.items():
        drawn = [event for event in run.events.of("sensor") if event.data["field"] == sensor]
        unmatched = [entry for entry in held if name in entry]
        for event in drawn:
            value = event.data["value"]
            match = next((entry for entry in unmatched if _same(entry, name, scale, value, event.t)), None)
            if match is not None:
                unmatched.remove(match)
            elif sensor in EVERY_SAMPLE:
                verdict.readings_taken += 1
                verdict.readings_lost += 1
                verdict.problems.append(f"lost: {sensor} {value} drawn at {event.t:.0f} is nowhere")
        for entry in unmatched:
            verdict.problems.append(f"invented: {name} {entry[name]} (id {entry['id']}) was never drawn")


def _same(entry: dict[str, Any], name: str, scale: int, value: int, t: float) -> bool:
    when = entry.get("t") or t  # taken before the clock was set: the entry has no time of its own
    return round(float(entry[name]) * scale) == round(value) and abs(when - t) <= SLACK


def _ids(stored: list[dict[str, Any]], left: set[int], verdict: Verdict) -> None:
    """Ids count every entry without a gap, so one that is nowhere is an entry that was lost."""
    counts = Counter(entry["id"] for entry in stored)
    for number in range(1, max([*counts, *left], default=0)):
        if number not in counts and number not in left:
            verdict.readings_lost += 1
            verdict.problems.append(f"lost: id {number} is neither at the platform nor in the outbox")
    verdict.readings_duplicated = sum(n - 1 for n in counts.values())
    verdict.problems += [f"doubled: id {number} came {n} times" for number, n in counts.items() if n > 1]
    for number in counts:
        bodies = {json.dumps({k: v for k, v in e.items() if k not in ("acked", "t")}, sort_keys=True)
                  for e in stored if e["id"] == number}
        if len(bodies) > 1:
            verdict.problems.append(f"id {number} stands for {len(bodies)} different entries")


def _commands(run: Run, answers: list[dict[str, Any]], verdict: Verdict) -> None:
    verdict.commands_sent = len(run.given)
    by_task: dict[int, dict[int, dict[str, Any]]] = {}
    for answer in answers:
        by_task.setdefault(answer["taskId"], {})[answer["id"]] = answer
    for given in run.given:
        found = list(by_task.get(given.task, {}).values())
        if len(found) != 1:
            verdict.problems.append(f"command {given.service} task {given.task}: {len(found)} answers")
        elif (found[0]["serviceId"], found[0].get("act_result")) != (given.service + 1000, 0):
            verdict.problems.append(f"command {given.service} task {given.task} answered {found[0]}")
        verdict.commands_answered += len(found) == 1
    moves = [event.data["state"] for event in run.events.of("valve")]
    wanted = [given.fields["valve_onoff"] for given in run.given if given.service == 8001]
    if moves != wanted:
        verdict.problems.append(f"the valve was to move {wanted} and moved {moves}")
