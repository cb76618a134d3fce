"""lib/app.py, the example product: a water meter whose controller answers late, in pieces, wrongly or not at all."""

from types import SimpleNamespace

import pytest

from tests_host.device.fakes import Health
from tests_host.device.world import HOUR, World
from tests_host.store.bench import Bench
from tools.module.flash import Flash


class Line:
    """UART1 with a controller behind it: `answers` are, for each line sent, [(ms until it comes, bytes), ...]."""

    def __init__(self, answers):
        self.now, self.coming, self.answers, self.sent = 0, [], list(answers), []

    def sleep_ms(self, ms):
        self.now += ms

    def _there(self):
        return b"".join(data for at, data in self.coming if at <= self.now)

    def any(self):
        return len(self._there())

    def read(self, count):
        assert count > 0
        there, later = self._there(), [(at, data) for at, data in self.coming if at > self.now]
        self.coming = [(0, there[count:])] + later
        return there[:count]

    def write(self, data):
        self.sent.append(data)
        for delay, answer in self.answers.pop(0):
            self.coming.append((self.now + delay, answer))
        return len(data)


def meter(*answers, signal=-1):
    """(the product's module, the line) where the controller gives these answers in turn."""
    line = Line(answers)
    uart = lambda *settings: line  # noqa: E731
    uart.UART1 = 1
    flash = Flash(blocks=24)
    flash.install({"state/": b""})
    power = SimpleNamespace(getVbatt=lambda: 3651, powerOnReason=lambda: 3)
    bench = Bench(
        flash, machine=SimpleNamespace(UART=uart), misc=SimpleNamespace(Power=power), sim=None, modem=None, atcmd=None,
        utime=SimpleNamespace(sleep_ms=line.sleep_ms), net=SimpleNamespace(getSignal=lambda sinr: signal),
    )  # fmt: skip
    return bench.load("app"), line


def test_flow_is_cubic_metres():
    app, line = meter([(20, b"FLOW,1,13473\r\n")])
    assert app.total_flow() == 13.473
    assert line.sent == [b"READ\r\n"]


def test_answer_in_pieces_is_put_together():
    app, _ = meter([(20, b"FLOW,1,"), (120, b"134"), (180, b"73\r\n")])
    assert app.total_flow() == 13.473


def test_answer_that_came_too_late_is_not_taken_for_the_next_ones():
    app, line = meter([(900, b"FLOW,1,111\r\n")], [(20, b"FLOW,2,222\r\n")])
    with pytest.raises(app.Failed):
        app.total_flow()
    line.now += 1000
    assert app.total_flow() == 0.222


def test_controller_that_does_not_answer_is_given_up_after_half_a_second():
    app, line = meter([])
    with pytest.raises(app.Failed, match="does not answer"):
        app.total_flow()
    assert line.now == 500


@pytest.mark.parametrize("answer", [b"ERR\r\n", b"FLOW,1\r\n", b"FLOW,1,x\r\n", b"\xff\xff\n"])
def test_wrong_answer_is_no_reading(answer):
    app, _ = meter([(20, answer)])
    readings = app.reading.__globals__
    health = Health()
    taken = readings["Readings"](SimpleNamespace(load=lambda: None), health)
    assert taken._ask(readings["_declared"][0]) == []
    assert health.counters == {"reading_failed": 1}


def test_battery_and_signal_come_from_the_module():
    app, _ = meter(signal=([99, 99, 255, 255], [-73, -102, -9, 10, 16]))
    assert (app.battery(), app.signal()) == (3.651, (-102, 16))
    assert meter(signal=([99, 99, 255, 255], [99, 99, 255, 255, 255]))[0].signal() is None


def test_valve_moves_and_says_when_it_is_stuck():
    app, line = meter([(20, b"OK\r\n")], [(20, b"ERR\r\n")])
    assert app.valve(1) == {"valve_onoff": 1}
    assert line.sent == [b"VALVE,1\r\n"]
    with pytest.raises(app.Failed, match="stuck"):
        app.valve(0)


def test_closing_must_be_enabled_and_opening_need_not():
    app, line = meter([(20, b"OK\r\n")], [(20, b"OK\r\n")])
    app.enable(0)
    with pytest.raises(app.Failed, match="not enabled"):
        app.valve(0)
    assert line.sent == []
    app.valve(1)
    app.enable(1)
    assert app.valve(0) == {"valve_onoff": 0}


def test_enabling_outlives_psm():
    with World({"report.interval": HOUR}) as world:
        world.power_on()
        world.command(8006, valveoff_enable=0)
        world.wake()
        world.command(8001, valve_onoff=0)
        world.wake()
        first, second = world.answers()
        assert (first["act_result"], second["act_result"], second["reason"]) == (0, 1, "closing is not enabled")
        assert world.of("valve") == []


def test_readings_come_at_their_own_intervals():
    with World() as world:
        world.power_on()
        for _ in range(8):
            world.wake()
        counts = {name: len([r for r in world.reports() if name in r])
                  for name in ("water_flow", "battery_voltage", "rsrp")}
        assert counts == {"water_flow": 9, "battery_voltage": 3, "rsrp": 5}
