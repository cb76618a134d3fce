"""Stretches of a device's life that are cut: at a flash program, at a datagram, or a datagram is lost; and what must
hold afterwards, told from the world, the flash and the wire, never from what the device says of itself.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiocoap import Message

from tests_host.device.world import HOUR, World
from tools import journal
from tools.module.flash import Flash
from tools.module.modem.misc import NEXT_REASON
from tools.scenario import Run
from tools.world.events import Event, Events

PROGRAM, CUT, LOST, COMMAND = "program", "cut", "lost", "command"
"""The power goes in the midst of the n-th flash program, or as the n-th datagram has been let go; or that datagram is
lost and the power stays; or the power goes as the modem has carried out the n-th AT command."""

HOWS = (PROGRAM, CUT, LOST)
BOOTS = 12  # of one wake; more is a tight loop
AT_ONCE = 3.0  # s: a sample is stored within, or the power went
INTERRUPTED = "interrupted"

OF_A_CUT = (
    # Nobody can know whether the platform got a report whose acknowledgement was not consumed: it comes again.
    r"doubled: id \d+ came again though its first message was acknowledged",
    # Drawn in the instant before it was stored: `_drawn_in_vain` looks closer.
    r"lost: flow \d+ drawn at \d+ is nowhere",
)


def nothing(world: World) -> None:
    """Nothing is done."""


@dataclass(frozen=True)
class Scene:
    """`before` brings the device to where the stretch begins, `strike` is what the world does then; the stretch is
    `wakes` wakes to PSM, or `seconds` where the module stays on. `calm` ends what the world did, then come `follow`
    wakes, or hours. `at_cut` looks at what the power left behind, `after` at the end."""

    before: Callable[[World], object] = nothing
    strike: Callable[[World], object] = nothing
    calm: Callable[[World], object] = nothing
    at_cut: Callable[[World], object] = nothing
    after: Callable[[World], object] = nothing
    wakes: int = 1
    seconds: float = 0.0
    follow: int = 1
    config: dict = field(default_factory=dict)
    app: str | None = None
    world: dict[str, Any] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()
    """What the checker may say here beside OF_A_CUT."""


class Stretch:
    """One stretch, cut at `n` in the way `how`; `n` 0: not at all. Counts the flash programs and datagrams it passes;
    `went` tells whether the power did."""

    def __init__(self, world: World, scene: Scene, how: str = PROGRAM, n: int = 0) -> None:
        self.world, self.scene, self.how, self.n = world, scene, how, n
        self.programs = self.datagrams = self.commands = 0
        self.went = False

    def run(self) -> None:
        network = self.world.network
        up, down = network.up, network.down
        segments_up, segments_down = network.flows.up, network.flows.down
        network.up = lambda *args: self._carry(up, args)  # type: ignore[method-assign]
        network.down = lambda *args: self._carry(down, args)  # type: ignore[method-assign]
        network.flows.up = lambda *args: self._carry(segments_up, args)  # type: ignore[method-assign]
        network.flows.down = lambda *args: self._carry(segments_down, args)  # type: ignore[method-assign]
        self.world.events.listeners.append(self._heard)
        if self.scene.seconds:
            self._stay(self.scene.seconds)
        for _ in range(0 if self.scene.seconds else self.scene.wakes):
            self.wake()
        self.world.events.unlisten(self._heard)
        network.up, network.down = up, down  # type: ignore[method-assign]
        network.flows.up, network.flows.down = segments_up, segments_down  # type: ignore[method-assign]

    def wake(self) -> None:
        """From a power-on to PSM, over restarts and the cut."""
        world, reason = self.world, 3
        if world.module.boots:
            alarm = world.module.wakes_at()
            assert alarm is not None
            world.advance(alarm - world.loop.time())
            reason = 8
        for _ in range(BOOTS):
            ended = world.power_on(reason, cut_at=self._left())
            self._ended(ended)
            if ended == "psm":
                return
            reason = NEXT_REASON[ended]
        raise AssertionError("it starts again and again:\n" + "\n".join(world.log()[-20:]))

    def _stay(self, seconds: float) -> None:
        """So long awake or in light sleep, over restarts and the cut."""
        world = self.world
        end = world.loop.time() + seconds
        if world.module.powered:
            self.programs -= world.module.programs
            if self._left():
                world.cut_in(self.n)
        else:
            world.start(3, self._left())
        while True:
            task = world.on
            assert task is not None
            world.loop.run_until_complete(asyncio.wait({task}, timeout=max(0.0, end - world.loop.time())))
            if not task.done():
                break
            self._ended(task.result().how)
            world.start(NEXT_REASON[task.result().how], self._left())
        self.programs += world.module.programs

    def _ended(self, how: str) -> None:
        self.programs += self.world.module.programs
        if how == "cut":
            self.went = True
            self.scene.at_cut(self.world)

    def _left(self) -> int | None:
        left = self.n - self.programs
        return left if self.how == PROGRAM and left > 0 and not self.went else None

    def _heard(self, event: Event) -> None:
        self.commands += event.kind == "at"
        if event.kind == "at" and self.how == COMMAND and self.commands == self.n:
            self.world.module.power_cut()

    def _carry(self, carry: Callable[..., None], args: tuple) -> None:
        self.datagrams += 1
        hit = self.datagrams == self.n and self.how in (CUT, LOST)
        network = self.world.network
        before = network.loss
        if hit and self.how == LOST:
            network.loss = 1.0
        carry(*args)
        network.loss = before
        if hit and self.how == CUT:
            self.world.module.power_cut()


def points(scene: Scene) -> dict[str, int]:
    """How many places there are to cut the scene's stretch at: it is run once, undisturbed."""
    with World(scene.config, scene.app, **scene.world) as world:
        whole = play(world, scene)
    return {PROGRAM: whole.programs, CUT: whole.datagrams, LOST: whole.datagrams, COMMAND: whole.commands}


