"""The guide's LwM2M transcripts against the modem's stand-in, command by command, response by response, and what each
causes at the platform (guide §4.1.3.1, §4.1.3.2, §4.1.4.1, §4.1.4.2, §6.1)."""

import pytest

from tests_host.ctwing.raw_device import notification
from tests_host.faults.dissect import complaints
from tests_host.module.qlw_scripts import BUFFER, CON, DTLS, LOW_POWER, NON, OBSERVED, PLAIN, REGISTER, Replay

SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_plain_registration_report_and_command(desk, seed, tmp_path):
    """Guide §4.1.3.1."""
    port = desk(seed).ready()
    replay = Replay(port).play(PLAIN)
    uplinks = port.aep.uplinks(port.device)
    assert [(uplink.payload, uplink.kind) for uplink in uplinks] == [(replay.up, "ACK"), (replay.up, "CON")]
    assert uplinks[1].acknowledged
    assert [command.status for command in port.aep.commands(port.device)] == ["DELIVERED"]
    assert not port.aep.device(port.device).online
    assert complaints(port.aep.trace(), tmp_path) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_dtls_with_a_key_and_another_endpoint(desk, seed):
    """Guide §4.1.3.2: the same inside, and nothing of it in the clear."""
    pytest.importorskip("mbedtls", reason="python-mbedtls has no wheel for this Python")
    port = desk(seed, dtls=True, form="urn:imei").ready()
    replay = Replay(port).play(DTLS)
    assert [uplink.payload for uplink in port.aep.uplinks(port.device)] == [replay.up] * 2
    assert [command.status for command in port.aep.commands(port.device)] == ["DELIVERED"]
    assert len(replay.up) < 4 or not any(replay.up in datagram.data for datagram in port.network.trace)


@pytest.mark.parametrize("seed", SEEDS)
def test_non_goes_up_without_an_acknowledgement_con_with_one(desk, seed):
    """Guide §4.1.4.1."""
    port = desk(seed).ready()
    Replay(port).play(REGISTER + OBSERVED + NON + CON)
    assert [(u.kind, u.acknowledged) for u in port.aep.uplinks(port.device)][1:] == [("NON", False), ("CON", True)]
    port.wait(5)
    assert port.shown == [], "no report_ack for the NON"


@pytest.mark.parametrize("seed", SEEDS)
def test_buffer_mode_gives_what_came_once_more_oldest_first(desk, seed):
    """Guide §4.1.4.2; push mode is the URC of a write with its answer, in §4.1.3.1."""
    port = desk(seed).ready()
    Replay(port).play(BUFFER)
    assert [command.status for command in port.aep.commands(port.device)] == ["DELIVERED"] * 2


@pytest.mark.parametrize("seed", SEEDS)
def test_low_power_goes_to_psm_and_wakes_with_a_report(desk, seed):
    """Guide §6.1, first start to second PSM."""
    port = desk(seed)
    replay = Replay(port).play(LOW_POWER)
    assert [uplink.payload for uplink in port.aep.uplinks(port.device)] == [replay.up] * 3
    assert all(uplink.acknowledged for uplink in port.aep.uplinks(port.device)[1:])


@pytest.mark.parametrize("host", ["lwm2m.ctwing.cn", "240E:980:8120:28:84F4:C0C2:4A95:85F9"])
def test_name_and_ipv6_literal_reach_the_platform(desk, host):
    """Guide's FAQ: where the module has an IPv6 address only."""
    port = desk(4, ip_version=6).ready()
    Replay(port).play(REGISTER.replace("221.229.214.202", host) + OBSERVED + CON)
    assert {":" in datagram.local[0] for datagram in port.network.trace} == {True}


def test_the_notification_is_the_one_of_the_vectors(desk):
    """ctwing.md §7.6: 2.05, token of the Observe, Observe, format 42."""
    port = desk(5).ready()
    replay = Replay(port).play(REGISTER + OBSERVED + CON)
    mid, token = int(replay.known["report"]), port.aep.uplinks(port.device)[1].token
    assert notification(mid, token, replay.up) in port.up()
