"""The MQTT and TCP fronts on a world's loop: their own figures of time, in no time, and the same bytes in every run."""

import asyncio

import pytest

from tests_host.ctwing.stream_device import NUMBER, TOKEN, connect, login, mqtt, publish

KEEP_ALIVE = 3600  # the guide's, §4.2.3


class Plug:
    """A device's end of a connection in memory: what came, and whether the platform closed it."""

    def __init__(self, loop, port, peer=("10.0.0.1", 40000)):
        self.came, self.ended = b"", False
        self.transport = loop.servers[port].accept(peer, self._out, self._end)

    def _out(self, data):
        self.came += data

    def _end(self, abortive):
        self.ended = True

    def send(self, data):
        self.transport.arrive(bytes.fromhex(data) if isinstance(data, str) else data)


async def device_of(world, protocol, **settings):
    """A platform with a device; and what makes a connection to it."""
    aep = world.aep(**settings)
    device = aep.create_device(aep.create_product("meter", protocol=protocol), name="m", number=NUMBER, token=TOKEN)
    _, port = await getattr(aep, "start_" + protocol)()
    return aep, device, lambda **peer: Plug(world.loop, port, **peer)


async def entered(world, protocol):
    """A platform, a device, and its connection, on which it has logged in."""
    aep, device, plug = await device_of(world, protocol)
    one = plug()
    one.send((connect if protocol == "mqtt" else login)(device, TOKEN))
    return aep, device, one


def test_a_heartbeat_within_five_minutes_keeps_a_tcp_device_and_its_lack_ends_it(world):
    async def work():
        aep, device, one = await entered(world, "tcp")
        for _ in range(20):
            await asyncio.sleep(299)
            one.send("04")
        assert one.came.hex() == "050000" + "06" * 20
        await asyncio.sleep(299.9)
        one.send("02000161")  # no heartbeat
        assert aep.device(device).online
        await asyncio.sleep(0.2)
        assert one.ended and aep.registrations(device)[0].reason == "no heartbeat for 300 s"

    world.run(work)


def test_a_keep_alive_of_an_hour_ends_after_an_hour_and_a_half_and_any_packet_counts(world):
    async def work():
        aep, device, plug = await device_of(world, "mqtt")
        one = plug()
        one.send(connect(device, TOKEN, keep_alive=KEEP_ALIVE))
        await asyncio.sleep(5399)
        one.send(publish("t", b"{}"))
        await asyncio.sleep(5399)
        assert aep.device(device).online
        await asyncio.sleep(2)
        assert one.ended and aep.registrations(device)[0].reason == "no packet for 5400 s"

    world.run(work)


def test_one_and_a_half_of_an_odd_keep_alive_is_not_cut_short(world):
    async def work():
        _, device, plug = await device_of(world, "mqtt")
        one = plug()
        one.send(connect(device, TOKEN, keep_alive=1))
        await asyncio.sleep(1.45)
        assert not one.ended
        await asyncio.sleep(0.6)
        assert one.ended

    world.run(work)


def test_without_a_keep_alive_an_mqtt_device_may_be_silent_for_ever(world):
    async def work():
        aep, device, one = await entered(world, "mqtt")
        await asyncio.sleep(10**7)
        assert aep.device(device).online and not one.ended

    world.run(work)


def test_a_ban_lasts_two_hours_and_strikes_one_address(world):
    async def work():
        aep, device, plug = await device_of(world, "tcp")
        for _ in range(31):
            last = plug()
            await asyncio.sleep(1)
        assert last.ended
        await asyncio.sleep(7100)
        assert plug().ended
        other = plug(peer=("10.0.0.2", 1))
        other.send(login(device, TOKEN))
        assert other.came.hex() == "050000"
        await asyncio.sleep(200)
        assert not plug().ended

    world.run(work)


