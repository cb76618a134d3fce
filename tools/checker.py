"""Was anything lost, doubled, changed or invented? What the simulated sensors drew against the platform's database.

It trusts nothing the device says of itself: samples come from the world (the meter's controller, the modem's signal and
supply), reports from the AEP's store, what still waits from the bytes on the flash, commands from those who gave them,
losses from the network. What this tree's app.py promises to report is checked only where that app ran.
"""

import json
import re
import struct
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tools.ctwing.store import Uplink
from tools.deployment import acknowledges
from tools.module.flash import Flash
from tools.scenario import NO_BOOT, Run, interval
from tools.segments import acknowledgement
from tools.things import declaration, decode
from tools.things.model import RESPONSE, ModelError
from tools.truth import LANDING, Truth
from tools.world.events import Event

# Field of a report -> (sensor of the world that it comes from, its units in one of the sensor's, service id).
FIELDS = {
    "water_flow": ("flow", 1000, 1),
    "battery_voltage": ("battery", 1000, 1),
    "rsrp": ("rsrp", 1, 2),
    "sinr": ("sinr", 1, 2),
}
PROMISED = {"water_flow": 0, "battery_voltage": 86400, "rsrp": 43200, "sinr": 43200}
"""Seconds between two samples that lib/app.py declares; 0: every wake."""

EVERY_SAMPLE = ("water_flow",)
"""Fields whose sensor only readings ask: each sample drawn must have become an entry. The modem's signal and supply
are looked at for other ends as well."""

NEED_NETWORK = ("rsrp", "sinr")
"""Fields that have no value in a wake without a data call."""

EARLY, LATE = 1.0, 3.0
"""Seconds by which an entry's time may lie after and before its sample: it is the whole second in which sampling began,
and a sample follows within a second or two."""

EXCHANGE_LIFETIME = 247.0  # seconds, RFC 7252 §4.8.2

FAILED = re.compile(r"^ERROR:(?!MQTT:)\w+:(?!E\d+ )")
"""The device's log line of a reading or handler that failed; faults (E25 …) are met by trying again, and what the
firmware's MQTT client says becomes one of them."""


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
        """Everything was reported and acknowledged, and every command answered."""
        return not self.problems and self.readings_acknowledged == self.readings_taken > 0


Entry = dict[str, Any]

PROBE = "probe"
"""Topic of two messages with which a device learns whether its firmware's MQTT client tells the truth: no readings."""

OURS = ("uplink", "timeless", "t")
"""Of an entry: what is not the device's, and the time, which it may learn between two tries."""


def check(run: Run) -> Verdict:
    """The verdict on a run."""
    verdict, truth = Verdict(), Truth(run)
    stored = entries(run)
    verdict.problems += [f"not as declared: {entry['wrong']}" for entry in stored if "wrong" in entry]
    left = waiting(run.module.flash)
    _readings(run, truth, stored, left, verdict)
    _ids(run, truth, stored, {entry["id"] for entry in left}, verdict)
    _commands(run, truth, [entry for entry in stored if "taskId" in entry], verdict)
    _module(run, truth, verdict)
    return verdict


def entries(run: Run) -> list[Entry]:
    """Every entry the platform stored, in the order it came, with `uplink`: the message that carried it. One whose
    service declares no id has a negative one of ours; a message that came again has that of the first. `timeless`: its
    service declares no time."""
    form = run.plan.config.get("payload", "transparent")
    out: list[Entry] = []
    for uplink in run.aep.all_uplinks(run.device):
        if uplink.topic == PROBE:
            continue
        if form == "transparent":
            body = json.loads(uplink.payload)
            out += [{**entry, "uplink": uplink} for entry in (body if isinstance(body, list) else [body])]
        else:
            out.append({**_decoded(uplink, form), "uplink": uplink})
    for command in run.aep.commands(run.device) if run.plan.protocol == "tcp" else []:
        if command.answer:  # it came with the command's acknowledgement (ctwing.md §4.1)
            when = command.finished or command.created
            uplink = Uplink(0, run.device, when, command.answer[2:], 0, b"", "83", when, "",
                            int.from_bytes(command.answer[:2], "big"))
            out.append({**_decoded(uplink, form), "taskId": command.task, "uplink": uplink})
    out.sort(key=lambda entry: entry["uplink"].t)
    _number(run, out)
    return out


def _decoded(uplink: Uplink, form: str) -> Entry:
    """An entry of a thing model, without what stands for a value that it has not; {"wrong": why} where it is not as
    declared: the platform would drop it."""
    services = declaration.read_file()
    try:
        entry = decode.uplink(services, uplink.payload, form, uplink.topic, uplink.service)
    except ModelError as error:
        return {"serviceId": 0, "wrong": str(error), "timeless": True}
    service = next(one for one in services if one.id == entry["serviceId"])
    entry["timeless"] = "t" not in entry
    for one in service.fields:
        if one.name == "t" and one.unit == "ms":
            entry["t"] //= 1000
        elif service.kind != RESPONSE and one.empty is not None and entry[one.name] == one.empty:
            del entry[one.name]
    return entry


