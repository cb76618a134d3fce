"""quecpython.md §3.4."""

import pytest

from tests_host.module.modem_rig import Rig, profile


def test_ready_is_3_1_and_found_on_the_100_ms_grid():
    rig = Rig()
    began = rig.loop.now_us
    assert rig.ask("checkNet.waitNetworkReady") == (3, 1)
    assert (rig.loop.now_us - began) % 100_000 == 0


def test_where_it_stopped():
    no_card = Rig()
    no_card.nv.values["sim"] = {"status": 0}
    assert no_card.ask("checkNet.wait_network_connected", 5) == (1, 0)
    assert Rig(profile(state=3)).ask("checkNet.waitNetworkReady", 10) == (2, 3)
    assert Rig(profile(pdp_ms=(90_000, 90_000))).ask("checkNet.waitNetworkReady", 10) == (3, 0)


def test_it_keeps_waiting_to_the_end():
    rig = Rig(profile(state=2))
    began = rig.loop.time()
    assert rig.ask("checkNet.waitNetworkReady", 7) == (2, 2)
    assert rig.loop.time() - began == pytest.approx(7.0)


@pytest.mark.parametrize("timeout", [0, -1, 3601])
def test_times_out_of_range_raise(timeout):
    with pytest.raises(OSError):
        Rig().ask("checkNet.waitNetworkReady", timeout)


def test_the_class_prints_its_banner_and_waits():
    rig = Rig()
    check = rig.make("checkNet.CheckNetwork", "meter", "1.0")
    check("poweron_print_once")
    assert "meter" in rig.events.of("console")[0].text
    assert check("wait_network_connected", 60) == (3, 1)