@pytest.mark.parametrize(("protocol", "enter", "ack"), [
    ("mqtt", lambda device: connect(device, TOKEN), "40020001"), ("tcp", lambda device: login(device, TOKEN), ""),
])
def test_a_command_waits_until_its_ttl_and_no_longer(world, protocol, enter, ack):
    async def work():
        aep, device, plug = await device_of(world, protocol)
        aep.command(device, "old", ttl=100)
        aep.command(device, "new", ttl=1000)
        await asyncio.sleep(500)
        one = plug()
        one.send(enter(device))
        await asyncio.sleep(1)
        assert one.came.endswith(b"new") and b"old" not in one.came
        one.send(ack)
        assert [command.status for command in aep.commands(device)] == ["EXPIRED", "DELIVERED"]

    world.run(work)


def test_a_command_unacknowledged_until_its_ttl_is_over_has_expired(world):
    async def work():
        aep, device, one = await entered(world, "mqtt")
        aep.command(device, "x", ttl=20)
        await asyncio.sleep(31)
        assert [(command.status, command.result) for command in aep.commands(device)] == [("EXPIRED", "no answer")]

    world.run(work)


@pytest.mark.parametrize("sign", ["c000", publish("t", b"{}").hex()])
def test_a_command_unacknowledged_comes_again_at_an_mqtt_devices_next_sign_of_life(world, sign):
    async def work():
        aep, device, one = await entered(world, "mqtt")
        aep.command(device, "one")
        await asyncio.sleep(100)
        assert one.came.count(b"one") == 1
        one.send(sign)
        await asyncio.sleep(1)
        assert one.came.endswith(b"\0\2one")
        one.send("40020002")
        assert [command.status for command in aep.commands(device)] == ["DELIVERED"]

    world.run(work)


def test_a_late_puback_delivers_a_command_and_it_does_not_come_again(world):
    async def work():
        aep, device, one = await entered(world, "mqtt")
        aep.command(device, "one")
        await asyncio.sleep(100)
        one.send("40020001")
        await asyncio.sleep(1)
        assert one.came.count(b"one") == 1
        assert [(command.status, command.result) for command in aep.commands(device)] == [("DELIVERED", "PUBACK")]

    world.run(work)


@pytest.mark.parametrize("sign", ["04", "02000161"])
def test_a_tcp_command_kept_back_by_a_half_open_connection_goes_at_the_next_sign_of_life(world, sign):
    async def work():
        aep, device, one = await entered(world, "tcp")
        aep.fault("half-open", device)
        aep.command(device, "one")
        await asyncio.sleep(100)
        aep.heal("half-open", device)
        assert b"one" not in one.came
        one.send(sign)
        await asyncio.sleep(1)
        assert one.came.endswith(b"one")

    world.run(work)


@pytest.mark.parametrize("switch", ["forget-session", "restart"])
def test_a_platform_that_forgets_closes_the_connection(world, switch):
    async def work():
        aep, device, one = await entered(world, "mqtt")
        aep.fault(switch)
        assert one.ended and not aep.device(device).online

    world.run(work)


def test_a_device_added_again_is_off_line_and_needs_its_new_token(world):
    async def work():
        aep, device, plug = await device_of(world, "tcp")
        one = plug()
        one.send(login(device, TOKEN))
        assert aep.recreate(device) == device and one.ended
        two, three = plug(), plug()
        two.send(login(device, TOKEN))
        three.send(login(device, aep.device(device).token))
        assert (two.came.hex(), three.came.hex()) == ("050003", "050000")

    world.run(work)


def test_a_stopped_platform_closes_its_connections_and_takes_no_more(world):
    async def work():
        aep, device, plug = await device_of(world, "mqtt")
        one, two = plug(), plug()
        one.send(connect(device, TOKEN))
        aep.stop()
        assert one.ended and two.ended and not world.loop.servers
        assert aep.registrations(device)[0].reason == "platform stopped"

    world.run(work)


def test_every_run_of_a_seed_has_the_same_trace(world):
    def traced():
        async def work():
            aep, device, plug = await device_of(world, "mqtt")
            one = plug()
            one.send(connect(device, TOKEN) + publish("t", b"{}", 1) + publish("t", b"no", 2) + mqtt(0xC0, b""))
            aep.command(device, "x")
            await asyncio.sleep(1)
            one.send("40020001" + "62020001")
            rows = [(row.direction, row.raw) for row in aep.trace()]
            aep.stop()
            return rows

        return world.run(work)

    assert traced() == traced() != []
