"""What a hostile world does to the stand-ins: data call, IP versions, name servers, SIM, AT channel, meter, sockets."""

from dataclasses import replace

import pytest

from tests_host.module.modem_rig import EC800E, Rig, profile
from tools.module.board import PowerOff
from tools.world.network import Network

DENIED, NOWHERE = 3, 2


def online(**carrier):
    return Rig(profile(**carrier)).until_ready()


def with_network(rig):
    rig.board.network = Network(rig.loop, rig.events, seed=1)
    return rig


def test_a_dropped_data_call_comes_back_by_itself_with_another_address():
    rig = online()
    before = rig.board.radio.ip
    rig.board.radio.drop_pdp()
    assert rig.ask("dataCall.getInfo", 1, 0)[2][0] == 0
    rig.wait(1)
    assert rig.board.radio.ip not in (None, before)


def test_a_data_call_that_needs_a_dial_comes_up_by_the_applications_own():
    rig = Rig(profile(pdp_after="dial"))
    assert rig.ask("checkNet.waitNetworkReady", 30) == (3, 0)
    assert rig.ask("dataCall.activate", 1) == 0
    rig.until_ready()


def test_a_data_call_that_needs_cfun_comes_up_after_it_and_not_by_a_dial():
    rig = Rig(profile(pdp_after="cfun"))
    assert rig.ask("checkNet.waitNetworkReady", 30) == (3, 0)
    assert rig.ask("dataCall.activate", 1) == -1
    rig.ask("net.setModemFun", 0)
    rig.ask("net.setModemFun", 1)
    rig.until_ready()


@pytest.mark.parametrize(("needs", "reason", "comes"), [
    ("restart", 3, False), ("restart", 2, True), ("never", 2, False), ("never", 3, False),
])
def test_a_data_call_that_needs_a_restart(needs, reason, comes):
    rig = Rig(profile(pdp_after=needs), reason=reason)
    assert rig.ask("checkNet.waitNetworkReady", 60) == (3, int(comes))
    if not comes:
        rig.ask("net.setModemFun", 0)
        rig.ask("net.setModemFun", 1)
        assert rig.ask("checkNet.waitNetworkReady", 60) == (3, 0)


@pytest.mark.parametrize(("version", "states"), [(4, (1, 0)), (6, (0, 1)), (46, (1, 1))])
def test_info_shows_the_ip_versions_that_the_apn_gives(version, states):
    rig = online(ip_version=version)
    four, six = rig.ask("dataCall.getInfo", 1, 2)[2:]
    assert (four[0], six[0]) == states
    assert rig.ask("dataCall.getInfo", 1, 0)[2] == four and rig.ask("dataCall.getInfo", 1, 1)[2] == six
    assert (":" in six[2], "." in four[2]) == (version != 4, True)
    shown = rig.at("AT+CGPADDR")[1]
    assert all((part[2] in shown) == bool(part[0]) for part in (four, six))


def test_a_socket_needs_an_address_of_its_family():
    rig = with_network(online(ip_version=6))
    with pytest.raises(OSError, match="-1"):
        rig.make("usocket.socket", 2, 2)
    rig.make("usocket.socket", 10, 2)


def test_without_a_name_server_no_name_resolves_until_one_is_set():
    rig = with_network(online(dns=("0.0.0.0", "0.0.0.0")))
    rig.board.network.name("aep.example", ["1.2.3.4"])
    with pytest.raises(OSError, match="-2"):
        rig.ask("usocket.getaddrinfo", "aep.example", 5683)
    assert rig.ask("usocket.getaddrinfo", "1.2.3.4", 5683)[0][4] == ("1.2.3.4", 5683)
    assert rig.at('AT+QIDNSCFG=1,"119.29.29.29"')[0] == 0
    assert rig.at("AT+QIDNSCFG=1")[1].split() == ["+QIDNSCFG:", '1,"119.29.29.29","0.0.0.0"']
    assert rig.ask("usocket.getaddrinfo", "aep.example", 5683)[0][4] == ("1.2.3.4", 5683)


def test_a_network_that_goes_is_searched_for_and_found_when_it_is_back():
    rig = online()
    here = rig.board.radio.carrier
    rig.board.radio.moved(replace(here, state=NOWHERE))
    rig.wait(60)
    assert (rig.board.radio.state, rig.board.radio.ip) == (2, None)
    rig.board.radio.moved(here)
    rig.until_ready()


