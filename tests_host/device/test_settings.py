"""device.settings: every row of the table, a broken config.json, settings on trial, and the power going."""

import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests_host.store.bench import Bench, PowerCut
from tools.module.flash import Flash
from tools.tables import SETTINGS, literal

GOOD = {"server.host": "lwm2m.ctwing.cn"}
TABLE = literal(SETTINGS, "TABLE")
NAMES = [row[0] for row in TABLE]
UNUSED = ("psk", "psk_id", "psk_hex", "dtls", "mqtt", "tcp", "device")  # rooms that LwM2M without a key has no use for
IDENTITY = {"device.id": "16891291868543060025186", "device.token": "NOTaSECRETnotasecretNOTaSECRETnotasecret123"}
SECRETS = ("secret", "secret hex")  # kinds whose value no message says


class Device:
    """One device over several power-ons."""

    def __init__(self, config=GOOD):
        self.flash = Flash(blocks=24)
        self.flash.install({"state/": b""})
        if config is not None:
            self.configure(config)

    def configure(self, config):
        self.flash.write("config.json", config if isinstance(config, bytes) else json.dumps(config).encode())

    def power_on(self, cut_at=None):
        self.bench = Bench(self.flash, cut_at)
        self.module = self.bench.load("device.settings")
        return self.module.Settings()

    def wake(self, acknowledged=False):
        """A wake in which the platform is tried."""
        found = self.power_on()
        found.begin()
        if acknowledged:
            found.keep()
        return found


def message(value, name="server.port"):
    device = Device({**GOOD, name: value})
    found = device.power_on()
    assert found.values is None
    return found.problem


# -- the table ---------------------------------------------------------------------------------------------------------


def test_without_anything_but_the_server_every_setting_has_its_default():
    values = Device().power_on().values
    assert values == {**{row[0]: row[5] for row in TABLE if row[0].split(".")[0] not in UNUSED}, **GOOD}


def test_the_mark_of_the_table_is_the_tables():
    """Settings saved under another table are checked again: the mark must change with it."""
    mark = zlib.crc32(repr(TABLE).encode()) & 0x3FFFFFFF
    assert mark == Bench(Flash(blocks=24)).load("device.settings").TABLE_MARK, f"set TABLE_MARK to 0x{mark:X}"


def test_the_table_is_gone_from_the_heap_once_it_has_served():
    device = Device()
    found = device.power_on()
    assert "device.settings_table" not in device.bench.modules
    found.change("report.interval", 7200)
    assert "device.settings_table" not in device.bench.modules
    device.power_on()
    assert "device.settings_table" not in device.bench.modules


@pytest.mark.parametrize("given, port", [({}, 5684), ({"server.port": 5683}, 5683), ({"security": "none"}, 5683)])
def test_with_a_key_the_port_is_5684_unless_one_is_given(given, port):
    key = {"security": "psk", "psk": "TYvoiTk34D3NZ6GN"}
    assert Device({**GOOD, **key, **given}).power_on().values["server.port"] == port


@pytest.mark.parametrize("keys", [{}, {"psk": "TYvoiTk34D3NZ6GN", "psk_hex": "5459766f69546b333444334e5a36474e"}])
def test_security_needs_one_key_and_no_second(keys):
    device = Device({**GOOD, "security": "psk", **keys})
    assert device.power_on().values is None
    assert device.module.Settings().problem == "security: psk needs the key, either as psk or as psk_hex"


def test_security_is_not_switched_on_by_command_where_there_is_no_key():
    device = Device()
    found = device.power_on()
    with pytest.raises(device.module.BadSetting, match="needs the key"):
        found.change("security", "psk")
    assert found.values["security"] == "none" and not found.on_trial
    found.change("psk", "TYvoiTk34D3NZ6GN")
    found.change("security", "psk")
    with pytest.raises(device.module.BadSetting, match="needs the key"):
        found.change("psk", "")
    assert device.power_on().values["security"] == "psk"


@pytest.mark.parametrize(("protocol", "port"), [("lwm2m", 5683), ("mqtt", 1883), ("mqtts", 8883), ("tcp", 8996)])
def test_another_protocol_is_one_line_and_brings_its_port_and_its_settings(protocol, port):
    values = Device({**GOOD, **IDENTITY, "protocol": protocol}).power_on().values
    assert values["server.port"] == port
    rooms = {name.split(".")[0] for name in values} & {"lwm2m", "mqtt", "tcp", "dtls", "psk"}
    assert rooms == {protocol.rstrip("s")}


