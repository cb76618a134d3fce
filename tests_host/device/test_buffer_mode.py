"""Buffer mode (guide §4.1.4.2): downlinks are acknowledged and kept in order until app.py asks for them."""

import pytest

from aep.session import BUSY, DONE, KEPT, MALFORMED
from tests_host.device.test_commands import Device, meter
from tests_host.device.test_cycle import counting
from tests_host.device.world import DAY, World

READER = counting(
    "from device import commands\n\n@reading('buffered')\ndef buffered():\n"
    "    found = commands.read()\n    return None if found is None else '%s %d' % (found[0].decode(), found[1])\n"
)


def buffered():
    return Device(meter, buffered=True)


def test_downlinks_are_read_oldest_first_with_the_number_that_remain():
    device = buffered()
    for payload in (b"one", b"\x00\xff", b'{"taskId":7,"serviceId":8001,"valve_onoff":1}'):
        assert device.commands.keep(payload) == KEPT
    assert device.commands.waiting() == 0 and device.ran == []
    assert device.app.read() == (b"one", 2)
    assert device.power_on().app.read() == (b"\x00\xff", 1)
    assert device.app.read() == (b'{"taskId":7,"serviceId":8001,"valve_onoff":1}', 0)
    assert device.app.read() is None


def test_in_push_mode_there_is_nothing_to_read():
    device = Device(meter)
    device.keep(taskId=7, serviceId=8001, valve_onoff=1)
    assert device.app.read() is None and device.commands.waiting() == 1


def test_app_may_have_the_handler_run_and_the_answer_goes_up():
    device = buffered()
    device.keep(taskId=7, serviceId=8001, valve_onoff=1)
    assert device.ran == []
    assert device.app.execute()
    assert device.ran == [1]
    assert [(answer["taskId"], answer["act_result"]) for answer in device.answers()] == [(7, 0)]
    assert not device.app.execute()


def test_a_task_that_was_read_or_run_is_not_kept_again():
    device = buffered()
    for take in (device.app.read, device.app.execute):
        for _ in range(2):
            assert device.keep(taskId=7 if take == device.app.read else 8, serviceId=8001, valve_onoff=1) == KEPT
        assert len(device.commands.queue) == 1
        take()
        assert len(device.commands.queue) == 0
    assert device.keep(taskId=7, serviceId=8001, valve_onoff=1) == DONE and len(device.commands.queue) == 0


def test_buffer_is_bounded_and_the_platform_keeps_what_finds_no_room():
    device = buffered()
    verdicts = [device.commands.keep(b"x%d" % n) for n in range(12)]
    assert verdicts == [KEPT] * 8 + [BUSY] * 4
    assert device.commands.keep(b"x" * 513) in (MALFORMED, BUSY)


def test_flash_that_refuses_leaves_the_oldest_for_the_next_read():
    device = buffered()
    device.commands.keep(b"one")
    device.kept.fails = True
    try:
        device.app.read()
    except OSError:
        pass
    else:
        raise AssertionError("nothing was raised")
    device.kept.fails = False
    assert device.app.read() == (b"one", 0)


def test_a_change_to_push_mode_runs_what_was_buffered():
    device = buffered()
    device.keep(taskId=7, serviceId=8001, valve_onoff=1)
    device.buffered = False
    device.power_on().run()
    assert device.ran == [1] and len(device.answers()) == 1


def test_app_reads_in_the_wake_after_and_the_platform_has_been_told_at_once():
    with World({"downlink.mode": "buffer"}, app=READER) as world:
        world.power_on()
        for text in ("first", "second"):
            world.aep.command(world.device, text, ttl=86400)
        world.wake()
        assert [command.status for command in world.aep.commands(world.device)] == ["DELIVERED"] * 2
        world.wake()
        world.wake()
        assert [entry["buffered"] for entry in world.reports() if "buffered" in entry] == ["first 1", "second 0"]


@pytest.mark.parametrize("mode", ["psm", "sleep"])
@pytest.mark.parametrize("way", [{"mqtt.engine": "python"}, {"mqtt.engine": "native"}])
def test_reports_go_up_as_usual_where_nobody_reads_what_is_buffered(way, mode):
    """The ninth command finds no room, is not acknowledged, and comes again with each connection."""
    with World({"downlink.mode": "buffer", "power.mode": mode, **way}, protocol="mqtt") as world:
        world.start() if mode == "sleep" else world.power_on()
        world.advance(60)
        for number in range(10):
            world.aep.command(world.device, str(number), ttl=DAY)
        for _ in range(3):
            world.advance(DAY / 4) if mode == "sleep" else world.wake()
        assert len([c for c in world.aep.commands(world.device) if c.status == "DELIVERED"]) == 8
        assert len(world.reports()) >= 4 and len(world.waiting()) == 0
        assert not [line for line in world.log() if line.startswith("ERROR")]
