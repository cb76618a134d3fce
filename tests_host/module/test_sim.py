"""quecpython.md §3.2."""

from tests_host.module.modem_rig import Rig


def rig_with_card(**card: object) -> Rig:
    rig = Rig()
    rig.nv.values["sim"] = card
    return rig


def test_numbers_are_text_when_the_card_is_ready_and_minus_one_before():
    rig = Rig()
    assert (rig.ask("sim.getStatus"), rig.ask("sim.getImsi"), rig.ask("sim.getIccid")) == (18, -1, -1)
    rig.wait(1)
    assert rig.ask("sim.getStatus") == 1
    assert rig.ask("sim.getImsi") == "460115472446714"
    assert rig.ask("sim.getIccid") == "89860320845515190439"
    assert rig.ask("sim.getPhoneNumber") == -1


def test_without_a_card_there_is_no_service():
    rig = rig_with_card(status=0)
    rig.wait(30)
    assert (rig.ask("sim.getStatus"), rig.ask("sim.getIccid"), rig.board.radio.state) == (0, -1, 0)


def test_a_pin_keeps_the_module_out_until_it_is_given():
    rig = rig_with_card(asks=True, pin="1234")
    rig.wait(10)
    assert (rig.ask("sim.getStatus"), rig.ask("sim.getImsi")) == (2, -1)
    assert rig.ask("sim.verifyPin", "0000") == -1
    assert rig.ask("sim.verifyPin", "1234") == 0
    rig.until_ready()


def test_three_wrong_pins_ask_for_the_puk():
    rig = rig_with_card(asks=True, pin="1234", puk="87654321")
    rig.wait(1)
    assert [rig.ask("sim.verifyPin", "9999") for _ in range(3)] == [-1, -1, -1]
    assert rig.ask("sim.getStatus") == 3
    assert rig.ask("sim.verifyPin", "1234") == -1
    assert rig.ask("sim.unblockPin", "00000000", "1111") == -1
    assert rig.ask("sim.unblockPin", "87654321", "1111") == 0
    rig.until_ready()


def test_an_enabled_pin_is_asked_for_at_the_next_power_on():
    rig = Rig().until_ready()
    assert rig.ask("sim.enablePin", "1234") == 0
    assert rig.ask("sim.changePin", "1234", "4321") == 0
    rig.board.power_off()
    second = rig.again(reason=3)
    second.wait(1)
    assert second.ask("sim.getStatus") == 2
    assert second.ask("sim.verifyPin", "4321") == 0


def test_card_detection_is_remembered():
    rig = Rig()
    assert rig.ask("sim.setSimDet", 1, 0) == 0
    assert rig.ask("sim.getSimDet") == (1, 0)
    assert rig.ask("sim.setSimDet", 2, 0) == -1


def test_switching_cards_is_for_other_boards():
    assert "switchCard" not in Rig().board.surface()["sim"]["functions"]
