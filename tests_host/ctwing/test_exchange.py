"""RFC 7252 §4 on the wire: de-duplication, retransmission, ACK and RST; and bytes from anyone."""

import asyncio

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests_host.ctwing.conftest import World
from tests_host.ctwing.raw_device import IMEI, answer, mid_of, notification, on_session, register, token_of
from tools.world.coap import Malformed, decode


def test_a_repeated_request_gets_the_same_answer_and_has_no_second_effect(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        first = await wire.register(1)
        token = await wire.observed()
        again = await wire.register(1)
        assert first == again and len(aep.registrations(device)) == 1
        ack = await wire.notify(2, token)
        await asyncio.sleep(246)
        assert await wire.notify(2, token) == ack
        assert len(aep.uplinks(device)) == 1
        await asyncio.sleep(2)  # 247 s are over: the MID is free again
        await wire.notify(2, token)
        assert len(aep.uplinks(device)) == 2
        assert aep.front.counters["duplicates"] == 2

    world.run(work)


def test_the_same_mid_from_another_port_is_another_message(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register(1)
        token = await wire.observed()
        other = await world.wire(wire.platform)
        await wire.notify(2, token, b"a")
        await other.notify(2, token, b"b")
        assert [up.payload for up in aep.uplinks(device)] == [b"a", b"b"]

    world.run(work)


def test_a_request_is_sent_five_times_with_doubling_waits_then_given_up(world):
    async def work():
        aep = world.aep()
        _, wire = await world.device(aep)
        await wire.register()
        await asyncio.sleep(200)
        downs = [row for row in aep.trace() if row.direction == "down"][1:]
        assert len(downs) == 5 and len({row.raw for row in downs}) == 1
        waits = [after.t - before.t for before, after in zip(downs, downs[1:], strict=False)]
        assert 2 <= waits[0] <= 3
        assert waits == pytest.approx([waits[0] * 2**n for n in range(4)], abs=1e-5)
        failed = world.events.of("observe-failed")[0]
        assert failed.t - downs[-1].t == pytest.approx(waits[0] * 16, abs=1e-5)

    world.run(work)


def test_an_answer_to_a_retransmission_ends_it(world):
    async def work():
        _, wire = await world.device(world.aep())
        await wire.register()
        first = await wire.receive()
        assert await wire.receive(4) == first
        wire.send(answer(first, 0x45, b"\x60"))
        assert mid_of(await wire.receive()) == (mid_of(first) + 1) & 0xFFFF

    world.run(work)


def test_retransmissions_follow_the_device_to_its_new_port(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        token = await wire.observed()
        aep.command(device, "one")
        await wire.notify(7, token)
        write = await wire.receive()
        woken = await world.wire(wire.platform)
        await woken.ask(on_session(8, 2))
        assert await woken.receive(4) == write
        woken.send(answer(write, 0x44))
        assert await woken.silent(100) and wire.came.empty()
        assert aep.commands(device)[0].status == "DELIVERED"

    world.run(work)


@pytest.mark.parametrize("kind", [0, 1])
def test_a_separate_response_is_matched_by_token(world, kind):
    async def work():
        _, wire = await world.device(world.aep())
        await wire.register()
        request = await wire.receive()
        wire.send(b"\x60\0" + request[2:4])
        assert await wire.silent(60)  # acknowledged: no retransmission
        wire.send(notification(40, token_of(request), b"\xc8\0\0", kind=kind))
        if kind == 0:
            assert await wire.receive() == b"\x60\0\0\x28"
        assert mid_of(await wire.receive()) == (mid_of(request) + 1) & 0xFFFF

    world.run(work)


def test_an_ack_with_another_token_or_from_another_port_settles_nothing(world):
    async def work():
        aep = world.aep()
        _, wire = await world.device(aep)
        await wire.register()
        request = await wire.receive()
        wire.send(answer(request[:4] + b"\0\0\0\0" + request[8:], 0x45, b"\x60"))
        other = await world.wire(wire.platform)
        other.send(answer(request, 0x45, b"\x60"))
        assert await wire.receive(4) == request
        assert aep.front.counters["strays"] == 2

    world.run(work)


def test_a_ping_gets_a_reset(world):
    async def work():
        _, wire = await world.device(world.aep())
        assert await wire.ask("40001234") == bytes.fromhex("70001234")

    world.run(work)


@pytest.mark.parametrize(("raw", "reason"), [
    ("40", "shorter"), ("400112", "shorter"), ("00010001", "version"), ("4901000100", "token longer"),
    ("4401000100", "token cut"), ("40200001", "class"), ("40600001", "class"), ("40c00001", "class"),
    ("40e10001", "class"), ("4000000100", "empty message"), ("4100000100", "empty message"), ("50000001", "NON"),
    ("60010001", "ACK"), ("70450001", "RST"), ("40020001ff", "marker"), ("4102000101b27264ff", "marker"),
    ("40020001f0", "options"), ("400200010f", "options"), ("40020001b57264", "options"), ("40020001b2ff", "options"),
    ("40020001b1ff", "UTF-8"), ("40020001e0", "options"), ("40020001d0", "options"),
])
def test_malformed_bytes_are_named_dropped_and_counted(world, raw, reason):
    async def work():
        aep = world.aep()
        _, wire = await world.device(aep)
        wire.send(raw)
        assert await wire.silent()
        assert aep.front.counters["malformed"] == 1
        assert reason in world.events.of("malformed")[0].data["reason"]
        assert [bytes(row.raw) for row in aep.trace()] == [bytes.fromhex(raw)]

    world.run(work)


def test_an_empty_datagram_is_malformed(world):
    aep = world.aep()
    aep.front.datagram_received(b"", ("127.0.0.1", 40000))  # asyncio before 3.13 sends none
    assert aep.front.counters["malformed"] == 1


@pytest.mark.parametrize("raw", ["41450001ff", "4145000101" "61ff", "4101000101" "c1ff", "4145000101" "41ff"])
def test_a_last_ff_that_belongs_to_an_option_or_token_is_no_marker(raw):
    decode(bytes.fromhex(raw))


def mutations():
    """Whole messages with bytes changed, cut or added: what random bytes alone never reach."""
    seeds = st.sampled_from([
        register(1), on_session(2, 2), on_session(3, 4, kind=1), notification(4, b"\1\2\3\4", b"x"),
        bytes.fromhex("6445ad092d82e7f560612a"), bytes.fromhex("7000ad09"), bytes.fromhex("4000ad09"),
    ])
    edits = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6)

    def edited(raw, changes, cut, tail):
        out = bytearray(raw)
        for place, value in changes:
            out[place % len(out)] = value
        return bytes(out[:cut]) + tail

    return st.builds(edited, seeds, edits, st.integers(1, 200), st.binary(max_size=6))


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.binary(min_size=1, max_size=80), mutations()), min_size=1, max_size=12))
@example([b"\x40\x02\0\1\xbd\xff" + b"a" * 268, b"\x40\x02\0\2\xce\x0f\x00" + b"\xff" * 4109])
def test_the_platform_lives_through_any_bytes(datagrams):
    world, failures = World(), []
    world.loop.set_exception_handler(lambda loop, context: failures.append(context))

    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        for data in datagrams:
            wire.send(data)
        await asyncio.sleep(300)
        assert aep.front.counters["received"] == len(datagrams)
        assert aep.front.counters["malformed"] == len(world.events.of("malformed"))
        fresh = await world.wire(wire.platform)
        assert (await fresh.register(5))[1] == 0x41
        assert (await fresh.notify(6, await fresh.observed()))[0] == 0x60
        assert len(aep.uplinks(device)) == 1

    try:
        world.run(work)
    finally:
        world.close()
    assert failures == []


@given(st.binary(max_size=64))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_decode_gives_a_message_or_malformed(raw):
    try:
        message = decode(raw)
    except Malformed:
        return
    assert message.mid == int.from_bytes(raw[2:4], "big") and len(message.token) == raw[0] & 15


def test_a_refusal_by_the_network_changes_nothing(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        aep.front.error_received(ConnectionRefusedError())
        await wire.observed()
        assert aep.device(device).online and aep.device(device).endpoint == IMEI

    world.run(work)
