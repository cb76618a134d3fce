"""Registration, observation, uplinks and commands as ctwing.md §2 documents them, seen from the device's side."""

import asyncio

import pytest

from tests_host.ctwing.raw_device import (
    IMEI,
    IMSI,
    answer,
    mid_of,
    notification,
    on_session,
    option,
    payload_of,
    register,
    token_of,
)

DELETED = 0x42
URN, URN_IMSI = f"urn:imei:{IMEI}", f"urn:imei-imsi:{IMEI}-{IMSI}"


def code_of(message):
    return f"{message[1] >> 5}.{message[1] & 31:02d}"


# registration


@pytest.mark.parametrize(("endpoint_format", "ep", "code"), [
    ("imei", IMEI, "2.01"), ("urn:imei", URN, "2.01"), ("urn:imei-imsi", URN_IMSI, "2.01"),
    ("imei", URN, "4.03"), ("urn:imei", IMEI, "4.03"), ("urn:imei-imsi", URN, "4.03"),
    ("imei", "868543060974335", "4.03"),
    ("imei", "", "4.00"), ("imei", "868 543", "4.00"), ("imei", "8" * 129, "4.00"),
])
def test_only_the_endpoint_of_the_product_registers(world, endpoint_format, ep, code):
    async def work():
        _, wire = await world.device(world.aep(), endpoint_format=endpoint_format)
        answered = await wire.register(ep=ep)
        assert code_of(answered) == code
        if code == "2.01":
            assert answered[5:] == option(8, b"rd") + option(0, ep.encode())

    world.run(work)


def test_a_wrong_endpoint_format_is_rejected_with_the_one_expected(world):
    async def work():
        _, wire = await world.device(world.aep())
        await wire.register(ep=URN)

    world.run(work)
    assert f"expects {IMEI}" in world.events.of("rejected")[0].text


@pytest.mark.parametrize(("lifetime", "code"), [
    ("299", "4.00"), ("300", "2.01"), ("86400", "2.01"), ("86401", "4.00"), ("", "4.00"), ("-300", "4.00"),
    ("9" * 60, "4.00"), ("٣٠٠", "4.00"),
])
def test_lifetime_is_300_to_86400_seconds(world, lifetime, code):
    async def work():
        _, wire = await world.device(world.aep())
        assert code_of(await wire.register(lt=lifetime)) == code

    world.run(work)


@pytest.mark.parametrize(("raw", "code"), [
    (register(1, version="1.1"), "4.12"),
    (register(1, more=("ctapn=Psm0.eDRX0.ctnb", "ctm2m=1.0", "chip", "chip")), "2.01"),
    (register(1, more=(f"ep={IMEI}",)), "4.00"),
    (register(1).replace(b"\x11\x28", b"\x11\x2a"), "4.15"),
    (register(1).replace(b"</1/0>,</19/0>", b";;<3/0>,<19/0"), "2.01"),
    (register(1).replace(b"\xb2rd", b"\xb2bs"), "4.04"),
    (bytes.fromhex("41010001 01b27264"), "4.05"),
    (bytes.fromhex("41030001 01b27264 0131"), "4.05"),
    (bytes.fromhex("41020001 01b27264 0131 0132"), "4.04"),
    (bytes.fromhex("41020001 01"), "4.04"),
    (bytes.fromhex("41020001 01b27264 d10301"), "4.02"),  # Block1: critical, not served
    (on_session(1, 2), "4.04"),
    (on_session(1, 4), "4.04"),
])
def test_requests_get_the_code_of_the_rfc(world, raw, code):
    async def work():
        _, wire = await world.device(world.aep())
        assert code_of(await wire.ask(raw)) == code

    world.run(work)


