"""`utime` as in quecpython.md §1.6; its RTC outlives power-offs."""

import pytest

from tests_host.module.bench import BareBoard
from tools.module.board import NonVolatile
from tools.module.modem.utime import Utime, rtc_us, set_rtc, set_rtc_local

NOW = 1_795_392_000  # the world's first second: 2026-11-23 00:00:00 UTC, a Monday


def board(**options) -> BareBoard:
    return BareBoard(Utime, **options)


def test_the_rtc_begins_in_2000_until_somebody_sets_it():
    bench = board()
    bench.sleep(5)
    assert bench.ask("utime.localtime") == (2000, 1, 1, 0, 0, 5, 5, 1)  # a Saturday
    assert bench.ask("utime.getTimeZone") == 0


def test_nitz_sets_local_time_and_zone():
    bench = board()
    set_rtc(bench.board, NOW)
    assert bench.ask("utime.localtime") == (2026, 11, 23, 8, 0, 0, 0, 327)
    assert bench.ask("utime.getTimeZone") == 8
    assert bench.ask("utime.time") == NOW


def test_the_rtc_goes_on_while_the_module_is_off():
    first = board()
    set_rtc(first.board, NOW)
    first.sleep(86400)
    assert board(nv=first.nv, loop=first.loop).ask("utime.localtime")[:4] == (2026, 11, 24, 8)


def test_an_unset_rtc_begins_anew_with_each_power_on():
    first = board()
    first.sleep(100)
    assert board(nv=first.nv, loop=first.loop).ask("utime.localtime")[:6] == (2000, 1, 1, 0, 0, 0)


def test_localtime_of_seconds_and_mktime_take_utc_plus_8_whatever_the_zone():
    bench = board(nv=NonVolatile(values={"time_zone": -5}))
    assert bench.ask("utime.localtime", 0) == (1970, 1, 1, 8, 0, 0, 3, 1)
    assert bench.ask("utime.mktime", (1970, 1, 1, 8, 0, 0, 3, 1)) == 0
    assert bench.ask("utime.mktime", [2026, 11, 23, 8, 0, 0, 0, 327, 0]) == NOW
    with pytest.raises(TypeError):
        bench.ask("utime.mktime", (2026, 11, 23))


def test_local_time_moves_with_the_zone():
    bench = board()
    set_rtc(bench.board, NOW)
    assert bench.ask("utime.setTimeZone", -3) == 0
    assert bench.ask("utime.localtime")[:4] == (2026, 11, 22, 21)
    for hours in (-13, 13):
        with pytest.raises(ValueError):
            bench.ask("utime.setTimeZone", hours)


def test_the_rtc_can_be_set_to_any_local_time():
    bench = board()
    set_rtc_local(bench.board, 86400 * 1_000_000)
    bench.sleep(1)
    assert rtc_us(bench.board) == 86_401_000_000


def test_ticks_begin_close_to_the_wrap_and_wrap_at_2_to_the_30():
    bench = board()
    first = bench.ask("utime.ticks_ms")
    bench.sleep(4.096)
    later = bench.ask("utime.ticks_ms")
    assert (first, later) == (0x3FFFF000, 0)
    assert bench.ask("utime.ticks_diff", later, first) == 4096
    assert bench.ask("utime.ticks_diff", first, later) == -4096
    assert bench.ask("utime.ticks_add", first, 4097) == 1
    assert bench.ask("utime.ticks_us") == (0x3FFFF000 + 4_096_000) & 0x3FFFFFFF == bench.ask("utime.ticks_cpu")


@pytest.mark.parametrize(("call", "amount", "seconds"), [
    ("sleep", 2, 2), ("sleep", 0.25, 0.25), ("sleep_ms", 15, 0.015), ("sleep_us", 1, 0.001), ("sleep_us", 1001, 0.002),
    ("sleep_ms", -5, 0), ("sleep", 0, 0),
])
def test_sleeping_takes_its_time_in_whole_milliseconds(call, amount, seconds):
    assert board().took("utime." + call, amount) == (None, seconds)


def test_ticks_diff_reaches_from_minus_2_to_the_29_to_one_less_than_2_to_the_29():
    bench = board()
    assert bench.ask("utime.ticks_diff", 2**29 - 1, 0) == 2**29 - 1
    assert bench.ask("utime.ticks_diff", 2**29, 0) == -(2**29)


def test_time_takes_local_time_for_utc_plus_8():
    """quecpython.md §1.6: compute UTC from localtime() and the zone."""
    bench = board()
    set_rtc(bench.board, NOW, 9)
    assert bench.ask("utime.time") == bench.ask("utime.mktime", bench.ask("utime.localtime")) == NOW + 3600