def _number(run: Run, found: list[Entry]) -> None:
    """Ids of ours for those that have none: a message whose acknowledgement never arrived came again."""
    nameless = [entry for entry in found if "id" not in entry]
    truth = Truth(run) if nameless else None
    last: dict[Any, Entry] = {}
    number, latest = 0, None
    for entry in found:
        if "id" not in entry:
            number += 1
            key = entry["uplink"].payload, entry.get("taskId")
            before = last.get(key)
            assert truth is not None
            again = before is not None and not _acknowledgement_arrived(run, truth, before["uplink"])
            if run.plan.protocol == "mqtts":  # its acknowledgements cannot be seen; a repeat goes before anything else
                again = again and before is latest
            entry["id"] = before["id"] if before is not None and again else -number
            last[key] = entry
        latest = entry


def waiting(flash: Flash) -> list[Entry]:
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


def _readings(run: Run, truth: Truth, stored: list[Entry], left: list[Entry], verdict: Verdict) -> None:
    at_platform = {entry["id"]: entry for entry in stored if "taskId" not in entry}
    kept = {e["id"]: {**dict(e["f"]), "serviceId": e["s"], "t": e["t"], "id": e["id"]} for e in left if "task" not in e}
    held = list({**kept, **at_platform}.values())
    unasked = not acknowledges(run.plan)
    acked = {e["id"] for e in stored if "taskId" not in e and (unasked or e["uplink"].acknowledged)}
    verdict.readings_acknowledged, verdict.readings_taken = len(acked), len(held)
    verdict.readings_waiting = len(held) - len(at_platform)
    for name in FIELDS:
        matched = _match(run, truth, name, [entry for entry in held if name in entry], verdict)
        if run.plan.app is None:
            _promised(run, truth, name, matched, verdict)


def _match(run: Run, truth: Truth, name: str, unmatched: list[Entry], verdict: Verdict) -> list[float]:
    """Finds the sample behind each entry; returns the times of those found."""
    sensor, scale, service = FIELDS[name]
    times = []
    drawn = [event for event in run.events.of("sensor") if event.data["field"] == sensor]
    for event in drawn:
        match = next((entry for entry in unmatched if _same(truth, entry, name, scale, event, drawn)), None)
        if match is not None:
            unmatched.remove(match)
            times.append(event.t)
            if match["serviceId"] != service:
                verdict.problems.append(f"changed: {name} (id {match['id']}) came under service {match['serviceId']}")
        elif name in EVERY_SAMPLE and not truth.flash_refused(event.t):
            verdict.readings_taken += 1
            verdict.readings_lost += 1
            verdict.problems.append(f"lost: {sensor} {event.data['value']} drawn at {event.t:.0f} is nowhere")
    for entry in unmatched:
        verdict.problems.append(f"invented: {name} {entry[name]} (id {entry['id']}) was never drawn")
    return times


def _same(truth: Truth, entry: Entry, name: str, scale: int, event: Event, drawn: list[Event]) -> bool:
    value = round(float(entry[name]) * scale)
    if value != event.data["value"]:
        return False
    if entry.get("timeless"):  # the last one of this value before it came
        came = entry["uplink"].t
        return event.t == max((e.t for e in drawn if e.data["value"] == value and e.t <= came), default=None)
    when = entry.get("t")
    if not when:  # only what was taken before the clock was first set may have no time
        return not truth.told or event.t < truth.told[0]
    return -EARLY <= event.t + truth.clock_error(event.t) - when <= LATE


def _promised(run: Run, truth: Truth, name: str, times: list[float], verdict: Verdict) -> None:
    """Sampled in the first wake, and from then on no longer than declared between two samples."""
    if not run.wakes:
        return
    if not times or times[0] > run.wakes[0].ended:
        verdict.problems.append(f"missing: no {name} from the first wake")
    granted = max((event.data["tau_s"] for event in run.events.of("psm") if event.text == "granted"), default=0)
    # A wake may be late by its own length and a back-off.
    longest = max(PROMISED[name], interval(run.plan), granted) * 1.2 + 600
    excused = list(truth.mute) if name in EVERY_SAMPLE else []
    if name in NEED_NETWORK:
        excused += [wake.began for wake in run.wakes if not truth.connected(wake)]
    excused += [event.t for event in run.events.of("sensor") if truth.flash_refused(event.t)]
    marks = sorted([*times, *excused, run.wakes[-1].ended])
    # From light sleep into PSM: the sleep that follows is a whole T3412, whenever the last sample was.
    doze_ends = [wake.ended for wake in run.wakes if wake.reason == NO_BOOT and not wake.stayed_on]
    for earlier, later in zip(marks, marks[1:], strict=False):
        extra = max(interval(run.plan), granted) * any(earlier <= t < later for t in doze_ends)
        if later - earlier > longest + extra:
            verdict.problems.append(f"missing: no {name} for {later - earlier:.0f} s from {earlier:.0f} on")


