"""quecpython.md §2.1 (boot, dial), §4.2 (PSM), §4.3 (enhanced sleep); guide §6.1."""

import pytest

from tests_host.module.modem_rig import EC800E, Rig, profile
from tools.module.profiles.networks import CHINA_MOBILE, CHINA_TELECOM

DAY_REQUEST = (2, 2, 0, 5)  # T3412 20 h, T3324 10 s


def asleep_in_psm(rig: Rig, *request: int) -> Rig:
    """The module has powered down in PSM."""
    rig.until_ready()
    assert rig.ask("pm.set_psm_time", *(request or DAY_REQUEST)) is True
    assert rig.ask("pm.autosleep", 1) == 0
    assert rig.until_power_off() == "psm"
    return rig


def test_attaches_and_dials_by_itself_in_order():
    rig = Rig().until_ready()
    assert rig.kinds("sim", "attach", "rrc", "registered", "pdp") == [
        "sim ready", "attach China Telecom", "rrc connected", "registered attached", "pdp up",
    ]
    assert rig.board.radio.ip.startswith("100.101.")


def test_does_not_dial_when_datacall_flag_is_0():
    class Flash:
        def read(self, name: str) -> bytes:
            assert name == "/usr/system_config.json"
            return b'{"replFlag": 0, "datacallFlag": 0}'

    rig = Rig(flash=Flash())
    rig.wait(60)
    assert rig.board.radio.registered
    assert rig.board.radio.ip is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"replFlag": 0}', b'{"datacallFlag": 1}'])
def test_dials_when_the_flag_is_absent_or_the_file_unreadable(text):
    class Flash:
        def read(self, name: str) -> bytes:
            return text

    assert Rig(flash=Flash()).until_ready().board.radio.ready


def test_times_of_the_attach_are_whole_milliseconds_of_the_seed():
    times = {seed: [e.t for e in Rig(seed=seed).until_ready().events.log] for seed in ("1", "1 ", "2")}
    assert times["1"] == [e.t for e in Rig(seed="1").until_ready().events.log]
    assert times["1"] != times["2"]
    assert all(round(t * 1e6) % 1000 == 0 for t in times["1"])


def test_network_ends_an_unused_connection_after_its_inactivity_timer():
    rig = Rig(profile(inactivity_ms=(15_000, 15_000))).until_ready()
    rig.board.radio.traffic("up")
    began = rig.loop.time()
    rig.until_idle()
    assert rig.loop.time() - began == pytest.approx(15.0)


def test_traffic_in_idle_pays_the_set_up_and_in_connected_nothing():
    rig = Rig().until_ready()
    assert rig.board.radio.traffic("up") == 0
    rig.until_idle()
    delay = rig.board.radio.traffic("up")
    assert 0.09 <= delay <= 0.15
    assert rig.board.radio.rrc == "connected"
    assert rig.board.radio.traffic("up") == pytest.approx(delay)  # not before the connection is there
    rig.wait(1)
    assert rig.board.radio.traffic("down") == 0


def test_downlink_in_idle_waits_for_its_page():
    rig = Rig(profile(paging_cycle_ms=1280)).until_ready().until_idle()
    delay = rig.board.radio.traffic("down")
    assert 0.09 <= delay <= 1.28 + 0.15
    rig.wait(delay)
    assert rig.board.radio.rrc == "connected"


def test_enhanced_sleep_ends_the_connection_within_three_seconds_of_the_last_traffic():
    rig = Rig().until_ready()
    rig.ask("pm.autosleep", 1)
    assert rig.at("AT+QSCLKEX=1,1,30") == (0, "")
    rig.board.radio.traffic("up")
    began = rig.loop.time()
    rig.until_idle()
    assert 1.8 <= rig.loop.time() - began <= 3.0  # guide §6.1: +CSCON: 0 after 2-3 s
    assert rig.events.of("rrc")[-1].data["by"] == "module"


def test_enhanced_sleep_needs_autosleep():
    rig = Rig().until_ready()
    rig.at("AT+QSCLKEX=1,1,30")
    rig.board.radio.traffic("up")
    rig.wait(5)
    assert rig.board.radio.rrc == "connected"
    rig.ask("pm.autosleep", 1)
    rig.wait(0.1)
    assert rig.board.radio.rrc == "idle"


def test_an_arming_that_the_network_ignores_leaves_the_inactivity_timer():
    rig = Rig(profile(release_refusal=1.0)).until_ready()
    rig.ask("pm.autosleep", 1)
    rig.at("AT+QSCLKEX=1,1,30")
    rig.board.radio.traffic("up")
    rig.until_idle()
    assert rig.events.of("rrc")[-1].data["by"] == "network"