@pytest.mark.parametrize(("state", "seen"), [(DENIED, 3), (NOWHERE, 2)])
def test_after_psm_a_network_that_does_not_want_the_module_is_not_resumed(state, seen):
    rig = online()
    rig.ask("pm.set_psm_time", 1, 6, 0, 1)
    rig.ask("pm.autosleep", 1)
    assert rig.until_power_off() == "psm"
    again = rig.again(family=profile(state=state))
    again.wait(30)
    assert again.board.radio.state == seen


def test_a_loose_card_is_there_after_cfun_0_and_1():
    rig = Rig(nv=None)
    rig.nv.values["sim"] = {"loose": True}
    rig.wait(20)
    assert rig.ask("sim.getStatus") == 0
    rig.ask("net.setModemFun", 0)
    rig.ask("net.setModemFun", 1)
    assert rig.ask("sim.getStatus") == 1
    rig.until_ready()


def test_a_card_that_is_taken_out_ends_the_service():
    rig = online()
    rig.board.sim.removed()
    rig.wait(5)
    assert (rig.ask("sim.getStatus"), rig.board.radio.state, rig.board.radio.ip) == (0, 0, None)


def test_a_broken_at_channel_answers_error_or_not_at_all():
    rig = online()
    rig.nv.values["at"] = "error"
    assert rig.at("AT+CSQ") == (1, "\r\nERROR\r\n\n")
    rig.nv.values["at"] = "silent"
    before = rig.loop.time()
    assert rig.at("AT+CSQ") == (5, "")
    assert rig.loop.time() - before == pytest.approx(5)
    rig.nv.values["at"] = ""
    assert rig.at("AT+CSQ")[0] == 0


def test_a_meter_with_a_cut_line_hears_nothing():
    rig = Rig()
    rig.nv.values["watermeter"]["mute"] = True
    uart = rig.make("machine.UART", 1, 9600, 8, 0, 1, 0)
    uart("write", b"READ\r\nVALVE,0\r\n")
    rig.wait(1)
    assert uart("any") == 0
    assert rig.kinds("mute", "sensor", "valve") == ["mute READ", "mute VALVE,0"]


def test_usb_that_is_plugged_in_holds_psm_off_until_it_is_out():
    rig = online()
    rig.ask("pm.set_psm_time", 1, 6, 0, 1)
    rig.ask("pm.autosleep", 1)
    rig.board.radio.plug(True)
    rig.wait(600)
    rig.board.radio.plug(False)
    with pytest.raises(PowerOff, match="psm"):
        rig.wait(600)


def test_sends_fail_as_the_world_says_and_sockets_run_out():
    rig = with_network(online())
    rig.nv.values["send_errors"] = [113, 12]
    socket = rig.make("usocket.socket", 2, 2)
    for number in (113, 12):
        with pytest.raises(OSError, match=str(number)):
            socket("sendto", b"x", ("1.2.3.4", 5683))
    assert socket("sendto", b"x", ("1.2.3.4", 5683)) == 1
    rig.nv.values["sockets"] = 1
    with pytest.raises(OSError, match="22"):
        rig.make("usocket.socket", 2, 2)
    rig.wait(1)
    rig.loop.run_until_complete(rig.board.network.close())


@pytest.mark.parametrize(("filters", "heard"), [(True, [b"peer"]), (False, [b"stranger", b"peer"])])
def test_a_connected_socket_takes_strangers_datagrams_only_where_the_firmware_does_not_filter(filters, heard):
    rig = with_network(Rig(replace(EC800E, connect_filters=filters)).until_ready())
    socket = rig.make("usocket.socket", 2, 2)
    socket("connect", ("1.2.3.4", 5683))
    socket("settimeout", 1)
    socket("send", b"opens the connection")
    for sender, data in (("9.9.9.9", b"stranger"), ("1.2.3.4", b"peer")):
        rig.board.network.inject(data, (sender, 5683))
        rig.wait(0.5)
    assert [socket("recv", 100) for _ in heard] == heard
    rig.loop.run_until_complete(rig.board.network.close())


def test_an_application_that_waits_in_recv_sleeps_lightly_where_autosleep_is_on():
    rig = with_network(online())
    socket = rig.make("usocket.socket", 2, 2)
    socket("connect", ("1.2.3.4", 5683))
    socket("settimeout", 5)
    rig.ask("pm.autosleep", 1)
    rig.until_idle()
    before = rig.board.meter.us("sleep")
    for _ in range(100):
        with pytest.raises(OSError, match="110"):
            socket("recv", 100)
    assert rig.board.meter.us("sleep") - before == pytest.approx(500e6, rel=0.01)
