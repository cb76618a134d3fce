"""quecpython.md §3.7."""

import pytest

from tests_host.module.modem_rig import EC800E, Rig
from tools.module.board import PowerOff


def test_watchdog_that_is_fed_stays_quiet_and_one_that_is_not_resets():
    rig = Rig()
    dog = rig.make("machine.WDT", 30)
    for _ in range(5):
        rig.wait(29)
        assert dog("feed") == 0
    with pytest.raises(PowerOff) as end:
        rig.wait(60)
    assert end.value.how == "watchdog"
    rig.board.power_off()
    assert rig.again(reason=5).ask("misc.Power.powerDownReason") == 5


def test_watchdog_bites_exactly_at_its_period():
    rig = Rig()
    rig.make("machine.WDT", 30)
    began = rig.loop.time()
    with pytest.raises(PowerOff):
        rig.wait(None)
    assert rig.loop.time() - began == pytest.approx(30.0)


def test_watchdog_constructed_again_starts_anew_and_stop_ends_it():
    rig = Rig()
    rig.make("machine.WDT", 10)
    rig.wait(8)
    dog = rig.make("machine.WDT", 10)
    rig.wait(8)
    assert dog("stop") == 0
    rig.wait(100)


@pytest.mark.parametrize("period", [0, -1, 1.5, "30"])
def test_watchdog_that_cannot_be_had_is_false(period):
    assert Rig().ask("machine.WDT", period) is False


def test_rtc_is_sunday_based_and_local():
    rig = Rig()
    rtc = rig.make("machine.RTC")
    assert rtc("datetime", (2026, 3, 1, 0, 12, 30, 5, 0)) == 0  # a Sunday
    assert rtc("datetime") == (2026, 3, 1, 0, 12, 30, 5, 0)
    assert rig.ask("utime.localtime")[6] == 6  # Monday-based
    assert rtc("datetime", [2026, 3, 2, 0, 0, 0, 0, 0]) == 0
    assert rtc("datetime")[3] == 1


@pytest.mark.parametrize("when", [(2026, 13, 1, 0, 0, 0, 0, 0), (2026, 1, 1), "noon", (2026, 1, 1, 0, "x", 0, 0, 0)])
def test_rtc_refuses_what_is_no_date(when):
    assert Rig().make("machine.RTC")("datetime", when) == -1


def test_rtc_is_one_object():
    rig = Rig()
    assert rig.ask("machine.RTC") == rig.ask("machine.RTC")


def test_alarm_calls_back_once_and_late_registration_still_hears_it():
    rig = Rig()
    rtc = rig.make("machine.RTC")
    assert rtc("enable_alarm", 1) == -1  # none set
    assert rtc("set_alarm", (2000, 1, 1, 6, 0, 1, 0, 0)) == 0  # a minute after power-on: the RTC starts at 2000-01-01
    assert rtc("enable_alarm", 1) == 0
    rig.wait(120)
    assert rtc("register_callback", 4) == 0
    rig.wait(1)
    assert rig.told == {4: [None]}
    assert rig.nv.alarm_us is None


def test_alarm_is_kept_in_nv_until_it_is_due():
    rig = Rig()
    rtc = rig.make("machine.RTC")
    rtc("datetime", (2026, 3, 1, 0, 12, 0, 0, 0))
    rtc("set_alarm", (2026, 3, 2, 0, 12, 0, 0, 0))
    rtc("enable_alarm", 1)
    assert rig.nv.alarm_us == rig.loop.now_us + 86_400_000_000
    assert EC800E.rtc_alarm_wakes is False  # not documented for this family
    rtc("enable_alarm", 0)
    assert rig.nv.alarm_us is None


def test_pins():
    rig = Rig()
    out, inp = rig.make("machine.Pin", 5, 1, 0, 1), rig.make("machine.Pin", 6, 0, 1)
    assert (out("read"), inp("read")) == (1, 1)
    assert (out("write", 0), inp("write", 0)) == (0, -1)
    assert (out("read"), out("get_dir")) == (0, 1)
    with pytest.raises(ValueError):
        rig.ask("machine.Pin", 99, 0, 0, 0)