def test_psm_cuts_the_power_t3324_after_idle():
    rig = asleep_in_psm(Rig())
    idle = [event.t for event in rig.events.of("rrc") if event.text == "idle"][-1]
    assert rig.loop.time() - idle == pytest.approx(10.0)
    assert rig.board.radio.tau_expires_at() == pytest.approx(idle + 20 * 3600)
    assert rig.kinds("psm") == ["psm granted", "psm entered"]


@pytest.mark.parametrize("veto", ["autosleep", "wakelock", "usb"])
def test_psm_waits_for_the_last_veto(veto):
    rig = Rig().until_ready()
    rig.ask("pm.set_psm_time", *DAY_REQUEST)
    rig.ask("pm.autosleep", int(veto != "autosleep"))
    if veto == "wakelock":
        rig.ask("pm.wakelock_lock", rig.ask("pm.create_wakelock", "work"))
    rig.board.radio.usb = veto == "usb"
    rig.until_idle()
    assert rig.until_power_off(seconds=60) is None
    assert rig.board.radio.granted is not None  # granted, but vetoed locally
    assert rig.board.radio.reachable is False  # the network believes that it sleeps
    rig.board.radio.usb = False
    rig.ask("pm.wakelock_unlock", 0)
    rig.ask("pm.autosleep", 1)
    began = rig.loop.time()
    assert rig.until_power_off() == "psm"
    assert rig.loop.time() == pytest.approx(began)


def test_psm_is_not_entered_where_the_network_refuses_it():
    family = profile(psm=CHINA_MOBILE.psm)
    rig = Rig(family).until_ready()
    assert rig.ask("pm.set_psm_time", *DAY_REQUEST) is True
    rig.ask("pm.autosleep", 1)
    assert rig.until_power_off(seconds=3600) is None
    assert rig.ask("pm.get_psm_time") == [1, *DAY_REQUEST]  # asked for, not granted
    assert rig.kinds("psm") == ["psm not granted"]


def test_network_may_shorten_the_periodic_tau():
    rig = asleep_in_psm(Rig(profile(tau_limits_s=(0, 3 * 3600))))
    assert rig.board.radio.granted.tau_s == 3 * 3600
    assert rig.board.radio.tau_expires_at() - rig.loop.time() < 3 * 3600


def test_network_may_lengthen_the_active_time():
    rig = Rig(profile(active_limits_s=(60, 360))).until_ready()
    rig.ask("pm.set_psm_time", *DAY_REQUEST)
    rig.wait(1)
    assert rig.board.radio.granted.active_s == 60


def test_wake_by_t3412_keeps_registration_and_address_and_costs_a_tau():
    first = asleep_in_psm(Rig())
    ip, due = first.board.radio.ip, first.board.radio.tau_expires_at()
    second = first.again(after=due - first.loop.time())
    began = second.loop.time()
    second.until_ready()
    assert second.kinds("attach", "registered") == ["registered updated"]
    assert second.board.radio.ip == ip
    assert second.loop.time() - began < 2.0
    assert second.board.radio.granted == first.board.radio.granted


def test_wake_before_t3412_owes_the_network_nothing():
    second = asleep_in_psm(Rig()).again(reason=1, after=3600).until_ready()
    assert second.kinds("attach", "rrc", "registered") == ["registered resumed"]


def test_module_that_slept_too_long_attaches_anew():
    first = asleep_in_psm(Rig())
    second = first.again(after=20 * 3600 + CHINA_TELECOM.forget_s + 60).until_ready()
    assert "attach China Telecom" in second.kinds("attach")


def test_other_ends_than_psm_forget_the_registration():
    rig = Rig().until_ready()
    rig.board.power_off()
    assert "attach China Telecom" in rig.again(reason=3).until_ready().kinds("attach")


def test_request_outlives_power_off_and_is_granted_with_the_attach():
    rig = Rig().until_ready()
    rig.ask("pm.set_psm_time", *DAY_REQUEST)
    rig.board.power_off()
    second = rig.again(reason=3).until_ready()
    assert second.ask("pm.get_psm_time") == [1, *DAY_REQUEST]
    assert second.board.radio.granted.active_s == 10


def test_asking_for_the_same_again_costs_no_tau():
    rig = Rig().until_ready()
    rig.ask("pm.set_psm_time", *DAY_REQUEST)
    rig.until_idle()
    before = len(rig.events.of("rrc"))
    rig.ask("pm.set_psm_time", *DAY_REQUEST)
    rig.wait(5)
    assert len(rig.events.of("rrc")) == before


def test_new_request_in_idle_is_a_short_connection():
    """The guide's +CSCON: 0/1 flaps after AT+QSCLK=3 (guide §6.1)."""
    rig = Rig().until_ready().until_idle()
    rig.at('AT+QSCLK=3,2,"01011111","00000001"')
    rig.until_idle()
    on, off = rig.events.of("rrc")[-2:]
    assert (on.text, off.text) == ("connected", "idle")
    assert off.t - on.t < 0.6
    assert rig.board.radio.granted.tau_s == 1_116_000
    assert rig.until_power_off() == "psm"


