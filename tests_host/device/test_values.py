"""device.values and device.manage: what the device says of itself to the server, what may be changed, what ordered."""

from types import SimpleNamespace

import pytest

from tests_host.device.fakes import Health, Ticks
from tests_host.store.bench import Bench
from tools.module.flash import Flash

CHANGED, BAD_REQUEST, NOT_ALLOWED, UNAVAILABLE = 0x44, 0x80, 0x85, 0xA3
CELL = '+QENG: "servingcell","NOCONN","LTE","FDD",460,11,5A2890B,475,1650,3,5,5,DF5C,-102,-9,-73,16,19'


def sendsync(answer, result=0):
    def send(command, buffer, include, timeout):
        buffer[:] = (b"\r\n" + answer + b"\r\n\n").ljust(len(buffer), b"\0")
        return result

    return SimpleNamespace(sendSync=send)


class Clock(Ticks):
    def offset(self):
        return "+08:00"


class Module:
    """A device.values.Device on a module that says what `firmware` says; `set` is what its RTC was set to."""

    def __init__(self, server=None, **firmware):
        self.set = []
        quiet = SimpleNamespace()
        modules = {
            "modem": SimpleNamespace(getDevFwVersion=lambda: "FW1"), "net": quiet, "sim": quiet, "atcmd": quiet,
            "misc": SimpleNamespace(Power=SimpleNamespace(getVbatt=lambda: 3650)),
            "machine": SimpleNamespace(RTC=lambda: SimpleNamespace(datetime=self.set.append)),
            "utime": SimpleNamespace(localtime=self.localtime, getTimeZone=lambda: 8), **firmware,
        }  # fmt: skip
        flash = Flash(blocks=24)
        flash.install({"state/": b"", "config.json": b'{"server.host": "x"}'})
        self.bench = Bench(flash, **modules)
        self.bench.modules["uos"].uname = lambda: ("sysname=EC800E-CNLC", "nodename=EC800E", "release=1")
        self.settings = self.bench.load("device.settings").Settings()
        self.orders = self.bench.load("device.orders")
        self.health = Health()
        self.health.fault = 0
        self.device = self.bench.load("device.values").Device(
            self.settings, self.health, Clock(1_795_392_000), {} if server is None else server
        )
        self.device.imei, self.device.address, self.device.binding = "868543060974334", "100.101.1.2", "UQ"

    @staticmethod
    def localtime(seconds):
        assert seconds == 1_795_392_000
        return (2026, 11, 23, 8, 0, 0, 0, 327)  # a Monday, UTC+8

    def write(self, number, values, replace=False):
        return self.device.write(number, values, replace)


def test_device_object_says_who_it_is():
    value = Module().device.value
    assert [value(3, n) for n in (0, 1, 2, 3, 6, 7, 11, 13, 14, 16)] == [
        "Quectel", "EC800E", "868543060974334", "FW1", [1], [3650], [0], 1_795_392_000, "+08:00", "UQ",
    ]  # fmt: skip
    assert 0 < value(3, 10) < value(3, 21) == 24 * 4
    assert [value(3, n) for n in (8, 9, 15, 17)] == [None] * 4


def test_server_object_says_what_is_in_force():
    value = Module({"pmin": 60}).device.value
    assert [value(1, n) for n in (0, 1, 2, 3, 5, 6, 7)] == [1, 86400, 60, 0, 86400, True, "UQ"]


def test_firmware_object_is_idle():
    value = Module().device.value
    assert [value(5, n) for n in (3, 5, 9)] == [0, 0, 0] and value(5, 7) is None


def test_model_of_an_image_that_writes_uname_otherwise_is_still_a_text():
    module = Module()
    module.bench.modules["uos"].uname = lambda: ("EC800E-CNLC", "EC800E", "1.25")
    assert module.device.value(3, 1) == "EC800E"


def test_connectivity_object_says_where_it_is():
    signal = SimpleNamespace(getSignal=lambda sinr: ([99, 99, 255, 255], [-73, -102, -9, 10, 16]))
    value = Module(net=signal, atcmd=sendsync(CELL.encode())).device.value
    assert [value(4, n) for n in (0, 1, 2, 3, 4, 8, 9, 10)] == [
        6, [6], -102, -9, ["100.101.1.2"], 0x5A2890B, 11, 460,
    ]  # fmt: skip


def test_connectivity_object_has_no_values_where_the_modem_has_none():
    value = Module(net=SimpleNamespace(getSignal=lambda sinr: -1), atcmd=sendsync(b"ERROR", 1)).device.value
    assert [value(4, n) for n in (2, 3, 8, 9, 10)] == [None] * 5