def test_interrupt_on_one_edge_only():
    rig = Rig()
    pin = rig.make("machine.ExtInt", 12, 0, 2, 3)
    machine = rig.board.firmware["machine"]
    machine._drive(12, 1)
    machine._drive(12, 0)
    assert pin("enable") == 0
    machine._drive(12, 1)
    machine._drive(12, 0)
    machine._drive(12, 1)
    rig.wait(0.01)
    assert rig.told == {3: [(12, 0), (12, 0)]}
    assert pin("read_count", 1) == [2, 0]
    assert pin("read_count") == [0, 0]
    assert (pin("line"), pin("read_level"), pin("disable")) == (12, 1, 0)


def test_both_edges_are_not_supported_here():
    with pytest.raises(ValueError):
        Rig().ask("machine.ExtInt", 12, 2, 0, 3)


def test_hardware_timer_takes_keywords():
    rig = Rig()
    timer = rig.make("machine.Timer", 0)
    assert timer("start", period=100, mode=1, callback=6) == 0
    rig.wait(0.35)
    assert timer("stop") == 0
    rig.wait(1)
    assert rig.told == {6: [None] * 3}


def test_uart_reads_what_is_there_and_tells_its_callback():
    rig = Rig()
    uart = rig.make("machine.UART", 1, 9600, 8, 0, 1, 0)
    assert uart("set_callback", 9) == 0
    assert uart("write", b"READ\r\n") == 6
    assert (uart("any"), uart("read", 10)) == (0, b"")
    assert rig.wait(1, lambda: rig.board.firmware["machine"].lines[1].state["n"])
    length = uart("any")
    line = uart("readline")
    assert line.startswith(b"FLOW,1,")
    assert line.endswith(b"\r\n")
    assert length == len(line)
    rig.wait(0.01)
    assert rig.told == {9: [[0, 1, length]]}


def test_uart_writes_text_as_its_bytes():
    """quecpython.md §3.7, §1.2: a str is a byte string."""
    rig = Rig()
    uart = rig.make("machine.UART", 1, 9600)
    assert (uart("write", "READ\r\n"), rig.make("machine.UART", 2, 9600)("write", "水")) == (6, 3)
    rig.wait(1)
    assert uart("readline").startswith(b"FLOW,1,")


def test_uart_without_a_peer_is_silent():
    rig = Rig()
    uart = rig.make("machine.UART", 2, 115200)
    assert uart("write", b"hello") == 5
    rig.wait(1)
    assert uart("any") == 0


def test_an_alarm_enabled_twice_fires_once_and_is_told_once():
    rig = Rig()
    rtc = rig.make("machine.RTC")
    rtc("set_alarm", (2000, 1, 1, 6, 0, 1, 0, 0))
    rtc("enable_alarm", 1)
    rtc("set_alarm", (2000, 1, 1, 6, 0, 2, 0, 0))
    rtc("enable_alarm", 1)
    rig.wait(90)
    rtc("register_callback", 4)
    assert rig.told == {}
    rig.wait(60)
    rtc("register_callback", 5)
    rig.wait(1)
    assert rig.told == {4: [None]}


def test_an_alarm_that_fell_due_unheard_is_delivered_to_one_registration():
    rig = Rig()
    rtc = rig.make("machine.RTC")
    rtc("set_alarm", (2000, 1, 1, 6, 0, 1, 0, 0))
    rtc("enable_alarm", 1)
    rig.wait(90)
    for callback in (4, 5):
        rtc("register_callback", callback)
    rig.wait(1)
    assert rig.told == {4: [None]}


def test_an_alarm_outlives_a_restart():
    """quecpython.md §3.7, §4.2."""
    first = Rig()
    rtc = first.make("machine.RTC")
    rtc("datetime", (2026, 3, 1, 0, 12, 0, 0, 0))
    rtc("set_alarm", (2026, 3, 1, 0, 12, 5, 0, 0))
    rtc("enable_alarm", 1)
    first.board.power_off()
    second = first.again(reason=2, after=60)
    second.make("machine.RTC")("register_callback", 4)
    second.wait(300)
    assert second.told == {4: [None]}
