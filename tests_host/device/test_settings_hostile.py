"""device.settings against settings of every wrong kind: config.json of any JSON, any value given to `change`, and what
the module's JSON parser takes and CPython's does not (in the VM). Whatever comes, there is one message or a good value.
"""

import json
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests_host.device.test_settings import GOOD, NAMES, TABLE, Device
from tests_host.device.world import World

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.one_of(
    st.integers(), st.integers(-2, 70000), st.integers(299, 1116001), st.floats(allow_nan=False), st.booleans())
SCALARS = st.one_of(st.none(), NUMBERS, TEXT, st.sampled_from(["psm", "sleep", "imei", "PSM", "", "1"]))
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
KEYS = st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES).map(str.upper), TEXT)
CONFIGS = st.dictionaries(KEYS, JSON, max_size=5)
EXAMPLES = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def allowed(name, value):
    """What the table says, read a second time."""
    _, kind, _, low, high, *_ = next(row for row in TABLE if row[0] == name)
    if kind == "choice":
        return isinstance(value, str) and value in low
    if kind == "addresses":
        address = "(?=[^,]*[.:])[0-9A-Fa-f.:]{2,39}"
        return isinstance(value, str) and re.fullmatch(f"({address}(,{address})?)?", value) is not None
    if kind == "secret hex":
        return isinstance(value, str) and re.fullmatch("([0-9A-Fa-f]{2}){0,64}", value) is not None
    if kind in ("text", "secret"):
        return isinstance(value, str) and low <= len(value.encode()) <= high
    return type(value) is int and low <= value <= high


def fit(config):
    """Whether such a config.json is to be used."""
    good = "server.host" in config and all(name in NAMES and allowed(name, value) for name, value in config.items())
    return good and together(config)


def together(config):
    """Whether settings that are each allowed go together."""
    psk, protocol = config.get("security") == "psk", config.get("protocol", "lwm2m")
    payload = config.get("payload", "transparent")
    if protocol == "lwm2m":
        return not psk or bool(config.get("psk")) != bool(config.get("psk_hex"))
    known = config.get("device.id") and config.get("device.token")
    if not known or psk:
        return False
    if protocol == "tcp":
        return payload != "thing-json" and (config.get("tcp.version") == "1.1") == (payload == "thing-binary")
    texts = [config.get(name, "") for name in ("device.id", "mqtt.user", "mqtt.topic", "mqtt.subscribe")]
    levels = texts[3].split("/")
    wild = all(level in ("+", "#") or not {"+", "#"} & set(level) for level in levels) and "#" not in levels[:-1]
    return payload != "thing-binary" and not {"+", "#"} & set(texts[2]) and wild and "\0" not in "".join(texts)


# -- config.json -------------------------------------------------------------------------------------------------------


@EXAMPLES
@given(st.one_of(CONFIGS, CONFIGS.map(lambda config: {**GOOD, **config})))
def test_a_config_of_any_values_is_used_as_it_is_or_refused_as_a_whole_with_one_message(config):
    found = Device(config).power_on()
    if fit(config):
        assert found.problem == ""
        assert {name: found.values[name] for name in config} == config
    else:
        assert found.values is None
        assert 0 < len(found.problem) < 250


@EXAMPLES
@given(st.one_of(JSON, CONFIGS))
def test_a_device_that_worked_is_stopped_by_no_config(config):
    device = Device({**GOOD, "report.interval": 3600})
    device.power_on()
    device.configure(json.dumps(config).encode()[:5000])
    for _ in range(2):
        found = device.power_on()
        good = isinstance(config, dict) and fit(config)
        assert (found.problem == "") == good
        assert found.values["report.interval"] == (config.get("report.interval", 21600) if good else 3600)
        assert all(allowed(name, found.values[name]) for name in found.values)


@EXAMPLES
@given(st.data())
def test_a_good_config_with_any_one_byte_changed_never_leaves_a_value_out_of_range(data):
    text = bytearray(json.dumps({**GOOD, "server.port": 5683, "power.mode": "psm", "report.interval": 3600}).encode())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(st.sampled_from([*string.printable.encode(), 0, 255]))
    found = Device(bytes(text)).power_on()
    assert found.problem or all(allowed(name, found.values[name]) for name in found.values)


