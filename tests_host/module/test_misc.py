"""quecpython.md §3.6."""

import pytest

from tests_host.module.modem_rig import Rig
from tools.module.board import PowerOff


@pytest.mark.parametrize(("name", "how"), [("powerDown", "down"), ("powerRestart", "restart")])
def test_leaving_never_returns_and_detaches_first(name, how):
    rig = Rig().until_ready()
    with pytest.raises(PowerOff) as end:
        rig.ask("misc.Power." + name)
    assert end.value.how == how
    assert rig.kinds("registered")[-1] == "registered detached"
    rig.board.power_off()
    assert rig.again(reason=1).ask("misc.Power.powerDownReason") == 1


@pytest.mark.parametrize("reason", [1, 3, 5, 8])
def test_power_on_reason(reason):
    assert Rig(reason=reason).ask("misc.Power.powerOnReason") == reason


def test_battery_is_in_millivolt_and_each_measurement_an_event():
    rig = Rig()
    value = rig.ask("misc.Power.getVbatt")
    assert 3300 < value < 3700
    assert rig.events.of("sensor")[-1].data == {"field": "battery", "value": value}


def test_power_is_a_class_of_functions_and_there_is_no_usb():
    classes = Rig().board.surface()["misc"]["classes"]
    assert set(classes) == {"Power"}
    assert classes["Power"]["static"] is True
