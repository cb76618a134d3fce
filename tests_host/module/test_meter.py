"""Charge by state; published currents of quecpython.md §4.1."""

import pytest

from tests_host.module.modem_rig import EC800E, Rig, profile
from tools.module.modem.meter import STATES


def test_published_currents_are_the_ones_in_use():
    assert EC800E.currents_ua["idle"] == 4_000
    assert EC800E.currents_ua["sleep"] == 640


def test_every_state_has_a_current():
    assert set(STATES) == set(EC800E.currents_ua)


def test_all_time_is_in_some_state_and_charge_is_time_by_current():
    rig = Rig()
    began = rig.loop.now_us
    rig.until_ready().until_idle()
    rig.wait(100)
    report = rig.board.meter.report()
    assert set(report["ms"]) - {"off"} == {"boot", "searching", "connected", "idle"}
    assert sum(report["ms"].values()) == pytest.approx((rig.loop.now_us - began) / 1000, abs=5)
    assert report["mc"]["idle"] == pytest.approx(report["ms"]["idle"] * 4.0 / 1000, abs=0.01)
    assert report["charge_mc"] == pytest.approx(sum(report["mc"].values()), abs=0.01)


def test_autosleep_is_cheaper_than_idle():
    rig = Rig().until_ready().until_idle()
    rig.ask("pm.autosleep", 1)
    rig.wait(1000)
    assert rig.board.meter.report()["mc"]["sleep"] == pytest.approx(640.0, rel=0.01)


@pytest.mark.parametrize(("fun", "state"), [(0, "flight_sleep"), (4, "flight")])
def test_without_registration_only_cfun_0_sleeps(fun, state):
    """quecpython.md §4.2."""
    rig = Rig().until_ready()
    rig.ask("pm.autosleep", 1)
    rig.ask("net.setModemFun", fun)
    assert rig.board.meter.state == state


def test_a_module_that_is_denied_does_not_sleep():
    """quecpython.md §4.2."""
    rig = Rig(profile(state=3))
    rig.ask("pm.autosleep", 1)
    rig.wait(60)
    assert (rig.board.meter.state, rig.board.radio.rrc) == ("idle", "idle")


def test_time_between_power_ons_counts():
    rig = Rig().until_ready()
    rig.ask("pm.set_psm_time", 2, 2, 0, 1)
    rig.ask("pm.autosleep", 1)
    assert rig.until_power_off() == "psm"
    second = rig.again(after=36_000)
    report = second.board.meter.report()
    assert report["ms"]["psm"] == 36_000_000
    assert report["mc"]["psm"] == pytest.approx(108.0)
    assert report["connected_ms"] == report["ms"]["connected"] == second.board.radio.connected_ms


def test_a_cut_module_is_off():
    rig = Rig().until_ready()
    rig.board.power_off()
    assert rig.again(reason=3, after=60).board.meter.report()["ms"]["off"] == 60_000


def test_attach_is_connected_time():
    rig = Rig()
    rig.wait(60, lambda: rig.board.radio.registered)
    least, most = rig.board.radio.carrier.attach_ms
    assert least <= rig.board.radio.connected_ms <= most
