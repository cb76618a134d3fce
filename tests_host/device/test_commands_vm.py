"""One downlink, two engines: what the MicroPython VM makes of it, CPython makes of it too."""

import pytest

from tests_host.device.world import DAY, World

APP = """
from device.commands import between, command, one_of
from device.readings import reading


@reading("pad")
def pad():
    return 1


@command(1, on=one_of(True, False))
def switch(on):
    return {"on": on}


@command(2, level=between(0, 9))
def level(level):
    return {"level": level}
"""


def outcome(engine, body):
    """(answers, counters) of the wake that takes this downlink."""
    with World(app=APP, engine=engine) as world:
        world.power_on()
        world.aep.command(world.device, body, data_type="string", ttl=2 * DAY)
        assert world.wake() == "psm"
        assert len(world.of("command-sent")) >= 1
        found = [{**answer, "uplink": None} for answer in world.answers()], world.counters()
        assert any(found), "neither answered nor counted: the test shows nothing"
        return found


@pytest.mark.parametrize("value", ["true", "false"])
def test_command_with_a_bool_is_carried_out_on_the_module_too(value):
    answers, counters = outcome("vm", f'{{"serviceId":1,"taskId":7,"on":{value}}}')
    assert [(answer["act_result"], answer["on"]) for answer in answers] == [(0, value == "true")]
    assert counters == {}


@pytest.mark.parametrize("body", [
    '{"serviceId":2,"taskId":7,"level":5}',
    '{"serviceId":2,"taskId":7,"level":5.0}',
    '{"serviceId":2,"taskId":7,"level":1e999}',
    '{"serviceId":2,"taskId":7,"level":null}',
    '{"serviceId":2,"taskId":7,"level":99999999999999999999999999}',
    '{"serviceId":2,"taskId":7,"level":"\\u9600\\u0000"}',
    '{"serviceId":2,"taskId":7,"level":[[]]}',
    '{"serviceId":2,"serviceId":1,"taskId":7,"level":5}',
    '{"serviceId":2,"taskId":7.0,"level":5}',
    '{"serviceId":2,"level":5}',
    '{"serviceId":-2,"taskId":7}',
    " \t\n" + '{"serviceId":2,"taskId":7,"level":5}',
    "[" * 400,
    '{"serviceId":2,"taskId":7,"level":5} and more',
])  # fmt: skip
def test_both_engines_answer_and_count_alike(body):
    assert outcome("vm", body) == outcome("cpython", body)


@pytest.mark.parametrize("body", [
    '{"serviceId":2,"taskId":7,"level":5,}',
    '{"serviceId":2,"taskId":7,1:5}',
    '{"serviceId":2,"taskId":7,"a\\ud800":5}',
])  # fmt: skip
def test_what_only_the_modules_json_takes_is_answered_or_counted_there(body):
    answers, counters = outcome("vm", body)
    assert [answer["taskId"] for answer in answers] == [7] or counters
