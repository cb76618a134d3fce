"""Fault switches, seen from the device's side: what each does, to whom, how often, and that it ends."""

import asyncio

import pytest

from tests_host.ctwing.raw_device import IMEI, answer, mid_of, notification, on_session, payload_of, register, token_of
from tools.ctwing.checks import AepError
from tools.ctwing.faults import TABLE

ACK, RST, CREATED, CHANGED, CONTENT = 0x60, 0x70, 0x41, 0x44, 0x45
OTHER = "868543060974335"


def code_of(message):
    return f"{message[1] >> 5}.{message[1] & 31:02d}"


def drain(wire):
    while not wire.came.empty():
        wire.came.get_nowait()


def stored(aep, device):
    return [(uplink.payload, uplink.acknowledged) for uplink in aep.uplinks(device)]


# to whom, how often


def test_a_switch_strikes_so_many_messages_and_is_then_off(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        aep.fault("refuse-register", device, strikes=2, value="5.03")
        codes = [code_of(await wire.register(mid)) for mid in range(3)]
        assert codes == ["5.03", "5.03", "2.01"]
        assert [(event.data["what"], event.data["device"]) for event in world.events.of("switch")] == [
            ("on", device), ("strikes", device), ("strikes", device), ("off", device)]

    world.run(work)


def test_a_switch_stays_on_until_it_is_switched_off(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        aep.fault("refuse-register", device)
        codes = [code_of(await wire.register(mid)) for mid in range(5)]
        assert codes == ["4.03"] * 5 and aep.heal("refuse-register", device)
        assert code_of(await wire.register(9)) == "2.01"
        assert not aep.heal("refuse-register", device)

    world.run(work)


def test_a_switch_of_one_device_leaves_the_others_alone_and_one_for_all_does_not(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        aep.create_device(aep.device(device).product, name="other", imei=OTHER)
        aep.fault("refuse-register", device)
        assert [code_of(await wire.register(1)), code_of(await wire.register(2, OTHER))] == ["4.03", "2.01"]
        aep.fault("refuse-register", value="4.00")
        assert [code_of(await wire.register(3)), code_of(await wire.register(4, OTHER))] == ["4.03", "4.00"]

    world.run(work)


@pytest.mark.parametrize(("settings", "text"), [
    ({"name": "no-such"}, "no switch"), ({"name": None}, "no switch"), ({"device": "0" * 32}, "no device"),
    ({"strikes": 0}, "strikes"), ({"strikes": True}, "strikes"), ({"strikes": 1.5}, "strikes"),
    ({"value": "2.05"}, "error code"), ({"value": 403}, "error code"), ({"value": "4.99"}, "error code"),
    ({"name": "late-observe", "value": -1}, "time"), ({"name": "late-observe", "value": True}, "time"),
    ({"name": "late-observe", "value": "5"}, "time"), ({"name": "late-observe", "value": 1e9}, "time"),
    ({"name": "flood", "value": 0}, "1…1000"), ({"name": "flood", "value": 1001}, "1…1000"),
    ({"name": "long-lifetime", "value": "yes"}, "honoured"), ({"name": "ping", "value": 1}, "no argument"),
])
def test_a_switch_that_cannot_be_set_is_refused(world, settings, text):
    aep = world.aep()
    with pytest.raises(AepError, match=text):
        aep.fault(settings.pop("name", "refuse-register"), **settings)
    assert not aep.front.faults.on() and world.events.log == []


def test_every_switch_has_a_name_a_text_and_a_default_that_it_takes(world):
    names = [switch.name for switch in TABLE]
    assert len(set(names)) == len(names) > 20
    aep = world.aep()
    for switch in TABLE:
        assert switch.text and bool(switch.argument) == (switch.default is not None)
        aep.fault(switch.name)


# at registration


@pytest.mark.parametrize(("switch", "message"), [("silent-register", register(1)), ("silent-update", on_session(1, 2))])
def test_silence_has_no_effect_and_ends_with_a_retransmission(world, switch, message):
    async def work():
        aep = world.aep()
        device, wire, _ = await world.registered(aep)
        before = len(aep.registrations(device)), aep.registrations(device)[-1].updated
        aep.fault(switch, device, strikes=2)
        await asyncio.sleep(300)
        other = await world.wire(wire.platform)
        for _ in range(2):
            other.send(message)
            assert await other.silent()
        assert (len(aep.registrations(device)), aep.registrations(device)[-1].updated) == before
        assert code_of(await other.ask(message)) in ("2.01", "2.04")

    world.run(work)


@pytest.mark.parametrize("code", ["4.04", "4.01", "5.00"])
def test_a_refused_update_changes_nothing(world, code):
    async def work():
        aep = world.aep()
        device, wire, _ = await world.registered(aep)
        aep.command(device, "waits")
        aep.fault("refuse-update", device, strikes=1, value=code)
        assert code_of(await wire.ask(on_session(5, 2))) == code
        assert await wire.silent() and aep.device(device).online
        assert code_of(await wire.ask(on_session(6, 2))) == "2.04"

    world.run(work)


@pytest.mark.parametrize(("mode", "lives"), [("honoured", 30 * 86400), ("cut", 86400)])
def test_long_lifetimes_are_honoured_or_cut(world, mode, lives):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep, auto_observe=False)
        assert code_of(await wire.register(1, lt="2592000")) == "4.00"
        aep.fault("long-lifetime", value=mode)
        assert code_of(await wire.register(2, lt="2592001")) == "4.00"
        assert code_of(await wire.register(3, lt="2592000")) == "2.01"
        await asyncio.sleep(lives - 1)
        assert aep.device(device).online
        await asyncio.sleep(2)
        assert not aep.device(device).online

    world.run(work)


def test_an_update_without_lifetime_keeps_the_cut_one(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep, auto_observe=False)
        aep.fault("long-lifetime", value="cut")
        await wire.register(3, lt="2592000")
        await asyncio.sleep(86399)
        assert code_of(await wire.ask(on_session(4, 2))) == "2.04"
        await asyncio.sleep(86399)
        assert aep.device(device).online
        await asyncio.sleep(2)
        assert not aep.device(device).online

    world.run(work)


# reports


def test_a_dropped_ack_leaves_the_report_stored_and_the_retransmission_is_acknowledged(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.fault("drop-ack", device, strikes=2)
        for _ in range(2):
            wire.send(notification(7, token, b"x"))
            assert await wire.silent()
            assert stored(aep, device) == [(b"x", False)]
        assert await wire.notify(7, token, b"x") == b"\x60\0\0\7"
        assert stored(aep, device) == [(b"x", True)]

    world.run(work)


def test_a_dropped_report_is_stored_when_it_comes_again(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.fault("drop-report", device, strikes=1)
        wire.send(notification(7, token, b"x"))
        assert await wire.silent() and stored(aep, device) == []
        assert (await wire.notify(7, token, b"x"))[0] == ACK
        assert stored(aep, device) == [(b"x", True)]

    world.run(work)


def test_a_report_is_reset_every_time_it_comes(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.fault("reset-report", device, strikes=1)
        assert (await wire.notify(7, token))[0] == RST == (await wire.notify(7, token))[0]
        assert (await wire.notify(8, token))[0] == ACK and len(aep.uplinks(device)) == 1

    world.run(work)


@pytest.mark.parametrize(("switch", "answers"), [("drop-ack", ""), ("drop-report", ""), ("reset-report", "70000007")])
def test_a_report_that_overtakes_the_answer_to_its_observe_is_a_report(world, switch, answers):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        wire.send(answer(await wire.receive(), CONTENT, b"\x60"))
        token = token_of(await wire.receive())
        aep.fault(switch, device, strikes=1)
        wire.send(notification(7, token, b"x"))
        await asyncio.sleep(0.01)
        assert (wire.came.get_nowait().hex() if answers else "") == answers
        assert len(aep.uplinks(device)) == (switch == "drop-ack")

    world.run(work)


@pytest.mark.parametrize(("switch", "answers"), [("reset-new-address", [RST]), ("ignore-new-address", [])])
def test_a_report_from_a_new_address_is_reset_or_ignored_until_an_update(world, switch, answers):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.fault(switch, device)
        moved = await world.wire(wire.platform)
        moved.send(notification(7, token, b"x"))
        await asyncio.sleep(1)
        assert [moved.came.get_nowait()[0] for _ in range(moved.came.qsize())] == answers
        assert (await wire.notify(8, token))[0] == ACK  # the old address is as good as before
        await moved.ask(on_session(9, 2))
        assert (await moved.notify(10, token))[0] == ACK

    world.run(work)


def test_a_retransmission_from_a_new_port_is_stored_once_and_the_device_is_answered_there(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.command(device, "open")
        aep.fault("drop-ack", device, strikes=1)
        wire.send(notification(7, token, b"x"))
        assert payload_of(await wire.receive()) == b"open"
        moved = await world.wire(wire.platform)
        assert (await moved.notify(7, token, b"x"))[0] == ACK
        assert stored(aep, device) == [(b"x", True)]
        assert payload_of(await moved.receive(4)) == b"open"

    world.run(work)


# the session and its observations


@pytest.mark.parametrize("switch", ["forget-session", "restart"])
def test_a_forgotten_session_is_404_to_an_update_and_rst_to_a_report(world, switch):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        await wire.notify(6, token, b"x")
        aep.fault(switch, device)
        assert (await wire.notify(7, token))[0] == RST
        assert code_of(await wire.ask(on_session(8, 2))) == "4.04"
        assert not aep.device(device).online and stored(aep, device) == [(b"x", True)]
        assert code_of(await wire.register(9)) == "2.01"

    world.run(work)


def test_a_restart_forgets_every_session_and_what_it_had_acknowledged(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        await wire.notify(6, token)
        other = aep.create_device(aep.device(device).product, name="other", imei=OTHER)
        await (await world.wire(wire.platform)).register(1, OTHER)
        aep.fault("restart", device)
        assert [one.online for one in map(aep.device, (device, other))] == [False, False]
        assert (await wire.notify(6, token))[0] == RST

    world.run(work)


def test_a_forgotten_observation_leaves_the_registration(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.fault("forget-observation", device)
        assert (await wire.notify(7, token))[0] == RST
        assert code_of(await wire.ask(on_session(8, 2))) == "2.04"

    world.run(work)


def test_another_token_takes_the_place_of_the_first_once_it_is_observed(world):
    async def work():
        aep = world.aep()
        device, wire, old = await world.registered(aep)
        aep.fault("re-observe", device, strikes=1)
        assert (await wire.notify(7, old))[0] == ACK
        observe = await wire.receive()
        assert observe.endswith(b"\x60\x5219\x010\x010\x61\x2a") and token_of(observe) != old
        assert (await wire.notify(8, old))[0] == ACK
        wire.send(answer(observe, CONTENT, b"\x60\x61\x2a"))
        assert await wire.silent()
        assert (await wire.notify(9, token_of(observe)))[0] == ACK
        assert (await wire.notify(10, old))[0] == RST

    world.run(work)


def test_observe_comes_late(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        aep.fault("late-observe", device, value=7)
        await wire.register()
        assert await wire.silent(6.9)
        assert b"\x513\x010" in await wire.receive(0.2)

    world.run(work)


def test_nothing_is_observed_after_one_registration(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        aep.fault("no-observe", device, strikes=1)
        await wire.register()
        assert await wire.silent(100)
        await wire.register(2)
        assert await wire.observed()

    world.run(work)


def test_a_lost_observe_comes_again_after_the_ack_timeout(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        aep.fault("lost-observe", device, strikes=1)
        await wire.register()
        wire.send(answer(await wire.receive(), CONTENT, b"\x60"))
        assert await wire.silent(2)
        assert b"19" in await wire.receive(1.1)

    world.run(work)


# the platform's own requests


def test_every_request_comes_twice_with_one_mid(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        aep.fault("duplicate-requests", device, strikes=1)
        await wire.register()
        first, second = await wire.receive(), await wire.receive()
        assert first == second
        wire.send(answer(first, CONTENT, b"\x60"))
        assert await wire.receive() != first

    world.run(work)


def test_an_answered_command_comes_again_with_another_mid_and_token_and_stays_delivered(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.command(device, "open")
        aep.fault("repeat-commands", device, strikes=1)
        await wire.notify(7, token)
        first = await wire.receive()
        wire.send(answer(first, CHANGED))
        again = await wire.receive()
        assert payload_of(again) == payload_of(first) == b"open"
        assert mid_of(again) != mid_of(first) and token_of(again) != token_of(first)
        wire.send(answer(again, 0x80))
        assert await wire.silent()
        assert [(c.status, c.result) for c in aep.commands(device)] == [("DELIVERED", "2.04")]

    world.run(work)


def test_cached_commands_come_at_once(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        for text in ("one", "two", "three"):
            aep.command(device, text)
        aep.fault("burst-commands", device)
        await wire.notify(7, token)
        writes = [await wire.receive(0.2) for _ in range(3)]
        assert [payload_of(write) for write in writes] == [b"one", b"two", b"three"]
        for write in reversed(writes):
            wire.send(answer(write, CHANGED))
        assert await wire.silent(100)
        assert [c.status for c in aep.commands(device)] == ["DELIVERED"] * 3

    world.run(work)


def test_commands_come_non_and_are_not_sent_again(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.command(device, "one")
        aep.fault("non-writes", device)
        await wire.notify(7, token)
        write = await wire.receive()
        assert write[0] >> 4 & 3 == 1
        assert await wire.silent(60)
        wire.send(bytes([0x50 | write[0] & 15, CHANGED, 0, 99]) + token_of(write))
        assert await wire.silent()
        assert [c.status for c in aep.commands(device)] == ["DELIVERED"]

    world.run(work)


def test_a_flood_is_so_many_requests_and_no_answer_is_waited_for(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.fault("flood", device, strikes=1, value=120)
        await wire.notify(7, token)
        await asyncio.sleep(100)
        came = [wire.came.get_nowait() for _ in range(wire.came.qsize())]
        assert len(came) == len({mid_of(one) for one in came}) == 120 and {one[0] & 0xF0 for one in came} == {0x40}
        wire.send(answer(came[0], CONTENT, b"\xffQuectel"))
        assert await wire.silent()
        assert aep.front.counters["strays"] == 1

    world.run(work)


def test_garbage_is_bytes_of_chance_the_same_for_a_seed(world):
    async def work():
        found = []
        for _ in range(2):
            aep = world.aep()
            device, wire, token = await world.registered(aep)
            aep.fault("garbage", device, strikes=1, value=30)
            await wire.notify(7, token)
            await asyncio.sleep(1)
            found.append([wire.came.get_nowait() for _ in range(wire.came.qsize())])
        assert found[0] == found[1] and len(set(found[0])) == 30

    world.run(work)


def test_a_ping_is_an_empty_con(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.fault("ping", device, strikes=1)
        await wire.notify(7, token)
        ping = await wire.receive()
        assert ping[:2] == b"\x40\0" and len(ping) == 4
        wire.send(b"\x70\0" + ping[2:])
        assert await wire.silent()

    world.run(work)


def test_one_request_of_every_kind_follows_each_after_the_answer(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.fault("every-request", device, strikes=1)
        await wire.notify(7, token)
        methods = []
        while not wire.came.empty() or not await wire.silent():
            request = await wire.receive()
            methods.append(request[1])
            wire.send(answer(request, 0x84))
        assert set(methods) == {1, 2, 3, 4} and len(methods) > 20
        assert (await wire.notify(8, token))[0] == ACK

    world.run(work)


# answers


def test_answers_come_late_and_the_same_to_every_retransmission(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.fault("delay-answers", device, value=2)
        wire.send(notification(7, token, b"x"))
        wire.send(notification(7, token, b"x"))
        assert await wire.silent(1.9)
        assert await wire.receive(0.2) == await wire.receive(0.1) == b"\x60\0\0\7"
        assert stored(aep, device) == [(b"x", True)]

    world.run(work)


def test_register_gets_an_empty_ack_and_then_its_answer_until_that_is_acknowledged(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep, auto_observe=False)
        aep.fault("separate-answers", device, strikes=1)
        assert await wire.register(5) == b"\x60\0\0\5"
        response = await wire.receive()
        assert response[0] >> 4 & 3 == 0 and response[1] == CREATED and token_of(response) == b"\1"
        assert IMEI.encode() in response
        assert await wire.receive(4) == response
        wire.send(b"\x60\0" + response[2:4])
        assert await wire.silent(100)
        assert await wire.register(5) == b"\x60\0\0\5" and await wire.silent(100)

    world.run(work)


def test_a_device_that_is_created_again_has_a_new_id_and_must_register(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        await wire.notify(6, token, b"x")
        again = aep.recreate(device)
        assert again != device and (await wire.notify(7, token))[0] == RST
        assert code_of(await wire.ask(on_session(8, 2))) == "4.04"
        assert code_of(await wire.register(9)) == "2.01"
        token = await wire.observed()
        await wire.notify(10, token, b"y")
        assert [up.payload for up in aep.uplinks(again)] == [b"y"]
        assert [up.payload for up in aep.all_uplinks(again)] == [b"x", b"y"]

    world.run(work)
