"""TS 24.008 §10.5.7.3, §10.5.7.4a; ctwing.md §7.3; quecpython.md §3.5, §4.4."""

import pytest

from tools.module.modem import timers
from tools.module.modem.psm import grant
from tools.module.profiles.networks import CHINA_TELECOM


@pytest.mark.parametrize(("bits", "tau_s", "active_s"), [
    ("01011111", 1_116_000, 11_160), ("00000001", 600, 2), ("00100100", 14_400, 240), ("00000101", 3_000, 10),
    ("11100000", None, None), ("01100011", 6, 180),
])
def test_bits_as_either_timer(bits, tau_s, active_s):
    field = timers.parse(bits)
    assert field is not None
    assert timers.bits(*field) == bits
    assert timers.seconds(timers.TAU_UNITS, *field) == tau_s
    assert timers.seconds(timers.ACTIVE_UNITS, *field) == active_s


@pytest.mark.parametrize("text", ["", "0000000", "000000011", "0000000x", "00000002"])
def test_what_is_not_eight_bits(text):
    assert timers.parse(text) is None


@pytest.mark.parametrize(("wanted", "got"), [(0, 0), (11, 12), (63, 90), (86_400, 86_400), (10**9, 35_712_000)])
def test_nearest_is_never_shorter_but_for_the_longest(wanted, got):
    assert timers.seconds(timers.TAU_UNITS, *timers.nearest(timers.TAU_UNITS, wanted)) == got


def test_psm_is_granted_as_asked_for_by_default():
    granted = grant([1, 1, 4, 0, 5], CHINA_TELECOM)
    assert granted is not None
    assert (granted.tau_bits, granted.active_bits, granted.tau_s, granted.active_s) == (
        "00100100", "00000101", 14_400, 10,
    )


@pytest.mark.parametrize("request_", [[0, 1, 4, 0, 5], [1, 1, 4, 7, 0]])
def test_psm_off_and_a_deactivated_active_timer_are_no_psm(request_):
    assert grant(request_, CHINA_TELECOM) is None


def test_a_deactivated_tau_leaves_the_networks_own():
    granted = grant([1, 7, 0, 0, 5], CHINA_TELECOM)
    assert granted is not None
    assert granted.tau_s == CHINA_TELECOM.t3412_s