@pytest.mark.parametrize(("config", "problem"), [
    ({"protocol": "mqtt"}, "device.id: protocol mqtt needs it"),
    ({"protocol": "tcp", **IDENTITY, "device.token": ""}, "device.token: protocol tcp needs it"),
    ({"protocol": "mqtt", **IDENTITY, "security": "psk", "psk": "x"}, "security: psk is for protocol lwm2m"),
    ({"protocol": "tcp", **IDENTITY, "payload": "thing-json"}, "payload: TCP has thing-binary"),
    ({"protocol": "mqtts", **IDENTITY, "payload": "thing-binary"}, "payload: MQTT has thing-json"),
    ({"protocol": "mqtt", **IDENTITY, "mqtt.topic": "a/+"}, "mqtt.topic: + and # are for subscriptions"),
    *[({"protocol": "mqtt", **IDENTITY, name: "a\0b"}, name + ": MQTT has no character 0")
      for name in ("device.id", "mqtt.user", "mqtt.topic", "mqtt.subscribe")],
    *[({"protocol": "mqtts", **IDENTITY, "mqtt.subscribe": topic},
       "mqtt.subscribe: + and # stand alone between slashes, # at the end")
      for topic in ("a#", "a/b+", "#/a", "a/#/b", "##", "+a/b")],
    *[({"protocol": "tcp", **IDENTITY, "payload": payload, "tcp.version": version},
       "tcp.version: 1.1 and payload thing-binary go together")
      for payload, version in (("transparent", "1.1"), ("thing-binary", "1.0"), ("thing-binary", "2.0"))],
])
def test_settings_that_do_not_go_together_are_refused(config, problem):
    found = Device({**GOOD, **config}).power_on()
    assert (found.values, found.problem) == (None, problem)


@pytest.mark.parametrize("topic", ["", "#", "+", "a/#", "+/+/a", "/", "a/+/#", "topic/event"])
def test_a_topic_filter_is_taken(topic):
    assert Device({**GOOD, **IDENTITY, "protocol": "mqtt", "mqtt.subscribe": topic}).power_on().problem == ""


def test_a_protocol_changed_by_command_brings_the_defaults_of_its_settings():
    device = Device({**GOOD, **IDENTITY})
    found = device.power_on()
    assert "mqtt.keepalive" not in found.values
    found.change("protocol", "mqtt")
    assert found.values["mqtt.keepalive"] == 3600
    assert device.power_on().values["mqtt.topic"] == "topic/data"


def test_a_protocol_changed_by_command_brings_its_port_and_its_window_where_they_were_the_usual_ones():
    def told(found):
        return found.values["server.port"], found.values["listen.window"]

    host = {"server.host": "mqtt.ctwing.cn"}
    device = Device({**host, **IDENTITY, "psk": "0123456789abcdef"})
    found = device.power_on()
    found.change("protocol", "mqtt")
    assert told(found) == told(device.power_on()) == (1883, 800)
    found.change("protocol", "lwm2m")
    assert told(found) == (5683, 2000)
    found.change("security", "psk")
    assert told(found) == (5684, 2000)
    found = Device({**host, **IDENTITY, "server.port": 15683, "listen.window": 500}).power_on()
    found.change("protocol", "tcp")
    assert told(found) == (15683, 500)


@pytest.mark.parametrize("row", TABLE, ids=NAMES)
def test_default_is_allowed(row):
    module = Bench(Flash(blocks=24)).load("device.settings")
    if row[5] is not None:
        assert module.check(row[0], row[5]) == row[5]


