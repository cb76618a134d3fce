"""quecpython.md §3.8."""

from tests_host.module.modem_rig import Rig


def test_one_shot_and_cyclic_timers_call_back_with_none():
    rig = Rig()
    once, often = rig.make("osTimer.osTimer"), rig.make("osTimer.osTimer")
    assert once("start", 150, 0, 1) == 0
    assert often("start", 100, 1, 2) == 0
    rig.wait(0.55)
    assert rig.told == {1: [None], 2: [None] * 5}


def test_stop_and_delete():
    rig = Rig()
    timer = rig.make("osTimer.osTimer")
    timer("start", 100, 1, 1)
    assert timer("stop") == 0
    assert timer("start", 100, 0, 1) == 0
    assert timer("delete_timer") == 0
    assert (timer("start", 100, 0, 1), timer("stop")) == (-1, -1)
    rig.wait(1)
    assert rig.told == {}


def test_bad_arguments():
    timer = Rig().make("osTimer.osTimer")
    assert [timer("start", ms, cyclic, 1) for ms, cyclic in ((0, 0), (-1, 0), (10, 2), (1.5, 0))] == [-1] * 4


def test_the_module_is_the_class():
    assert Rig().board.surface()["osTimer"]["is_class"] == "osTimer"


def test_timers_die_with_the_power():
    rig = Rig()
    rig.make("osTimer.osTimer")("start", 100, 1, 1)
    rig.board.power_off()
    assert not rig.board._timers


def test_a_timer_started_again_fires_once_at_the_new_time():
    rig = Rig()
    timer = rig.make("osTimer.osTimer")
    timer("start", 1000, 0, 3)
    timer("start", 3000, 0, 3)
    rig.wait(2)
    assert rig.told == {}
    rig.wait(2)
    assert rig.told == {3: [None]}