def test_state_changes_with_errors_always_and_with_the_place_for_those_who_watch_it():
    module = Module()
    device_only, place = module.device.state(["3/0"]), module.device.state(["3/0", "4/0/4"])
    module.device.address = "100.101.9.9"
    assert module.device.state(["3/0"]) == device_only and module.device.state(["3/0", "4/0/4"]) != place
    module.health.fault = 25
    assert module.device.state(["3/0"]) != device_only


# -- writes ------------------------------------------------------------------------------------------------------------


def test_lifetime_is_a_setting_on_trial_and_is_told_to_the_server():
    module = Module()
    assert module.write(1, {1: 7200}) == CHANGED
    assert module.settings.values["lwm2m.lifetime"] == 7200 and module.settings.on_trial
    assert module.orders.pending == {"update": 1}


def test_lifetime_that_is_the_same_changes_nothing():
    module = Module()
    assert module.write(1, {1: 86400}) == CHANGED
    assert not module.settings.on_trial and not module.orders.pending


@pytest.mark.parametrize("values", [{1: 299}, {1: 86401}, {7: "U"}, {7: "S"}, {2: -1}, {3: 1 << 31}, {2: 60, 3: 59}])
def test_value_out_of_range_changes_nothing(values):
    module = Module()
    assert module.write(1, {5: 60, **values}) == BAD_REQUEST
    assert module.device.server == {} and not module.settings.on_trial


def test_a_new_pmin_is_held_against_the_pmax_there_is():
    module = Module({"pmax": 100})
    assert module.write(1, {2: 101}) == BAD_REQUEST and module.write(1, {2: 100}) == CHANGED


def test_periods_disable_timeout_and_storing_are_kept():
    module = Module()
    assert module.write(1, {2: 60, 3: 3600, 5: 120, 6: False, 7: "UQ"}) == CHANGED
    assert module.device.server == {"pmin": 60, "pmax": 3600, "off": 120, "keep": False}


def test_replace_puts_what_is_not_named_back_to_its_default():
    module = Module({"pmin": 60, "pmax": 3600})
    assert module.write(1, {3: 7200}, replace=True) == CHANGED
    assert module.device.server == {"pmax": 7200}


def test_flash_that_refuses_a_lifetime_leaves_all_as_it_was():
    module = Module()
    module.settings.change = lambda name, value: (_ for _ in ()).throw(OSError(28))
    assert module.write(1, {1: 7200, 2: 60}) == UNAVAILABLE
    assert module.device.server == {}


def test_time_of_day_sets_the_clock():
    """RTC.datetime: weekday fourth, Sunday is 0 (quecpython.md §3.7)."""
    module = Module()
    assert module.write(3, {13: 1_795_392_000}) == CHANGED
    assert module.set == [(2026, 11, 23, 1, 8, 0, 0, 0)]


@pytest.mark.parametrize("value", [0, 946684800, 4102444800, -1])
def test_time_that_cannot_be_is_refused(value):
    module = Module()
    assert module.write(3, {13: value}) == BAD_REQUEST and module.set == []


def test_what_this_device_cannot_set_is_refused():
    module = Module()
    assert [module.write(3, {n: "x"}) for n in (14, 15)] == [NOT_ALLOWED] * 2
    assert module.write(5, {0: b"MZ"}) == NOT_ALLOWED


def test_package_address_ends_in_unsupported_protocol_and_an_empty_one_resets_it():
    """LwM2M 1.0 appendix E.6: update result 9."""
    module = Module()
    assert module.write(5, {1: "coap://1.2.3.4/fw"}) == CHANGED and module.device.value(5, 5) == 9
    assert module.write(5, {1: ""}) == CHANGED and module.device.value(5, 5) == 0


# -- orders ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "order"), [((3, 4), "reboot"), ((1, 8), "update"), ((1, 4), "disable")])
def test_order_is_noted_for_the_end_of_the_wake(path, order):
    module = Module()
    assert module.device.execute(*path, b"") == CHANGED
    assert module.orders.pending == {order: 1}
    assert module.orders.take(order) and not module.orders.take(order)


def test_reset_of_the_error_code_is_done_at_once():
    module = Module()
    module.health.fault = 25
    assert module.device.execute(3, 12, b"") == CHANGED and module.device.value(3, 11) == [0]


def test_firmware_update_without_a_package_is_refused():
    module = Module()
    assert module.device.execute(5, 2, b"") == NOT_ALLOWED and not module.orders.pending