def edges(row):
    """(allowed, refused) values of a row."""
    name, kind, _, low, high = row[:5]
    if kind == "choice":
        return list(low), ["", "other", None, 1, True, [low[0]], low[0].upper() + " "]
    if kind == "addresses":
        good = ["", "61.132.163.68", "61.132.163.68,202.102.213.68", "240e:4c:4008::1,2400:3200::1"]
        return good, ["1.1.1.1,2.2.2.2,3.3.3.3", '1.1.1.1"', "1.1.1.1\r\nAT", "1.1.1.1, 2.2.2.2", "dns", ",", 5, None]
    if kind == "text":
        short = ["x" * (low - 1)] if low else []
        return ["x" * low, "x" * high], [*short, "x" * (high + 1), "阀" * (high // 3 + 1), 5, None, True]
    if kind == "secret hex":
        return ["", "5459766F69546b33", "0" * high], ["5", "5g", "54 597", "0" * (high + 2), 5, None, True, ["54"]]
    if kind == "secret":
        return ["", "TYvoiTk34D3NZ6GN", "x" * high], ["x" * (high + 1), "阀" * (high // 3 + 1), 5, None, True]
    return [low, high], [low - 1, high + 1, float(low), str(low), None, True, [low], 10**30, -1]


@pytest.mark.parametrize("row", TABLE, ids=NAMES)
def test_range_is_allowed_to_its_ends_and_refused_beyond_with_a_message_naming_key_value_and_range(row):
    allowed, refused = edges(row)
    key = {} if row[1] in SECRETS else {"psk": "TYvoiTk34D3NZ6GN", **IDENTITY}
    for value in allowed:
        assert Device({**GOOD, **key, row[0]: value}).power_on().values[row[0]] == value
    for value in refused:
        text = message(value, row[0])
        assert text.startswith(row[0] + ": ")
        if row[1] in SECRETS:
            assert json.dumps(value)[:30] not in text or len(str(value)) < 5
            continue
        assert json.dumps(value)[:30] in text or len(str(value)) > 30 or not str(value).isascii()
        for limit in row[3] if row[1] == "choice" else (row[3], row[4]):
            assert str(limit) in text


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (None, "config.json: missing"), (b"", "config.json: not valid JSON"), (b"{", "config.json: not valid JSON"),
        (b"\xff\xfe{}", "config.json: not valid JSON"), (b"[]", "config.json: not an object of settings"),
        (b"5", "config.json: not an object of settings"), (b"[" * 4000, "config.json: not valid JSON"),
        (b"{" + b" " * 4096 + b"}", "config.json: longer than 4096 bytes"),
        ({}, "server.host: missing; address or name of the platform's service, e.g. lwm2m.ctwing.cn"),
        ({**GOOD, "server.prot": 5683}, "server.prot: there is no such setting"),
        ({**GOOD, "server.port": 0}, "server.port: 0 is not allowed; give a whole number 1-65535"),
        ({**GOOD, "power.mode": "off"}, 'power.mode: "off" is not allowed; give one of psm, sleep, awake'),
        ({"server.host": "x" * 300},
         'server.host: "' + "x" * 36 + "... is not allowed; give text of 1-253 bytes"),
    ],
)  # fmt: skip
def test_broken_config_on_a_new_device_gives_one_message_and_no_settings(config, problem):
    found = Device(config).power_on()
    assert (found.values, found.problem) == (None, problem)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=200))
def test_any_bytes_in_config_json_raise_nothing(data):
    found = Device(data).power_on()
    assert found.values is not None or found.problem


# -- the last good ones ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [None, b"", b"{", {}, {**GOOD, "server.port": 0}, {**GOOD, "x": 1}])
def test_broken_config_of_a_device_that_worked_leaves_it_on_the_last_good_settings(broken):
    device = Device({**GOOD, "report.interval": 3600})
    device.power_on()
    device.configure(broken) if broken is not None else device.flash.remove("config.json")
    for _ in range(2):
        found = device.power_on()
        assert found.problem
        assert found.values["report.interval"] == 3600
    device.configure({**GOOD, "report.interval": 7200})
    found = device.power_on()
    assert (found.problem, found.values["report.interval"]) == ("", 7200)


def test_config_that_did_not_change_is_not_written_again():
    device = Device()
    device.power_on()
    device.power_on()
    assert device.bench.programs == 0


def test_settings_saved_by_another_version_get_the_defaults_they_lack_and_lose_what_is_no_more():
    """An update that brings a setting must not find itself without it."""
    device = Device()
    values = device.power_on().values
    saved = {name: value for name, value in values.items() if name != "listen.window"}
    mark = device.power_on()._mark
    record = Bench(device.flash).load("store.record").Record("/usr/state/settings.rec")
    record.save({"config": mark, "values": {**saved, "gone.setting": 1, "report.batch": 999, "lwm2m.retries": 2}})
    assert device.power_on().values == {**values, "lwm2m.retries": 2}


def test_full_flash_does_not_keep_a_new_config_from_being_used():
    device = Device()
    device.power_on()
    device.configure({**GOOD, "report.interval": 7200})
    bench = device.bench = Bench(device.flash)
    module = bench.load("device.settings")
    module.Record.save = lambda self, value: (_ for _ in ()).throw(OSError(28))
    found = module.Settings()
    assert found.values["report.interval"] == 7200
    assert "28" in found.problem


def test_cut_at_any_flash_program_leaves_settings_in_force():
    cut_at, went = 0, True
    while went:
        cut_at += 1
        device = Device({**GOOD, "report.interval": 3600})
        device.power_on()
        device.power_on().change("report.interval", 7200)
        device.configure({**GOOD, "report.interval": 10800})
        try:
            device.power_on(cut_at)
            went = False
        except PowerCut:
            pass
        found = device.power_on()
        assert (found.values["report.interval"], found.on_trial, found.problem) == (10800, {}, "")
    assert cut_at > 4


# -- on trial ----------------------------------------------------------------------------------------------------------


