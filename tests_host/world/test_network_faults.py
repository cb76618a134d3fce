"""What may go wrong on the way: order, number and time of datagrams, strangers, names."""

import asyncio

import pytest

from tests_host.world.test_network import AEP, HERE, World

STRANGER = ("203.0.113.7", 5683)


def numbers_sent(world, count, pause=0.2, after=10.0):
    """What the platform gets of so many datagrams, in its order."""

    async def script(world):
        for n in range(count):
            world.leg.send(b"%d" % n, AEP)
            await asyncio.sleep(pause)
        await asyncio.sleep(after)

    world.play(script)
    return [int(data) for _, data, _ in world.platform.got]


def test_duplicated_datagrams_arrive_a_second_time_and_are_one_on_the_wire():
    world = World()
    world.network.duplicated = 0.5
    got = numbers_sent(world, 100)
    assert set(got) == set(range(100))
    assert 30 < len(got) - 100 < 70
    assert len(world.network.trace) == 100


def test_datagrams_that_are_held_up_are_overtaken_and_none_is_lost():
    world = World()
    world.network.held_up = 0.3
    got = numbers_sent(world, 100)
    assert sorted(got) == list(range(100)) != got


def test_nothing_arrives_during_a_blackout_in_either_direction():
    world = World()

    async def script(world):
        world.leg.send(b"before", AEP)
        await asyncio.sleep(1)
        world.network.blackout_until = world.loop.time() + 20
        world.leg.send(b"up", AEP)
        world.answer(b"down")
        await asyncio.sleep(20)
        world.leg.send(b"after", AEP)
        await asyncio.sleep(1)

    world.play(script)
    assert [data for _, data, _ in world.platform.got] == [b"before", b"after"]
    assert world.arrived == []
    assert [d.lost for d in world.network.trace] == [False, True, True, False]


def test_disorder_draws_nothing_from_latency_and_loss():
    quiet, wild = World(loss=0.2), World(loss=0.2)
    wild.network.duplicated, wild.network.held_up = 0.5, 0.5
    numbers_sent(quiet, 50)
    numbers_sent(wild, 50)
    assert [d.lost for d in quiet.network.trace] == [d.lost for d in wild.network.trace]


@pytest.mark.parametrize("data", [b"hello", b""])
def test_a_strangers_datagram_reaches_every_socket_with_its_senders_address(data):
    world = World()

    async def script(world):
        world.network.inject(data, STRANGER)
        await asyncio.sleep(1)

    world.play(script)
    assert [(got, sender) for _, got, sender in world.arrived] == [(data, STRANGER)]
    (datagram,) = world.network.trace
    assert (datagram.direction, datagram.local, datagram.remote) == ("down", HERE, STRANGER)


def test_a_strangers_datagram_finds_nobody_where_no_socket_is_open():
    world = World()

    async def script(world):
        world.leg.close()
        world.network.inject(b"hello", STRANGER)
        await asyncio.sleep(1)

    world.play(script)
    assert world.arrived == [] and world.network.trace == []


def test_a_name_has_the_addresses_it_was_given_last_and_none_while_the_servers_fail():
    world = World()
    world.network.name("AEP.example", ["1.2.3.4", "240E:980::1"])
    assert world.network.resolve("aep.example") == ["1.2.3.4", "240e:980::1"]
    assert world.network.resolve("aep.example", 10) == ["240e:980::1"]
    world.network.name("aep.example", ["5.6.7.8"])
    assert world.network.resolve("aep.example") == ["5.6.7.8"]
    world.network.names_fail = True
    with pytest.raises(OSError, match="-2"):
        world.network.resolve("aep.example")
    assert world.network.resolve("5.6.7.8") == ["5.6.7.8"]
    world.loop.close()


def test_a_platform_is_served_at_an_ipv6_address_however_it_is_written():
    world = World()

    async def script(world):
        real = world.platform.transport.get_extra_info("sockname")
        world.network.serve("240E:980:8120:0028::1", 5683, real)
        leg = world.network.open_udp("240e::2", 50001, world.arrive)
        leg.send(b"six", ("240e:980:8120:28::1", 5683))
        await asyncio.sleep(1)

    world.play(script)
    assert [data for _, data, _ in world.platform.got] == [b"six"]
    assert world.network.trace[0].wire_bytes == 3 + 48
