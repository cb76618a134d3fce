"""`python -m tools run` over MQTT, MQTTS and TCP: what LwM2M does, they do."""

import pytest

from tools import figures
from tools.checker import check, entries
from tools.deployment import PROTOCOLS
from tools.plan import Plan, quicker
from tools.scenario import play

STREAMS = ("mqtt", "mqtts", "tcp")
THING = {"payload": "thing-binary", "tcp.version": "1.1"}

# Every way to speak over a connection: protocol and settings.
WAYS = {
    "mqtt": ("mqtt", {}),
    "mqtt, native": ("mqtt", {"mqtt.engine": "native"}),
    "mqtt, thing model": ("mqtt", {"payload": "thing-json"}),
    "mqtt, clean, subscribed": ("mqtt", {"mqtt.clean": 1, "mqtt.subscribe": "topic/event", "mqtt.user": "device001"}),
    "mqtt, QoS 0": ("mqtt", {"report.type": "non"}),
    "mqtts": ("mqtts", {}),
    "mqtts, native": ("mqtts", {"mqtt.engine": "native"}),
    "tcp": ("tcp", {}),
    "tcp 1.1": ("tcp", THING),
    "tcp 2.0": ("tcp", {"tcp.version": "2.0"}),
}


def passed(plan):
    run = play(plan)
    result = figures.result(run)
    assert result["error"] is None, result["error"]
    assert result["readings_lost"] == result["readings_duplicated"] == 0
    assert result["commands_sent"] == result["commands_answered"]
    return run, result


@pytest.mark.parametrize("way", WAYS)
def test_reports_are_taken_commands_answered_and_the_connection_is_closed_before_the_radios(way):
    protocol, config = WAYS[way]
    run, result = passed(quicker(Plan(protocol=protocol, config=config, wakes=4)))
    assert result["psm_entered"] == 4 and result["commands_answered"] == 2
    for wake in run.wakes:
        released = [event.t for event in run.events.of("rrc") if wake.began <= event.t <= wake.ended][-1]
        ended = [r.ended for r in run.aep.registrations(run.device) if wake.began <= r.t <= wake.ended]
        assert ended and max(ended) < released


@pytest.mark.parametrize("way", ["mqtt", "mqtt, native", "mqtts", "tcp 1.1"])
def test_both_engines_leave_the_same_trace(way):
    protocol, config = WAYS[way]
    traces = {engine: passed(Plan(protocol=protocol, config=config, engine=engine))[1]["trace_sha256"]
              for engine in ("vm", "cpython")}
    assert traces["vm"] == traces["cpython"]


@pytest.mark.parametrize("protocol", STREAMS)
def test_another_protocol_is_a_line_of_settings_and_the_readings_stay_what_they_are(protocol):
    """The same world draws the same meter; what arrives differs in nothing but its way."""
    def arrived(name):
        run, _ = passed(quicker(Plan(protocol=name, commands=False)))
        return [(entry["serviceId"], entry["id"], entry.get("water_flow")) for entry in entries(run)]

    assert arrived(protocol) == arrived("lwm2m")


@pytest.mark.parametrize("way", ["mqtt", "mqtt, native", "mqtts", "tcp", "tcp 1.1"])
@pytest.mark.parametrize("seed", range(3))
def test_loss_costs_time_and_nothing_else(way, seed):
    protocol, config = WAYS[way]
    run = play(quicker(Plan(protocol=protocol, config=config, wakes=8, loss=0.15, seed=seed)))
    verdict = check(run)
    assert verdict.problems == [] and verdict.readings_lost == 0
    assert verdict.commands_answered == verdict.commands_sent


@pytest.mark.parametrize("way", ["mqtt", "mqtt, native", "mqtts", "tcp", "tcp 1.1"])
def test_in_light_sleep_one_connection_lives_on_and_hears_commands_at_once(way):
    protocol, config = WAYS[way]
    more = {"mqtt.keepalive": 240} if protocol != "tcp" else {}
    run, result = passed(quicker(Plan(protocol=protocol, wakes=3,
                                      config={**config, **more, "power.mode": "sleep"})))
    assert result["boots"] == 1 and len(run.aep.registrations(run.device)) == 1
    (command,) = run.aep.commands(run.device)
    assert command.finished - command.created < 10


@pytest.mark.parametrize("engine", ["python", "native"])
def test_commands_are_taken_with_their_task_around_them_as_well(engine):
    plan = quicker(Plan(protocol="mqtt", config={"mqtt.engine": engine}, wakes=4, mqtt_wrapped=True))
    run, result = passed(plan)
    assert result["commands_answered"] == 2
    sent = [row.raw for row in run.aep.trace() if row.direction == "down" and b"device_control" in row.raw]
    assert len(sent) == 2 and all(b'"payload":' in raw for raw in sent)


@pytest.mark.parametrize(("way", "command", "answer"), [
    ("mqtt, thing model", b'\0\x0fvalve_onoff_cmd\0\1{"taskId":1,"payload":{"valve_onoff":0}}',
     b'{"taskId":1,"resultPayload":{"valve_onoff":0,"act_result":0}}'),
    ("tcp 1.1", b"\x03\0\5\0\1\x1f\x41\0", b"\x83\0\x08\0\1\0\1\x23\x29\0\0"),
])
def test_a_thing_models_command_comes_as_the_platform_says_it(way, command, answer):
    """ctwing.md §3.3: topic, task and parameters; §4.1: task, service, parameters."""
    protocol, config = WAYS[way]
    run, _ = passed(quicker(Plan(protocol=protocol, config=config)))
    assert [row.raw for row in run.aep.trace() if row.direction == "down" and row.raw.endswith(command)]
    assert [row.raw for row in run.aep.trace() if row.direction == "up" and row.raw.endswith(answer)]


def test_two_equal_reports_without_an_id_are_two_where_nobody_can_see_what_was_acknowledged():
    """TLS hides it; a repeat would have gone before anything else."""
    passed(quicker(Plan(protocol="mqtts", config={"payload": "thing-json"}, wakes=9, seed=2)))


def test_the_firmwares_client_acknowledges_only_where_a_probe_has_shown_that_it_tells_the_truth():
    for tells in (False, True):
        plan = quicker(Plan(protocol="mqtt", umqtt_tells=tells, config={"mqtt.engine": "native"}))
        run, _ = passed(plan)
        log = [event.text for event in run.events.of("log")]
        said = [text for text in log if "handed over" in text or "acknowledged" in text]
        assert len(said) == 4 and all(("acknowledged" in text) == tells for text in said)
        probes = [uplink for uplink in run.aep.uplinks(run.device) if uplink.topic == "probe"]
        assert len(probes) == 1 + tells  # one that nobody could see acknowledged, and one more where that was told


def test_auto_takes_the_firmwares_client_only_where_it_was_proven():
    run, _ = passed(quicker(Plan(protocol="mqtt")))
    assert not [event for event in run.events.of("log") if "umqtt" in event.text]
    assert not [uplink for uplink in run.aep.uplinks(run.device) if uplink.topic == "probe"]


def test_every_protocol_of_the_command_line_is_played_here_or_in_the_tests_of_lwm2m():
    assert {protocol for protocol, _ in WAYS.values()} | {"lwm2m", "lwm2m-dtls"} == set(PROTOCOLS)
