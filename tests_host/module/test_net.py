"""quecpython.md §3.1."""

import pytest

from tests_host.module.modem_rig import EC800E, Rig, profile


@pytest.fixture(scope="module")
def ready() -> Rig:
    return Rig().until_ready()


def test_state_is_minus_one_before_the_stack_is_up_then_searching_then_home():
    rig = Rig()
    assert rig.ask("net.getState") == -1
    rig.wait(1)
    assert rig.ask("net.getState")[1][0] == 2
    rig.until_ready()
    assert rig.ask("net.getState") == ([11, 57180, 94537995, 7, 0, 475], [1, 57180, 94537995, 7, 0, 475])


def test_roaming_is_5():
    assert Rig(profile(state=5)).until_ready().ask("net.getState")[1][0] == 5


def test_signal_of_an_lte_only_module(ready):
    first, lte = ready.ask("net.getSignal")
    assert first == [99, 99, 255, 255]
    assert len(lte) == 4
    assert abs(lte[1] + 102) <= 3
    assert len(ready.ask("net.getSignal", 1)[1]) == 5


def test_every_measurement_handed_out_is_an_event(ready):
    lte = ready.ask("net.getSignal", 1)[1]
    told = {event.data["field"]: event.data["value"] for event in ready.events.of("sensor")}
    assert (told["rssi"], told["rsrp"], told["rsrq"], told["sinr"]) == (lte[0], lte[1], lte[2], lte[4])
    csq = ready.ask("net.csqQueryPoll")
    assert 0 <= csq <= 31
    assert ready.events.of("sensor")[-1].data == {"field": "csq", "value": csq}


def test_without_service_the_signal_is_unknown_and_no_event():
    rig = Rig()
    assert rig.ask("net.csqQueryPoll") == 99
    assert rig.ask("net.getSignal") == ([99, 99, 255, 255], [99, 99, 255, 255])
    assert rig.ask("net.operatorName") == -1
    assert rig.ask("net.getServingCi") == -1
    assert rig.ask("net.getMcc") == -1
    assert rig.events.of("sensor") == []


def test_cell_info_blocks_for_seconds_and_reads_the_mcc_wrongly(ready):
    began = ready.loop.time()
    gsm, umts, ((flag, cid, mcc, mnc, pci, tac, earfcn, rsrp, rsrq),) = ready.ask("net.getCellInfo")
    assert 3 <= ready.loop.time() - began <= 5
    assert (gsm, umts, flag, cid, mcc, mnc, pci, tac, earfcn) == ([], [], 0, 94537995, 1120, 11, 475, 57180, 1650)
    assert abs(rsrp + 102) <= 3
    assert rsrq < 0
    assert ready.ask("net.getServingMcc") == 1120


def test_operator(ready):
    assert ready.ask("net.operatorName")[2:] == ("460", "11")
    assert ready.ask("net.getConfig") == (5, False)
    assert ready.ask("net.setConfig", 0) == -1
    assert ready.ask("net.getNetMode") == (0, "460", "11", 7)


def test_nitz_is_utc_with_the_zone_in_quarter_hours_and_sets_the_clock():
    rig = Rig()
    assert rig.ask("net.nitzTime") == -1
    assert rig.ask("utime.localtime")[0] == 2000
    rig.until_ready()
    text, seconds, leap = rig.ask("net.nitzTime")
    assert text.endswith(" +32 0")
    assert abs(seconds - rig.loop.time()) < 5
    assert leap == 0
    assert abs(rig.ask("utime.mktime", rig.ask("utime.localtime")) - rig.loop.time()) <= 1


def test_cfun_0_detaches_and_1_attaches_again():
    rig = Rig().until_ready()
    rig.ask("net.setCallback", 7)
    rig.ask("dataCall.setCallback", 8)
    assert rig.ask("net.setModemFun", 0) == 0
    rig.wait(0.01)
    assert (rig.ask("net.getModemFun"), rig.ask("net.getState")[1][0], rig.board.radio.ip) == (0, 0, None)
    assert rig.told == {7: [(1, 0, 0, 0, 10)], 8: [(1, 0)]}
    assert rig.ask("net.setModemFun", 1) == 0
    rig.until_ready()
    rig.wait(0.01)
    assert rig.told[7][-1] == (1, 1, 57180, 94537995, 7)
    assert rig.told[8][-1] == (1, 1)


def test_cfun_0_in_the_middle_of_an_attach_breaks_it_off():
    rig = Rig()
    rig.wait(60, lambda: rig.board.radio.rrc == "connected")
    rig.ask("net.setModemFun", 4)
    rig.ask("net.setModemFun", 1)
    rig.ask("net.setModemFun", 0)
    rig.wait(60)
    assert (rig.board.radio.state, rig.board.radio.rrc) == (0, "idle")
    assert rig.board.meter.state == "flight"


def test_config_is_lte_only_and_reads_back_the_roaming_that_was_set():
    """quecpython.md §3.1."""
    rig = Rig()
    assert rig.ask("net.getConfig") == (5, False)
    assert [rig.ask("net.setConfig", *args) for args in ((5, 1), (5,), (5, 2), (0, 0))] == [0, 0, -1, -1]
    assert rig.ask("net.getConfig") == (5, True)


def test_unknown_cfun_is_refused(ready):
    assert ready.ask("net.setModemFun", 2) == -1


def test_extended_functions_are_absent_unless_a_profile_has_them(ready):
    assert not {"getT3412", "getT3324"} & set(ready.board.surface()["net"]["functions"])
    assert "getT3412" in EC800E.absent["net"]


def test_nitz_of_another_zone_sets_that_zone():
    """quecpython.md §3.1: quarter hours."""
    rig = Rig(profile(zone_quarters=36)).until_ready()
    assert rig.ask("net.nitzTime")[0].endswith(" +36 0")
    assert rig.ask("utime.getTimeZone") == 9