def test_the_first_registration_activates_the_device_and_puts_it_on_line(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        before = aep.device(device)
        await wire.register()
        after = aep.device(device)
        assert (before.life_cycle, before.online) == ("registered", False)
        assert (after.life_cycle, after.online) == ("activated", True)
        assert aep.registrations(device)[0].objects == "1/0,19/0"

    world.run(work)


def test_lifetime_over_means_off_line_and_404_to_the_next_update(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register(lt="300")
        token = await wire.observed()
        await asyncio.sleep(299 - 1)
        assert aep.device(device).online
        assert code_of(await wire.ask(on_session(2, 2, rest=b"\x46lt=600"))) == "2.04"
        await asyncio.sleep(599)
        assert aep.device(device).online
        await asyncio.sleep(2)
        assert not aep.device(device).online
        assert code_of(await wire.ask(on_session(3, 2))) == "4.04"
        assert (await wire.notify(4, token))[0] == 0x70
        assert [(end.reason, end.lifetime) for end in aep.registrations(device)] == [("lifetime over", 600)]

    world.run(work)
    assert len(world.events.of("offline")) == 1


@pytest.mark.parametrize("kind", [0, 1])
def test_deregister_is_taken_confirmable_or_not(world, kind):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        await wire.observed()
        gone = await wire.ask(on_session(9, 4, kind=kind))
        assert gone[1] == DELETED and gone[0] >> 4 & 3 == (2, 1)[kind]
        assert not aep.device(device).online

    world.run(work)


def test_registering_anew_replaces_tokens_and_stays_on_line(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register(1)
        old = await wire.observed()
        await wire.register(2)
        new = await wire.observed()
        assert old != new
        assert (await wire.notify(3, old))[0] == 0x70
        assert (await wire.notify(4, new))[0] == 0x60

    world.run(work)
    assert not world.events.of("offline") and len(world.events.of("online")) == 1


def test_short_tokens_of_earlier_registrations_are_not_given_again_soon(world):
    async def work():
        _, wire = await world.device(world.aep(token_length=1, seed=2))  # without retiring, 2 repeats one
        tokens = []
        for mid in range(30):
            await wire.register(mid)
            tokens.append(await wire.observed())
        assert len(set(tokens)) == 30

    world.run(work)


# observation


def test_the_platform_asks_3_0_then_19_0_0_then_4_0_8_each_after_the_answer(world):
    async def work():
        _, wire = await world.device(world.aep())
        await wire.register()
        paths, mids, tokens = [], [], set()
        for _ in range(3):
            request = await wire.receive()
            assert await wire.silent(1.5)
            wire.send(answer(request, 0x45, b"\x60"))
            paths.append(request[4 + 4:])
            mids.append(mid_of(request))
            tokens.add(token_of(request))
        assert paths == [b"\x60\x513\x010", b"\x60\x5219\x010\x010\x61\x2a", b"\xb14\x010\x018"]
        assert mids == [mids[0] + n & 0xFFFF for n in range(3)] and len(tokens) == 3
        assert await wire.silent()

    world.run(work)
    assert [event.data["path"] for event in world.events.of("observed")] == ["/3/0", "/19/0/0"]


def test_without_auto_observe_nothing_is_asked(world):
    async def work():
        _, wire = await world.device(world.aep(), auto_observe=False)
        await wire.register()
        assert await wire.silent(100)

    world.run(work)


@pytest.mark.parametrize("length", range(1, 9))
def test_tokens_have_the_length_asked_for(world, length):
    async def work():
        _, wire = await world.device(world.aep(token_length=length))
        await wire.register()
        assert len(await wire.observed()) == length

    world.run(work)


def test_token_lengths_are_drawn_for_each_registration_when_none_is_given(world):
    async def work():
        _, wire = await world.device(world.aep(token_length=None))
        lengths = set()
        for mid in range(20):
            await wire.register(mid)
            lengths.add(len(await wire.observed()))
        assert len(lengths) > 3 and lengths <= set(range(1, 9))

    world.run(work)


@pytest.mark.parametrize("reply", ["rst", "no observe", "4.04"])
def test_an_observe_that_fails_leaves_no_token_but_the_next_request_follows(world, reply):
    async def work():
        _, wire = await world.device(world.aep())
        await wire.register()
        wire.send(answer(await wire.receive(), 0x45, b"\x60"))
        request = await wire.receive()
        wire.send({"rst": b"\x70\0" + request[2:4], "no observe": answer(request, 0x45),
                   "4.04": answer(request, 0x84)}[reply])
        assert (await wire.receive()).endswith(b"\xb14\x010\x018")
        assert (await wire.notify(5, token_of(request)))[0] == 0x70

    world.run(work)
    assert len(world.events.of("observed")) == 1


def test_an_observe_nobody_answered_is_asked_again_after_an_update(world):
    async def work():
        _, wire = await world.device(world.aep())
        await wire.register()
        await asyncio.sleep(100)
        while not wire.came.empty():
            wire.came.get_nowait()
        await wire.ask(on_session(2, 2))
        token = await wire.observed()
        assert (await wire.notify(3, token))[0] == 0x60

    world.run(work)


# uplinks


@pytest.mark.parametrize("options", [
    b"\x61\x01\x61\x2a", b"\x60\x61\x2a", b"\xc1\x2a", b"\x60\x5219\x010\x010\x11\x2a", b"",
], ids=["counting", "Observe 0", "no Observe", "Uri-Path", "no option"])
def test_notifies_are_matched_by_token_whatever_their_options(world, options):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        token = await wire.observed()
        for mid in (100, 101):
            assert await wire.ask(notification(mid, token, b"x", options=options)) == b"\x60\0\0" + bytes([mid])
        assert [(up.payload, up.kind, up.acknowledged) for up in aep.uplinks(device)] == [(b"x", "CON", True)] * 2

    world.run(work)


def test_a_non_notify_is_stored_and_not_acknowledged(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        token = await wire.observed()
        wire.send(notification(7, token, b"x", kind=1))
        assert await wire.silent()
        assert [(up.kind, up.acknowledged) for up in aep.uplinks(device)] == [("NON", False)]

    world.run(work)


def test_an_uplink_is_stored_before_its_ack_goes_out(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        token = await wire.observed()
        stored = []
        send = aep.front._transport.sendto
        aep.front._transport.sendto = lambda data, addr: (stored.append(len(aep.uplinks(device))), send(data, addr))
        await wire.notify(7, token)
        assert stored == [1]

    world.run(work)


@pytest.mark.parametrize(("body", "stored"), [(b"", []), (b"\xffhello", [b"hello"])])
def test_the_first_answer_is_an_uplink_only_when_it_has_a_body(world, body, stored):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        wire.send(answer(await wire.receive(), 0x45, b"\x60\xff\x00"))
        wire.send(answer(await wire.receive(), 0x45, b"\x60\x61\x2a" + body))
        await wire.receive()
        assert [up.payload for up in aep.uplinks(device)] == stored

    world.run(work)


def test_a_notify_that_overtakes_a_lost_observe_answer_counts(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        wire.send(answer(await wire.receive(), 0x45, b"\x60"))
        token = token_of(await wire.receive())  # its answer is lost
        assert (await wire.notify(7, token))[0] == 0x60
        assert [up.payload for up in aep.uplinks(device)] == [b"helloworld"]
        assert (await wire.receive()).endswith(b"\xb14\x010\x018")

    world.run(work)


def test_a_token_is_known_from_a_new_port_and_answers_go_there(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        token = await wire.observed()
        aep.command(device, "open")
        woken = await world.wire(wire.platform)
        assert (await woken.notify(7, token))[0] == 0x60
        assert payload_of(await woken.receive()) == b"open"
        assert wire.came.empty()

    world.run(work)


def test_an_error_notification_ends_the_observation(world):
    async def work():
        _, wire = await world.device(world.aep())
        await wire.register()
        token = await wire.observed()
        assert (await wire.ask(bytes([0x44, 0x84, 0, 7]) + token))[0] == 0x60
        assert (await wire.notify(8, token))[0] == 0x70

    world.run(work)