def test_periodic_tau_of_a_module_that_stays_on_is_charged():
    rig = Rig().until_ready().until_idle()
    before = rig.board.radio.connected_ms
    rig.wait(24 * 3600)
    spent = rig.board.radio.connected_ms - before
    assert 26 * 220 <= spent <= 26 * 460  # 26 TAUs a day at T3412 = 54 min


def test_forced_hibernation_without_a_grant_never_wakes():
    rig = Rig().until_ready()
    rig.ask("pm.Forcehib")
    assert rig.until_power_off() == "psm"
    assert rig.board.radio.tau_expires_at() is None


def test_forced_hibernation_with_a_grant_wakes_by_t3412_counted_from_then():
    rig = Rig().until_ready()
    rig.ask("pm.set_psm_time", *DAY_REQUEST)
    rig.wait(1)
    assert rig.board.radio.rrc == "connected"
    rig.ask("pm.Forcehib")
    assert rig.until_power_off() == "psm"
    assert rig.board.radio.tau_expires_at() == pytest.approx(rig.loop.time() + 20 * 3600)
    assert rig.again(after=20 * 3600).until_ready().kinds("registered") == ["registered updated"]


def test_denied_and_absent_networks_stay_so():
    denied, absent = Rig(profile(state=3)), Rig(profile(state=2))
    assert denied.ask("checkNet.waitNetworkReady", 20) == (2, 3)
    assert absent.ask("checkNet.waitNetworkReady", 20) == (2, 2)
    assert absent.board.meter.state == "searching"


def test_no_loop_timer_remains_when_everything_is_idle():
    """Otherwise an idle module keeps a world running for ever in which nothing can happen."""
    rig = Rig(EC800E).until_ready().until_idle()
    assert not [handle for handle in rig.board._timers if not handle.cancelled() and handle.when() > rig.loop.time()]


def granted(rig: Rig) -> Rig:
    """Idle, in autosleep, with T3324 = 10 s running."""
    rig.until_ready()
    rig.ask("pm.set_psm_time", 1, 4, 0, 5)
    rig.ask("pm.autosleep", 1)
    return rig.until_idle()


def test_a_call_that_keeps_the_modem_at_work_holds_psm_off():
    rig = granted(Rig())
    rig.board.firmware["atcmd"]._scripted["AT+COPS=?"] = (60.0, [], 0)
    assert rig.at("AT+COPS=?")[0] == 5  # its own 5 s; T3324 is not over yet
    assert rig.ask("atcmd.sendSync", "AT+COPS=?\r\n", bytearray(8), "", 20) == 5
    assert rig.until_power_off() == "psm"


def test_a_module_that_is_being_paged_is_idle_but_does_not_power_down():
    rig = granted(Rig())
    rig.wait(rig.board.radio.power_off_at() - rig.loop.time() - 0.01)
    assert rig.board.radio.traffic("down") > 0.01
    assert (rig.board.radio.rrc, rig.board.radio.power_off_at()) == ("idle", None)


def test_uplink_after_the_active_time_first_finds_the_cell_again():
    rig = granted(Rig())
    rig.ask("pm.wakelock_lock", rig.ask("pm.create_wakelock", "cycle"))
    rig.wait(60)
    carrier = rig.board.radio.carrier
    delay = rig.board.radio.traffic("up")
    least, most = (carrier.resync_ms[end] + carrier.rrc_setup_ms[end] for end in (0, 1))
    assert least <= delay * 1000 <= most


def test_data_sent_during_a_tau_keeps_the_connection_until_its_inactivity_timer():
    rig = Rig().until_ready().until_idle()
    rig.ask("pm.set_psm_time", 1, 4, 0, 5)
    rig.board.radio.traffic("up")
    rig.wait(10)
    assert rig.board.radio.rrc == "connected"


def test_enhanced_sleep_counts_from_its_arming_and_the_network_may_be_earlier():
    """quecpython.md §4.3."""
    late, slow = Rig().until_ready().until_idle(), Rig().until_ready().until_idle()
    for rig, before, no_data in ((late, 8, 1), (slow, 0, 50)):
        rig.ask("pm.autosleep", 1)
        rig.board.radio.traffic("up")
        rig.wait(before)
        assert rig.at(f"AT+QSCLKEX=1,{no_data},30")[0] == 0
    late.wait(1.5)
    assert late.board.radio.rrc == "connected"
    late.wait(1.2)
    assert late.kinds("rrc")[-1] == "rrc idle" and late.events.of("rrc")[-1].data["by"] == "module"
    slow.wait(12.5)
    assert slow.events.of("rrc")[-1].data["by"] == "network"