def changed(name="report.interval", value=7200):
    """A device on which a command of this wake has changed a setting; the wake's own uplinks were acknowledged."""
    device = Device({**GOOD, "report.interval": 3600})
    found = device.power_on()
    found.begin()
    found.change(name, value)
    found.keep()
    return device, found


def test_change_is_used_at_once():
    _, found = changed()
    assert found.values["report.interval"] == 7200


def test_acknowledgement_in_the_wake_of_the_change_proves_nothing():
    """The session still runs as it was opened: a wrong server would be kept by the answer to the command itself."""
    device, found = changed()
    assert found.on_trial == {"report.interval": 7200}


def test_change_is_kept_after_an_acknowledged_uplink():
    device, _ = changed()
    assert device.wake(acknowledged=True).on_trial == {}
    for _ in range(3):
        found = device.wake()
        assert (found.values["report.interval"], found.on_trial) == (7200, {})


def test_change_is_taken_back_after_two_wakes_without():
    device, _ = changed()
    seen = [device.wake().values["report.interval"] for _ in range(4)]
    assert seen == [7200, 7200, 3600, 3600]


def test_change_is_taken_back_without_a_boot_too():
    _, found = changed()
    seen = []
    for _ in range(4):
        found.begin()
        seen.append(found.values["report.interval"])
    assert seen == [7200, 7200, 3600, 3600]


def test_wakes_that_did_not_try_the_platform_do_not_count():
    device, _ = changed()
    for _ in range(5):
        device.power_on()
    assert device.wake(acknowledged=True).values["report.interval"] == 7200


def test_second_change_begins_the_trial_of_both_anew():
    device, _ = changed()
    device.wake()
    found = device.wake()
    found.change("listen.window", 500)
    found.keep()
    assert device.wake().on_trial == {"report.interval": 7200, "listen.window": 500}
    device.wake()
    found = device.wake()
    assert (found.on_trial, found.values["report.interval"], found.values["listen.window"]) == ({}, 3600, 2000)


def test_change_outlives_the_file_it_changed_until_the_file_is_changed():
    device, _ = changed()
    device.wake(acknowledged=True)
    device.flash.remove("config.json")
    assert device.power_on().values["report.interval"] == 7200
    device.configure({**GOOD, "report.interval": 900})
    assert device.power_on().values["report.interval"] == 900


def test_new_config_ends_a_trial():
    device, _ = changed()
    device.configure({**GOOD, "report.interval": 900})
    found = device.power_on()
    assert (found.values["report.interval"], found.on_trial) == (900, {})


def test_trial_of_a_setting_that_is_no_more_is_dropped():
    device, _ = changed()
    record = Bench(device.flash).load("store.record").Record("/usr/state/trial.rec")
    record.save({**record.load(), "set": {"gone.setting": 1}})
    found = device.power_on()
    assert (found.values["report.interval"], found.on_trial) == (3600, {})


@pytest.mark.parametrize(("name", "value"), [("report.interval", 59), ("nothing", 1), ("server.host", "")])
def test_change_that_is_not_allowed_changes_nothing(name, value):
    device = Device()
    found = device.power_on()
    before = dict(found.values)
    with pytest.raises(device.module.BadSetting, match=name):
        found.change(name, value)
    with pytest.raises(device.module.BadSetting):
        device.module.change(name, value)
    assert (found.values, found.on_trial) == (before, {})


def test_app_changes_the_settings_of_this_boot():
    device = Device()
    found = device.power_on()
    device.module.change("report.interval", 7200)
    assert found.values["report.interval"] == 7200


def test_session_that_is_open_keeps_the_settings_it_was_given():
    found = Device().power_on()
    given_to_session = found.values
    found.change("server.port", 9999)
    assert given_to_session["server.port"] == 5683


def test_change_that_the_flash_refuses_changes_nothing():
    device = Device()
    found = device.power_on()
    device.module.Record.save = lambda self, value: (_ for _ in ()).throw(OSError(28))
    with pytest.raises(OSError, match="28"):
        found.change("server.port", 1)
    assert (found.on_trial, found.values["server.port"]) == ({}, 5683)


def test_cut_at_any_flash_program_of_change_count_and_keep_leaves_old_or_new():
    cut_at, went = 0, True
    while went:
        cut_at += 1
        device = Device({**GOOD, "report.interval": 3600})
        device.power_on()
        steps = 0
        try:
            found = device.power_on(cut_at)
            found.change("report.interval", 7200)
            steps = 1
            found.begin()
            found.keep()
            steps = 2
            went = False
        except PowerCut:
            pass
        found = device.power_on()
        assert found.values["report.interval"] in ((3600, 7200) if steps == 0 else (7200,))
        if steps == 2:
            assert found.on_trial == {}
    assert cut_at > 8
