"""quecpython.md §3.3."""

from dataclasses import replace

import pytest

from tests_host.module.modem_rig import EC800E, Rig

ZEROS = [0, 0, "0.0.0.0", "0.0.0.0", "0.0.0.0"]


def test_info_of_a_context_that_is_up():
    rig = Rig().until_ready()
    ip = rig.board.radio.ip
    up = [1, 1, ip, "61.132.163.68", "202.102.213.68"]
    assert rig.ask("dataCall.getInfo", 1, 0) == (1, 0, up)
    assert rig.ask("dataCall.getInfo", 1, 2) == (1, 2, up, ZEROS)
    assert rig.ask("dataCall.getInfo", 2, 0) == (2, 0, ZEROS)


def test_info_of_a_context_that_is_down_is_zeros_or_minus_one_on_older_images():
    assert Rig().ask("dataCall.getInfo", 1, 0) == (1, 0, ZEROS)
    assert Rig(replace(EC800E, no_pdp_is_minus_one=True)).ask("dataCall.getInfo", 1, 0) == -1


@pytest.mark.parametrize("profile", [0, 4, -1])
def test_profiles_are_1_to_3(profile):
    rig = Rig()
    for name, rest in (("getInfo", (0,)), ("getPDPContext", ()), ("activate", ()), ("setAutoConnect", (1,))):
        with pytest.raises(ValueError):
            rig.ask("dataCall." + name, profile, *rest)


def test_context_outlives_power_off_and_none_keeps_a_field():
    rig = Rig()
    assert rig.ask("dataCall.setPDPContext", 1, 0, "ctnb", "user", "secret", 1) == 0
    assert rig.ask("dataCall.setPDPContext", 1, 0, "ctnet", None, None, 1) == 0
    rig.board.power_off()
    assert rig.again(reason=3).ask("dataCall.getPDPContext", 1) == (0, "ctnet", "user", "secret", 1)


def test_login_without_a_method_becomes_chap_silently():
    rig = Rig()
    rig.ask("dataCall.setPDPContext", 2, 0, "x", "user", "pw", 0)
    assert rig.ask("dataCall.getPDPContext", 2) == (0, "x", "user", "pw", 2)


@pytest.mark.parametrize("fields", [("a" * 64, "", ""), ("a", "u" * 16, ""), ("a", "u", "p" * 16)])
def test_too_long_texts_are_refused(fields):
    with pytest.raises(ValueError):
        Rig().ask("dataCall.setPDPContext", 1, 0, *fields, 1)


def test_deactivate_and_activate_with_callbacks():
    rig = Rig().until_ready()
    assert rig.ask("dataCall.setCallback", 5) == 0
    assert rig.ask("dataCall.deactivate", 1) == 0
    assert rig.board.radio.ip is None
    began = rig.loop.time()
    assert rig.ask("dataCall.activate", 1) == 0
    assert rig.loop.time() > began
    rig.wait(0.01)
    assert rig.told[5] == [(1, 0), (1, 1)]


def test_activation_does_not_block_in_asynchronous_mode():
    rig = Rig().until_ready()
    rig.ask("dataCall.setAsynMode", 1)
    rig.ask("dataCall.deactivate", 1)
    began = rig.loop.time()
    assert rig.ask("dataCall.activate", 1) == 0
    assert rig.loop.time() == began
    assert rig.board.radio.ip is None
    rig.until_ready()


def test_activation_without_registration_fails():
    assert Rig().ask("dataCall.start", 1) == -1


def test_auto_activation_counts_from_the_next_boot():
    rig = Rig().until_ready()
    assert rig.ask("dataCall.setAutoActivate", 1, 0) == 0
    assert rig.board.radio.ready
    rig.board.power_off()
    second = rig.again(reason=3)
    second.wait(30)
    assert second.board.radio.registered
    assert not second.board.radio.ready


def test_no_dns_setting_on_this_family():
    assert "setDNSServer" not in Rig().board.surface()["dataCall"]["functions"]


def test_auto_connect_dials_again_after_a_detach():
    rig = Rig().until_ready()
    rig.ask("dataCall.setAutoConnect", 1, 0)
    rig.ask("net.setModemFun", 0)
    rig.ask("net.setModemFun", 1)
    rig.wait(30)
    assert (rig.board.radio.registered, rig.board.radio.ready) == (True, False)
    rig.ask("dataCall.setAutoConnect", 1, 1)
    rig.ask("net.setModemFun", 0)
    rig.ask("net.setModemFun", 1)
    rig.until_ready()