def test_text_that_is_no_text_is_refused_with_a_message():
    found = Device(b'{"server.host": "\\ud800"}').power_on()
    assert found.values is None and "server.host" in found.problem


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_config_in_another_encoding_is_refused_in_cpython_as_it_is_in_the_vm(encoding):
    found = Device(json.dumps(GOOD).encode(encoding)).power_on()
    assert (found.values, found.problem) == (None, "config.json: not valid JSON")


VM_ONLY = {
    "nested deep": b'{"server.host": %s%s}' % (b"[" * 1500, b"]" * 1500),
    "a number as name": b"{1: 2}",
    "null as name": b"{null: 1}",
    "a number among the names": b'{"server.host": "lwm2m.ctwing.cn", 1: 2}',
}


@pytest.mark.parametrize("config", VM_ONLY.values(), ids=VM_ONLY)
def test_what_the_modules_json_takes_is_refused_with_a_message_and_not_by_a_restart(config):
    """MicroPython's ujson parses 2000 levels without recursion and takes names that are no text. A device that had good
    settings restarts as well: each time counts as a failure of its tree."""
    with World(engine="vm") as world:
        world.flash.write("config.json", config)
        world.start()
        world.advance(60)
        assert not world.on.done() or world.on.result().how == "exit"
        assert any("waiting for /usr/config.json: " in line for line in world.log())


# -- settings.change ---------------------------------------------------------------------------------------------------


@EXAMPLES
@given(KEYS, JSON)
def test_any_change_is_in_force_over_power_off_or_raises_badsetting_and_changes_nothing(name, value):
    device = Device()
    found = device.power_on()
    before = dict(found.values)
    if name in NAMES and allowed(name, value) and together({name: value}):
        found.change(name, value)
        assert found.values == {**before, name: value}
        assert device.power_on().values == {**before, name: value}
    else:
        with pytest.raises(device.module.BadSetting) as caught:
            found.change(name, value)
        assert len(str(caught.value)) < 250
        assert (found.values, found.on_trial) == (before, {})
        assert device.power_on().values == before


@EXAMPLES
@given(st.lists(st.tuples(st.sampled_from(NAMES), JSON, st.booleans()), max_size=6))
def test_any_sequence_of_changes_and_wakes_leaves_every_value_in_range(steps):
    device = Device()
    for name, value, acknowledged in steps:
        found = device.wake(acknowledged)
        try:
            found.change(name, value)
        except device.module.BadSetting:
            assert not allowed(name, value)
        assert all(allowed(row, found.values[row]) for row in found.values)
    device.wake(), device.wake(), device.wake()
    found = device.power_on()
    assert found.on_trial == {}
    assert all(allowed(row, found.values[row]) for row in found.values)


@pytest.mark.parametrize(
    ("name", "value"),
    [("server.host", b"lwm2m.ctwing.cn"), ("server.port", object()), ("server.host", "\ud800"), (5, 1), (None, 1)],
)
def test_a_change_that_is_not_even_json_raises_badsetting(name, value):
    device = Device()
    found = device.power_on()
    with pytest.raises(device.module.BadSetting):
        found.change(name, value)


# -- settings that are each allowed and do not go together -------------------------------------------------------------


@pytest.mark.parametrize("config", [
    {"lwm2m.ack_timeout": 10000, "lwm2m.retries": 8},
    {"lwm2m.retries": 0, "lwm2m.ack_timeout": 500},
    {"report.interval": 60, "listen.window": 10000},
    {"report.interval": 86400, "lwm2m.lifetime": 300},
    {"outbox.limit": 2048, "report.batch": 16},
    {"link.attach_timeout": 30, "lwm2m.lifetime": 86400},
])  # fmt: skip
def test_the_ends_of_the_ranges_work_together(config):
    with World(config) as world:
        assert world.power_on() == "psm"
        world.command(8001, valve_onoff=1)
        assert world.wake() == "psm"
        assert world.verdict().problems == []
        assert world.waiting() == []


@pytest.mark.parametrize("name", ["settings", "trial"])
@pytest.mark.parametrize("saved", [{}, {"values": GOOD}])
def test_a_record_of_another_shape_is_left_alone(name, saved):
    """As another version of the tree may have left it: config.json is still there and good."""
    device = Device()
    device.power_on()
    device.bench.load("store.record").Record(f"/usr/state/{name}.rec").save(saved)
    assert device.power_on().values["server.host"] == GOOD["server.host"]
