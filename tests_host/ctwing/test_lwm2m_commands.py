"""Commands on the wire: cached, flushed one at a time, refused, expired, taken back (ctwing.md §2.4, §2.8, §6.2)."""

import asyncio

import pytest

from tests_host.ctwing.raw_device import answer, mid_of, notification, on_session, payload_of

CHANGED = 0x44


def states(aep, device):
    return [(command.status, command.result) for command in aep.commands(device)]


@pytest.mark.parametrize("power_mode", ["PSM", "eDRX"])
@pytest.mark.parametrize("trigger", ["uplink", "update"])
def test_cached_commands_go_in_order_after_an_uplink_or_update_one_at_a_time(world, power_mode, trigger):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep, power_mode=power_mode)
        for text in ("one", "two", "three"):
            aep.command(device, text)
        assert await wire.silent(600)
        await wire.ask(notification(7, token, b"x") if trigger == "uplink" else on_session(7, 2))
        for text in (b"one", b"two", b"three"):
            write = await wire.receive()
            assert write.endswith(b"\xb219\x011\x010\x11\x2a\xff" + text)
            assert await wire.silent(1.5)  # nothing more before the ACK
            wire.send(answer(write, CHANGED))
        assert await wire.silent()
        assert states(aep, device) == [("DELIVERED", "2.04")] * 3

    world.run(work)


def test_a_drx_device_on_line_gets_its_command_at_once(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep, power_mode="DRX")
        aep.command(device, "early")
        await wire.register()
        await wire.observed()
        write = await wire.receive()
        assert payload_of(write) == b"early"
        wire.send(answer(write, CHANGED))
        await asyncio.sleep(100)
        t = world.loop.time()
        aep.command(device, "now")
        assert payload_of(await wire.receive()) == b"now" and world.loop.time() == t

    world.run(work)


def test_an_expired_command_is_never_sent(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.command(device, "short", ttl=60)
        aep.command(device, "long", ttl=3600)
        await asyncio.sleep(61)
        assert states(aep, device) == [("EXPIRED", "ttl over"), ("SAVED", "")]
        await wire.notify(7, token)
        assert payload_of(await wire.receive()) == b"long"

    world.run(work)


@pytest.mark.parametrize(("online", "status"), [(False, "FAILED"), (True, "DELIVERED")])
def test_ttl_0_goes_at_once_or_fails(world, online, status):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        if online:
            await wire.register()
            await wire.observed()
        aep.command(device, "cached" * online or "x")
        aep.command(device, "now", ttl=0)
        if online:
            write = await wire.receive()
            assert payload_of(write) == b"now"  # the cached one of a PSM product stays cached
            wire.send(answer(write, CHANGED))
        assert await wire.silent()
        assert [command.status for command in aep.commands(device)] == ["SAVED", status]

    world.run(work)


def test_a_command_of_a_psm_product_waits_for_the_next_uplink_though_one_was_just_flushed(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        await wire.notify(7, token)
        assert await wire.silent()
        aep.command(device, "cached")
        aep.command(device, "now", ttl=0)
        write = await wire.receive()
        assert payload_of(write) == b"now"
        wire.send(answer(write, CHANGED))
        assert await wire.silent(100)

    world.run(work)


def test_a_command_answered_after_its_ttl_is_delivered(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.command(device, "one", ttl=1)
        await wire.notify(7, token)
        write = await wire.receive()
        await asyncio.sleep(1.5)
        wire.send(answer(write, CHANGED))
        assert await wire.silent()
        assert states(aep, device) == [("DELIVERED", "2.04")]

    world.run(work)
    assert not world.events.of("command-expired")


def test_commands_not_cached_fail_when_the_device_leaves(world):
    async def work():
        aep = world.aep()
        device, wire, _ = await world.registered(aep)
        aep.command(device, "under way", ttl=0)
        aep.command(device, "behind it", ttl=0)
        await wire.receive()
        await wire.ask(on_session(7, 4))
        assert states(aep, device) == [("FAILED", "deregistered")] * 2

    world.run(work)


@pytest.mark.parametrize(("reply", "result"), [(0x80, "4.00"), (0x84, "4.04"), (0x85, "4.05"), (0xA0, "5.00"),
                                               (0, "RST")])
def test_a_refused_command_fails_with_the_devices_code_and_the_next_one_goes(world, reply, result):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.command(device, "one")
        aep.command(device, "two")
        await wire.notify(7, token)
        write = await wire.receive()
        wire.send(answer(write, reply) if reply else b"\x70\0" + write[2:4])
        wire.send(answer(await wire.receive(), CHANGED))
        assert await wire.silent()
        assert states(aep, device) == [("FAILED", result), ("DELIVERED", "2.04")]

    world.run(work)


@pytest.mark.parametrize(("ttl", "after"), [(7200, ("SAVED", "no answer")), (30, ("EXPIRED", "no answer")),
                                            (0, ("FAILED", "no answer"))])
def test_a_command_nobody_acknowledges_waits_again_or_ends(world, ttl, after):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.command(device, "one", ttl=ttl)
        await wire.notify(7, token)
        assert payload_of(await wire.receive()) == b"one"
        assert aep.commands(device)[0].status == "SENT"
        await asyncio.sleep(95)
        assert states(aep, device) == [after]
        while not wire.came.empty():
            wire.came.get_nowait()
        await wire.notify(8, token)
        if ttl == 7200:
            wire.send(answer(await wire.receive(), CHANGED))
        assert await wire.silent()
        assert states(aep, device)[0][0] == ("DELIVERED" if ttl == 7200 else after[0])

    world.run(work)


def test_a_command_under_way_when_the_device_registers_anew_goes_again(world):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep)
        aep.command(device, "one")
        await wire.notify(7, token)
        late = await wire.receive()
        await wire.register(8)
        token = await wire.observed()
        wire.send(answer(late, CHANGED))  # its exchange is over: a stray
        await wire.notify(9, token)
        write = await wire.receive()
        assert payload_of(write) == b"one" and mid_of(write) != mid_of(late)

    world.run(work)


def test_two_platforms_of_one_seed_say_the_same_bytes_at_the_same_times(world):
    async def work():
        traces = []
        for _ in range(2):
            aep, start = world.aep(seed=7, token_length=None), world.loop.time()
            device, wire, token = await world.registered(aep)
            aep.command(device, "one")
            await wire.notify(7, token)
            await asyncio.sleep(100)
            traces.append([(round(row.t - start, 6), row.direction, row.raw) for row in aep.trace()])
        assert traces[0] == traces[1] and len(traces[0]) > 10

    world.run(work)
