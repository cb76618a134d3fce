"""quecpython.md §3.5. What PSM does is in test_radio.py."""

import pytest

from tests_host.module.modem_rig import Rig


def test_autosleep_takes_0_and_1():
    rig = Rig()
    assert [rig.ask("pm.autosleep", flag) for flag in (0, 1, 2, -1)] == [0, 0, -1, -1]


def test_wakelocks():
    rig = Rig()
    assert rig.ask("pm.create_wakelock", "") == -1
    first, second = rig.ask("pm.create_wakelock", "work", 4), rig.ask("pm.create_wakelock", "uart")
    assert (first, second, rig.ask("pm.get_wakelock_num")) == (0, 1, 2)
    assert rig.ask("pm.wakelock_lock", second) == 0
    assert rig.ask("pm.wakelock_lock", 9) == -1
    assert rig.board.radio.locked == {1}
    assert rig.ask("pm.delete_wakelock", second) == 0
    assert rig.board.radio.locked == set()
    assert rig.ask("pm.delete_wakelock", second) == -1
    assert rig.ask("pm.get_wakelock_num") == 1


def test_wakelocks_run_out():
    rig = Rig()
    ids = [rig.ask("pm.create_wakelock", "w") for _ in range(40)]
    assert ids[-1] == -1


@pytest.mark.parametrize("args", [
    (), (1, 2), (1, 2, 3), (1, 2, 3, 4, 5), (2,), (-1,), ("1",), (1.0,), (True, 1, 0, 5), (8, 1, 0, 5), (1, 32, 0, 5),
    (1, 1, 3, 5), (1, 1, 0, 32), (1, -1, 0, 5),
])
def test_bad_timers_are_false_and_change_nothing(args):
    rig = Rig()
    assert rig.ask("pm.set_psm_time", *args) is False
    assert rig.ask("pm.get_psm_time") is None


def test_timers_are_read_back_as_asked_for():
    rig = Rig()
    assert rig.ask("pm.set_psm_time", 1, 4, 0, 5) is True
    assert rig.ask("pm.get_psm_time") == [1, 1, 4, 0, 5]
    assert rig.ask("pm.set_psm_time", 0) is True
    assert rig.ask("pm.get_psm_time") == [0, 1, 4, 0, 5]


def test_what_this_family_lacks():
    assert not {"sclkEx_set", "set_edrx_time", "get_psm_netinfo"} & set(Rig().board.surface()["pm"]["functions"])


def test_unlocking_lets_the_module_sleep_at_once():
    rig = Rig().until_ready().until_idle()
    lock = rig.ask("pm.create_wakelock", "cycle")
    rig.ask("pm.wakelock_lock", lock)
    rig.ask("pm.autosleep", 1)
    assert rig.board.meter.state == "idle"
    rig.ask("pm.wakelock_unlock", lock)
    assert rig.board.meter.state == "sleep"


def test_netinfo_of_newer_images_is_mode_tau_active():
    rig = Rig().until_ready()
    assert rig.ask("pm.get_psm_netinfo") == -1
    rig.ask("pm.set_psm_time", 1, 4, 0, 5)
    rig.wait(1)
    assert rig.ask("pm.get_psm_netinfo") == (1, 14_400, 10)
