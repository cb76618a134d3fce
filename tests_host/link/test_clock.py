"""link.clock and link.entropy: time that does not wrap, Unix time whatever the zone, bytes that differ."""

import calendar
import time
from types import SimpleNamespace

import pytest

from tests_host.store.bench import Bench
from tools.module.flash import Flash

PERIOD = 1 << 30  # quecpython.md §1.6
T0 = 1_795_392_000


class Utime:
    """The firmware's: `localtime` is local, `mktime` takes it for UTC+8 (quecpython.md §1.6)."""

    def __init__(self, ticks=0, unix=T0, zone=8):
        self.ticks, self.unix, self.zone = ticks, unix, zone

    def module(self):
        def diff(end, start):
            return (end - start + PERIOD // 2) % PERIOD - PERIOD // 2

        return SimpleNamespace(
            ticks_ms=lambda: self.ticks % PERIOD, ticks_us=lambda: self.ticks * 1000 % PERIOD, ticks_diff=diff,
            time=lambda: self.unix, getTimeZone=lambda: self.zone, sleep_ms=self.sleep,
            localtime=lambda: tuple(time.gmtime(self.unix + 3600 * self.zone)[:8]),
            mktime=lambda parts: calendar.timegm(parts + (0,)) - 8 * 3600,
        )  # fmt: skip

    def sleep(self, ms):
        assert ms > 0
        self.ticks += ms


def clock(utime):
    return Bench(Flash(blocks=24), utime=utime.module()).load("link.clock").Clock()


def test_milliseconds_go_on_where_the_ticks_wrap():
    utime = Utime(ticks=PERIOD - 500)
    ours = clock(utime)
    assert ours.now() == 0
    for step in (400, 200, 1, PERIOD // 2 - 1, 86_400_000):
        before = ours.now()
        utime.ticks += step
        assert ours.now() == before + step


@pytest.mark.parametrize("zone", [8, 0, -5, 12])
def test_unix_time_is_the_same_in_every_zone(zone):
    assert clock(Utime(zone=zone)).unix() == T0


@pytest.mark.parametrize(("zone", "text"), [(8, "+08:00"), (0, "+00:00"), (-5, "-05:00"), (12, "+12:00")])
def test_the_zone_is_told_as_lwm2m_writes_it(zone, text):
    assert clock(Utime(zone=zone)).offset() == text


@pytest.mark.parametrize("unset", [0, 946_684_800, 1_609_459_200])
def test_rtc_that_was_never_set_is_no_time(unset):
    assert clock(Utime(unix=unset)).unix() == 0


def test_sleeping_no_time_does_not_call_the_firmware():
    utime = Utime()
    ours = clock(utime)
    ours.sleep(0)
    ours.sleep(-5)
    ours.sleep(20)
    assert utime.ticks == 20


def entropy(utime, **uos):
    bench = Bench(Flash(blocks=24), utime=utime.module())
    for name, function in uos.items():
        setattr(bench.modules["uos"], name, function)
    return bench.load("link.entropy").random_bytes


def test_hardware_is_asked_where_the_image_has_it():
    assert entropy(Utime(), urandom=lambda count: b"\xab" * count)(3) == b"\xab\xab\xab"


def test_without_it_devices_and_moments_differ():
    imeis = ("868543060974334", "868543060974335")
    drawn = {entropy(Utime(ticks=ticks))(8, imei) for ticks in range(20) for imei in imeis}
    assert len(drawn) == 40
    assert all(len(data) == 8 for data in drawn)


def test_without_it_a_byte_for_jitter_spreads_a_fleet():
    """One byte of 1000 devices switched on in the same millisecond: no value takes more than its share tenfold."""
    first = [entropy(Utime(ticks=1500))(1, f"8685430609{n:05}")[0] for n in range(1000)]
    assert max(first.count(value) for value in set(first)) < 40
    assert len(set(first)) > 200
