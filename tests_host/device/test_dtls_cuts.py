"""DTLS and the power: cut at any flash program or datagram, no record number is used for two plaintexts under one key
(RFC 6655 §3: it would give both away), no old record is taken again, and nothing of the device's job suffers.

What went over the wire is opened with the keys that the platform's side has derived.
"""

import itertools
import struct

import pytest

from tests_host.device.cutting import HOWS, Scene
from tests_host.device.test_power_cut_more import both, sweep, switch, valve, woken
from tests_host.device.world import World
from tools.ctwing.dtls_own import Options
from tools.ctwing.dtls_own_records import Ccm8, split
from tools.deployment import AEP_ADDRESS, DTLS_PORT

BY_ID, FORGETFUL, KEEPING = Options(cid=8), Options(cid=0, resumption=False), Options(cid=0)
HANDSHAKE = 22
EVERY = 10**6  # places to cut at: more than there are


class Keys:
    """Every key that the platform has ever had for what a device sends, oldest first."""

    def __init__(self, world):
        self.found = []
        self._engine = world.aep.dtls.engine
        self._world = world
        make = self._engine.session

        def session(address):
            made = make(address)
            receive = made.receive

            def noted(datagram):
                out = receive(datagram)
                reader = made._state.reader
                if reader is not None and all(reader is not one for one in self.found):
                    self.found.append(reader)
                return out

            made.receive = noted
            return made

        self._engine.session = session

    def check(self):
        """No key has been used twice with one nonce; returns how many records of protected data there were."""
        used, unknown, opened = {}, {}, 0
        for datagram in self._world.network.trace:
            if datagram.direction != "up" or datagram.remote[1] != DTLS_PORT:
                continue
            for record in split(datagram.data, self._engine.options.cid):
                if record.epoch == 0:
                    continue
                which = self._key_of(record)
                if which is None:  # the platform never had this key: the device's Finished, and nothing else
                    assert record.kind == HANDSHAKE
                    unknown.setdefault((datagram.local, record.sequence), set()).add(record.body)
                    continue
                opened += 1
                assert record.body[:8] == record.sequence  # the nonce is the record's own number
                bodies = used.setdefault((which, record.sequence), set())
                bodies.add(record.body)
                assert len(bodies) == 1, f"key {which} and number {record.sequence.hex()} for {len(bodies)} plaintexts"
        return opened

    def _key_of(self, record):
        for which, key in enumerate(self.found):
            assert isinstance(key, Ccm8)
            try:
                key.open(record)
                return which
            except Exception:  # noqa: BLE001, PERF203 - another key's
                continue
        return None


def keyed(scene):
    """The scene, with the keys looked at before its end."""

    def before(world):
        world.keys = Keys(world)
        scene.before(world)

    def after(world):
        assert world.keys.check() > 4
        scene.after(world)

    return Scene(**{**{name: getattr(scene, name) for name in scene.__dataclass_fields__}, "before": before,
                    "after": after})


def woken_twice(world):
    woken(world)
    assert world.wake() == "psm"


SCENES = {
    "first": keyed(Scene(world={"dtls": BY_ID}, wakes=2)),
    "kept-by-id": keyed(Scene(woken, both(valve), world={"dtls": BY_ID}, wakes=2, follow=2)),
    "tried-and-new": keyed(Scene(woken, both(valve), world={"dtls": FORGETFUL}, wakes=2, follow=2)),
    "resumed": keyed(Scene(woken_twice, both(valve), world={"dtls": KEEPING}, wakes=2, follow=2)),
    "forgotten": keyed(Scene(woken, both(valve, switch("forget-dtls")), world={"dtls": BY_ID}, wakes=2, follow=2)),
}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", SCENES)
def test_no_record_number_is_used_twice_cut_at_every_flash_program_and_every_datagram(name, how):
    sweep(SCENES[name], how, EVERY)


def test_cuts_in_a_row_at_every_moment_of_a_kept_session():
    """A weak battery: power-ons that die one flash program later each time, all in the session that an id keeps."""
    with World(dtls=BY_ID) as world:
        keys = Keys(world)
        assert world.power_on() == "psm"
        world.command(8001, valve_onoff=0)
        for cut_at in itertools.chain(range(1, 45, 2), [None, None]):
            how = world.wake(cut_at=cut_at) if world.module.wakes_at() else world.power_on(3, cut_at=cut_at)
        assert how == "psm" and keys.check() > 20
        assert world.waiting() == []


def replay(world):
    """All that the platform has sent so far comes again whenever it has heard the device."""
    old = [datagram.data for datagram in world.network.trace if datagram.direction == "down"]

    def listen(event):
        if event.kind == "uplink":
            for data in old:
                world.network.inject(data, (AEP_ADDRESS, DTLS_PORT))

    world.events.listeners.append(listen)


def restarts(world):
    return len([event for event in world.of("power") if event.text == "restart"])


def test_no_record_of_before_is_taken_in_a_session_that_was_kept():
    """A request to restart comes again, byte by byte: only DTLS can know that it is old. Cut after it was answered and
    before the wake has ended, and then in wakes to come."""
    answered = 0
    for cut_at in range(14, 44):
        with World(dtls=BY_ID) as world:
            assert world.power_on() == "psm"
            asked = world.aep.ask(world.device, "execute", "/3/0/4")
            how = world.wake(cut_at=cut_at)
            if world.aep.store.request(asked).status != "ANSWERED":
                continue
            before = restarts(world)
            answered += how == "cut"
            replay(world)
            assert world.again(how) == "psm" and world.wake() == "psm"
            assert restarts(world) == before, cut_at
    assert answered >= 3


def test_the_wire_is_looked_at_rightly():
    """The checker finds a number that was used twice."""
    with World(dtls=BY_ID) as world:
        keys = Keys(world)
        assert world.power_on() == "psm"
        assert keys.check() > 3
        twice = next(d for d in reversed(world.network.trace) if d.direction == "up")
        (record,) = split(twice.data, 8)
        key = keys.found[0]
        forged = key.seal(record.__class__(**{**vars(record), "body": b"\x40\x00other\x17"}))
        world.network.trace.append(twice.__class__(**{**vars(twice), "data": forged.encode()}))
        with pytest.raises(AssertionError, match="2 plaintexts"):
            keys.check()


def test_the_saved_session_says_where_numbers_go_on():
    """`seq` on flash is never behind what was sent."""
    with World(dtls=BY_ID) as world:
        keys = Keys(world)
        for _ in range(3):
            assert (world.wake() if world.module.boots else world.power_on()) == "psm"
            saved = world.record("dtls")
            sent = [struct.unpack("!Q", record.sequence)[0] & 0xFFFFFFFFFFFF
                    for datagram in world.network.trace if datagram.direction == "up"
                    for record in split(datagram.data, 8) if record.epoch == 1]
            assert max(sent) < saved["seq"] and keys.check()