def _ids(run: Run, truth: Truth, stored: list[Entry], left: set[int], verdict: Verdict) -> None:
    """Ids count every entry without a gap, so one that is nowhere is an entry that was lost. One that came twice must
    be the same entry, and its first message's acknowledgement must never have arrived."""
    by_id: dict[int, list[Entry]] = {}
    for entry in stored:
        by_id.setdefault(entry["id"], []).append(entry)
    missing = [n for n in range(1, max([*by_id, *left], default=0)) if n not in by_id and n not in left]
    for number in missing[sum(number < 0 for number in by_id) :]:  # each that came without its id is one of them
        verdict.readings_lost += 1
        verdict.problems.append(f"lost: id {number} is neither at the platform nor in the outbox")
    for number, found in by_id.items():
        verdict.readings_duplicated += len(found) - 1
        for entry in found[:-1]:
            if _acknowledgement_arrived(run, truth, entry["uplink"]):
                verdict.problems.append(f"doubled: id {number} came again though its first message was acknowledged")
        bodies = {json.dumps({k: v for k, v in e.items() if k not in OURS}, sort_keys=True) for e in found}
        if len(bodies) > 1:
            verdict.problems.append(f"changed: id {number} stands for {len(bodies)} different entries")


def _acknowledgement_arrived(run: Run, truth: Truth, uplink: Uplink) -> bool:
    """Whether the network carried an acknowledgement (of LwM2M an ACK, RFC 7252 §4.2) of this message to the module's
    socket, and the module could still make something of it: it stayed on, and its flash took what was to be noted.
    Under TLS it cannot be seen."""
    if not acknowledges(run.plan):
        return False
    streams = run.plan.streams
    ack = acknowledgement(run.plan.protocol, uplink.mid) if streams else b"\x60\0" + uplink.mid.to_bytes(2, "big")
    for datagram in run.network.trace:
        sent = datagram.t_us / 1e6
        data = run.opened(datagram)
        if datagram.direction != "down" or datagram.lost or not (ack in data if streams else ack == data):
            continue
        if not 0 <= sent - uplink.t < EXCHANGE_LIFETIME or truth.flash_refused(sent):
            continue
        gone = truth.stranded(datagram.data) + truth.resets
        if not any(sent <= t < sent + LANDING for t in gone):
            return True
    return False


def _commands(run: Run, truth: Truth, answers: list[Entry], verdict: Verdict) -> None:
    verdict.commands_sent = len(run.given)
    by_task: dict[int, dict[int, Entry]] = {}
    for answer in answers:
        by_task.setdefault(answer["taskId"], {})[answer["id"]] = answer
    may_have_failed: set[int] = set()
    for given in run.given:
        found = list(by_task.pop(given.task, {}).values())
        what = f"command {given.service} task {given.task}"
        if len(found) != 1:
            verdict.problems.append(f"{what}: {len(found)} answers")
            continue
        verdict.commands_answered += 1
        told = {key: found[0].get(key) for key in ("serviceId", "act_result", *given.fields)}
        if told["act_result"] == 1 and truth.stopped(given, found[0]["uplink"].t):
            may_have_failed.add(given.task)
        elif told != {"serviceId": given.service + 1000, "act_result": 0, **given.fields}:
            verdict.problems.append(f"{what} was answered {told}")
        if not found[0]["uplink"].acknowledged and acknowledges(run.plan):
            verdict.problems.append(f"{what}: the answer was not acknowledged")
    verdict.problems += [f"task {task} was answered and never given" for task in by_task]
    moves = [event.data["state"] for event in run.events.of("valve")]
    wanted = [given for given in run.given if given.service == 8001]
    told_so_far = {0}  # how many of the moves may be explained by the commands so far
    for given in wanted:
        moved = {n + 1 for n in told_so_far if moves[n : n + 1] == [given.fields["valve_onoff"]]}
        told_so_far = moved | (told_so_far if given.task in may_have_failed else set())
    if len(moves) not in told_so_far:
        states = [given.fields["valve_onoff"] for given in wanted]
        verdict.problems.append(f"the valve was to move {states} and moved {moves}")


def _module(run: Run, truth: Truth, verdict: Verdict) -> None:
    """Each wake ended in PSM unless the world kept the module on, and nothing of the user's failed."""
    ends = Counter(event.text for event in run.events.of("power"))
    down = sum(not wake.stayed_on for wake in run.wakes)
    if run.problem is None and not ends["psm"] == run.module.psm_entered == down:
        verdict.problems.append(f"{down} wakes were to end in PSM and {run.module.psm_entered} did")
    if run.problem is None and run.module.boots != sum(ends.values()):
        verdict.problems.append(f"{run.module.boots} boots, and the power went {sum(ends.values())} times")
    failed = [event.text for event in run.events.of("log")
              if FAILED.match(event.text) and not truth.flash_refused(event.t)]
    if len(failed) > len(truth.mute):
        verdict.problems.append(f"{len(failed)} readings or handlers failed; the first: {failed[0]}")