def play(world: World, scene: Scene, how: str = PROGRAM, n: int = 0) -> Stretch:
    """The scene from its beginning to its end; AssertionError where something does not hold."""
    scene.before(world)
    scene.strike(world)
    stretch = Stretch(world, scene, how, n)
    stretch.run()
    scene.calm(world)
    if scene.seconds:
        world.advance(scene.follow * HOUR)
        assert not world.on.done(), world.on.result().how
        world.cut()
    else:
        later = Stretch(world, scene)
        for _ in range(scene.follow):
            later.wake()
    assert stretch.went or how == LOST or not n, f"no {how} {n}"
    holds(world, scene, stretch.went)
    scene.after(world)
    return stretch


# -- what must hold ----------------------------------------------------------------------------------------------------


def holds(world: World, scene: Scene, went: bool) -> None:
    """Nothing lost, nothing twice, every command answered once; numbers, journal and boot record in order."""
    allowed = scene.allowed + (OF_A_CUT if went else ())
    for problem in world.verdict().problems:
        assert any(re.fullmatch(one, problem) for one in allowed), problem
        if problem.startswith("lost"):
            assert drawn_in_vain(world.events, problem), problem
    for answer in world.answers():
        assert answer["act_result"] == 0 or went and answer.get("reason", INTERRUPTED) == INTERRUPTED, answer
    assert world.record("commands").get("queue", []) == []
    assert world.waiting() == []
    numbers(world.run)
    read_journal(world.flash)
    assert world.boot_record()["failed"] == 0, world.boot_record()
    assert world.boot_record()["a"] == "good"


def drawn_in_vain(events: Events, problem: str) -> bool:
    """The power went between a sample and its storing: nothing was noted in between. The checker may mean the sample
    that was drawn anew, of the same value, a power-on later."""
    found = re.fullmatch(r"lost: flow (\d+) drawn at (\d+) is nowhere", problem)
    assert found is not None, problem
    alike = [e.t for e in events.of("sensor") if (e.data["field"], e.data["value"]) == ("flow", int(found[1]))]
    cuts = [e.t for e in events.of("power") if e.text == "cut"]
    noted = [e.t for e in events.of("log") if "readings due" in e.text]
    for drawn in (t for t in alike if abs(t - int(found[2])) < 2 * AT_ONCE):
        end = next((t for t in cuts if drawn <= t < drawn + AT_ONCE), None)
        if end is not None and not [t for t in noted if drawn <= t <= end]:
            return True
    return False


def own(run: Run) -> Iterator[tuple[bytes, Message]]:
    """What the device sent under message ids of its own."""
    for datagram in run.network.trace:
        data = run.opened(datagram)
        if datagram.direction == "up" and data and data[0] & 0x20 == 0:
            message = Message.decode(data)
            if message.code:
                yield data, message


def numbers(run: Run) -> None:
    """RFC 7252 §4.4, RFC 7641 §3.4: a message id stands for one message, Observe numbers grow from message to
    message."""
    if run.plan.streams:
        packet_ids(run)
        return
    if run.plan.config.get("lwm2m.engine") == "modem":
        return  # its client's numbers begin anew with each power-on
    kept: dict[int, bytes] = {}
    last = -1
    for data, message in own(run):
        new = message.mid not in kept
        assert kept.setdefault(message.mid, data) == data, f"message id {message.mid} came again"
        if new and message.opt.observe is not None:
            assert message.opt.observe > last, f"Observe {message.opt.observe} after {last}"
            last = message.opt.observe


def packet_ids(run: Run) -> None:
    """MQTT: a packet id stands for one message until its PUBACK, and here for ever. TCP 1.0 has none; the firmware's
    client begins anew with each connection."""
    if run.plan.config.get("mqtt.engine") == "native":
        return
    kept: dict[int, bytes] = {}
    for uplink in run.aep.all_uplinks(run.device):
        if uplink.mid:
            assert kept.setdefault(uplink.mid, uplink.payload) == uplink.payload, f"packet id {uplink.mid} came again"


def read_journal(flash: Flash) -> None:
    """Nothing in the journal is damaged, no boot number begins anew."""
    items = journal.read({name: flash.read("state/" + name) for name in journal.FILES if flash.exists("state/" + name)})
    assert [item for item in items if isinstance(item, journal.Damage | journal.Again)] == []


def settled(world: World, *good: dict) -> None:
    """The settings on flash are one of these, whole, and nothing is on trial any more."""
    values = world.record("settings")["values"]
    assert values in [{**values, **each} for each in good], values
    assert world.record("trial") == {}
