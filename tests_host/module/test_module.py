"""What outlives a power-on, and what wakes the module again."""

import pytest

from tests_host.module.bench import BareProfile, Bench
from tools.module.board import NonVolatile
from tools.module.flash import Flash

DOWN = "from misc import Power\nprint(Power.powerOnReason())\nPower.powerDown()\n"


def test_power_ons_are_counted_and_told():
    bench = Bench("cpython", profile=BareProfile(boot_ms=1500))
    assert [bench.run(DOWN, reason=reason).how for reason in (3, 8)] == ["down", "down"]
    assert bench.printed() == ["3", "8"] and bench.module.boots == 2 and bench.module.psm_entered == 0
    assert [(event.kind, event.text) for event in bench.events.of("boot", "power")] == [
        ("boot", "supply"), ("power", "down"), ("boot", "PSM wake-up"), ("power", "down"),
    ]
    assert bench.loop.time() == 1_795_392_000 + 3  # twice from power to main.py


def test_boot_writes_system_config_where_it_is_missing():
    """quecpython.md §2.1."""
    bench = Bench("cpython")
    bench.run(DOWN)
    assert bench.module.flash.read("system_config.json") == b'{"replFlag": 0}'
    bench.module.flash.write("system_config.json", b'{"replFlag": 1}')
    bench.run(DOWN)
    assert bench.module.flash.read("system_config.json") == b'{"replFlag": 1}'


@pytest.mark.parametrize("engine", ["vm", "cpython"])
def test_the_image_is_kept_in_a_file(engine, tmp_path):
    path = tmp_path / "usr.img"
    Bench(engine, image_path=path).run("with open('/usr/kept', 'w') as file:\n    file.write('1')\n")
    assert Flash(blocks=64, path=path).read("kept") == b"1"


def test_after_psm_the_granted_t3412_wakes_it():
    bench = Bench("cpython")
    board_of = bench.module.fit

    def fit(board):
        board_of(board)
        board.power_off_at = lambda: board.booted_us / 1e6 + 20

    bench.module.fit = fit
    bench.radio.wakes = bench.loop.time() + 3600
    assert bench.module.wakes_at() is None
    assert bench.run("import utime\nutime.sleep(100)\nprint('never')\n").how == "psm"
    assert bench.loop.time() == 1_795_392_000 + 20 and bench.printed() == []
    assert bench.module.wakes_at() == bench.radio.wakes and bench.module.psm_entered == 1


@pytest.mark.parametrize(("wakes", "at"), [(True, 1_795_392_100), (False, None)])
def test_an_rtc_alarm_wakes_it_where_the_family_can(wakes, at):
    bench = Bench("cpython", profile=BareProfile(rtc_alarm_wakes=wakes))
    bench.module.nv = NonVolatile(alarm_us=1_795_392_100_000_000)
    bench.run(DOWN)
    assert bench.module.wakes_at() == at


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="one of vm, cpython"):
        Bench("pypy")
