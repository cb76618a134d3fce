"""The network between modules and platform: routing, latency, loss, NAT, and what it remembers."""

import asyncio
from pathlib import Path

import pytest

from tools.world.clock import WorldLoop
from tools.world.events import Events
from tools.world.network import Network

AEP = ("221.229.214.202", 5683)
HERE = ("10.1.2.3", 50000)


class Platform(asyncio.DatagramProtocol):
    def __init__(self, loop):
        self.loop, self.got = loop, []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.got.append((self.loop.now_us, data, addr))


class World:
    """A platform at AEP's address and one module; `play(coroutine function)` runs to its end."""

    def __init__(self, **options):
        self.loop = WorldLoop(1000)
        asyncio.set_event_loop(self.loop)
        self.events = Events(self.loop.time)
        self.network = Network(self.loop, self.events, seed=options.pop("seed", 7), **options)
        self.arrived = []

    def play(self, script):
        async def main():
            transport, self.platform = await self.loop.create_datagram_endpoint(
                lambda: Platform(self.loop), local_addr=("127.0.0.1", 0)
            )
            self.network.serve(*AEP, transport.get_extra_info("sockname"), ["lwm2m.ctwing.cn"])
            self.leg = self.network.open_udp(*HERE, self.arrive)
            result = await script(self)
            transport.close()
            await self.network.close()
            return result

        return self.loop.run_until_complete(main())

    def arrive(self, data, sender):
        self.arrived.append((self.loop.now_us, data, sender))

    def answer(self, data):
        self.platform.transport.sendto(data, self.platform.got[-1][2])


def test_a_datagram_and_its_answer_take_the_latency_each():
    async def script(world):
        world.leg.send(b"up", AEP)
        await asyncio.sleep(0.06)
        world.answer(b"down")
        await asyncio.sleep(0.06)

    world = World(latency_ms=(35, 60))
    world.play(script)
    (up, data, _), = world.platform.got
    assert data == b"up" and 35_000 <= up - 1_000_000_000 <= 60_000 and up % 1000 == 0
    (down, data, sender), = world.arrived
    assert (data, sender) == (b"down", AEP) and 35_000 <= down - 1_000_060_000 <= 60_000


def exchange(**options):
    async def script(world):
        for n in range(200):
            world.leg.send(b"%d" % n, AEP)
            await asyncio.sleep(0.5)
        return world.network.trace_sha256(), len(world.platform.got), [t for t, *_ in world.platform.got]

    return World(**options).play(script)


def test_the_same_seed_gives_the_same_world():
    assert exchange(loss=0.1) == exchange(loss=0.1)
    assert exchange(loss=0.1)[2] != exchange(loss=0.1, seed=8)[2]


def test_the_share_lost_is_as_told_and_lost_ones_stay_in_the_trace():
    world = World(loss=0.25)

    async def script(world):
        for _ in range(400):
            world.leg.send(b"x", AEP)
            await asyncio.sleep(0.1)

    world.play(script)
    lost = [datagram for datagram in world.network.trace if datagram.lost]
    assert 70 < len(lost) < 130 and len(world.platform.got) == 400 - len(lost)
    assert len(world.network.trace) == 400 and len(world.events.of("lost")) == len(lost)


def test_loss_does_not_change_the_latency_of_what_arrives():
    """Each is drawn from its own stream."""
    without, some = exchange()[2], exchange(loss=0.2)[2]
    assert set(some) < set(without)


def test_the_nat_keeps_a_binding_while_it_is_used_and_forgets_it_idle():
    async def script(world):
        for pause in (0.1, 59, 61):
            world.leg.send(b"up", AEP)
            await asyncio.sleep(pause)
        world.answer(b"late")  # 61 s after the last datagram
        await asyncio.sleep(1)
        world.leg.send(b"again", AEP)
        await asyncio.sleep(1)
        world.answer(b"in time")
        await asyncio.sleep(1)

    world = World(nat_idle_s=60)
    world.play(script)
    first, second, third, fourth = [addr for _, _, addr in world.platform.got]
    assert first == second == third != fourth
    assert [data for _, data, _ in world.arrived] == [b"in time"]
    assert world.network.dropped == 1 and world.events.of("dropped")[0].text == "NAT binding forgotten"


@pytest.mark.parametrize("way", ["NAT", "IPv6"])
def test_where_ports_are_kept_a_forgotten_binding_lets_nothing_in_until_the_module_sends_again(way):
    async def script(world):
        ports = [50000, 50000, 50001]
        for port in ports:
            leg = world.network.open_udp("240e::2" if way == "IPv6" else HERE[0], port, world.arrive)
            leg.send(b"up", AEP)
            await asyncio.sleep(61)
            world.answer(b"late %d" % port)
            await asyncio.sleep(1)
            leg.send(b"up", AEP)
            await asyncio.sleep(1)
            world.answer(b"in time %d" % port)
            await asyncio.sleep(1)
            world.network.forget_bindings()

    world = World(nat_idle_s=60, nat_keeps_port=way == "NAT")
    world.play(script)
    senders = [addr for _, _, addr in world.platform.got]
    assert len(set(senders[:4])) == 1 and senders[4] == senders[5] != senders[0]
    assert [data for _, data, _ in world.arrived] == [b"in time 50000", b"in time 50000", b"in time 50001"]


@pytest.mark.parametrize("keeps", [False, True])
def test_a_year_of_wakes_leaves_a_bounded_number_of_endpoints_open(keeps):
    async def script(world):
        for port in range(365):
            leg = world.network.open_udp(HERE[0], 50000 + port, world.arrive)
            leg.send(b"up", AEP)
            await asyncio.sleep(1)
            world.answer(b"down")
            await asyncio.sleep(86400)
            leg.close()
        return len(list(Path("/proc/self/fd").iterdir())) - before

    if not Path("/proc/self/fd").exists():
        pytest.skip("open files are counted on Linux")
    world = World(nat_keeps_port=keeps)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert world.play(script) < 80
    assert len(world.platform.got) == len(world.arrived) == 365


def test_each_remote_has_its_own_binding_and_strangers_are_dropped():
    async def script(world):
        world.network.serve("36.111.5.1", 5683, world.platform.transport.get_extra_info("sockname"))
        world.leg.send(b"one", AEP)
        world.leg.send(b"two", ("36.111.5.1", 5683))
        await asyncio.sleep(0.1)
        transport, _ = await world.loop.create_datagram_endpoint(
            lambda: Platform(world.loop), local_addr=("127.0.0.1", 0)
        )
        transport.sendto(b"stranger", world.platform.got[0][2])
        await asyncio.sleep(1)
        transport.close()

    world = World()
    world.play(script)
    assert len({addr for _, _, addr in world.platform.got}) == 2
    assert world.arrived == [] and world.events.of("dropped")[0].text == "not the peer's address"


def test_nothing_arrives_at_a_closed_leg_or_an_unknown_address():
    async def script(world):
        world.leg.send(b"up", AEP)
        world.leg.send(b"nowhere", ("203.0.113.1", 5683))
        await asyncio.sleep(0.1)
        world.leg.close()
        world.leg.close()
        world.answer(b"down")
        await asyncio.sleep(1)

    world = World()
    world.play(script)
    assert world.arrived == [] and world.events.of("dropped")[0].text == "nobody listens"
    assert [datagram.lost for datagram in world.network.trace] == [False, True, False]


def test_names_resolve_by_family_and_literals_to_themselves():
    world = World()
    world.network.serve(*AEP, ("127.0.0.1", 1), ["lwm2m.ctwing.cn"])
    world.network.serve("240e:980:9500::1", 5683, ("127.0.0.1", 1), ["LWM2M.ctwing.cn"])
    resolve = world.network.resolve
    assert resolve("lwm2m.ctwing.cn") == [AEP[0], "240e:980:9500::1"]
    assert resolve("lwm2m.ctwing.cn", 2) == [AEP[0]] and resolve("lwm2m.CTWING.cn", 10) == ["240e:980:9500::1"]
    assert resolve("1.2.3.4") == ["1.2.3.4"] and resolve("::1", 10) == ["::1"]
    for name, family in (("nobody.example", 0), ("1.2.3.4", 10)):
        with pytest.raises(OSError) as error:
            resolve(name, family)
        assert error.value.args == (-2,)


def test_counts_datagrams_and_wire_bytes_since_a_mark():
    async def script(world):
        world.leg.send(b"12345", AEP)
        await asyncio.sleep(0.1)
        mark = world.network.mark()
        world.answer(b"123")
        world.leg.send(b"", AEP)
        await asyncio.sleep(0.1)
        return mark

    world = World()
    mark = world.play(script)
    headers = 28  # IPv4 and UDP
    assert world.network.since() == {
        "datagrams_up": 2, "datagrams_down": 1, "bytes_up": 2 * headers + 5, "bytes_down": headers + 3,
    }
    assert world.network.since(mark) == {
        "datagrams_up": 1, "datagrams_down": 1, "bytes_up": headers, "bytes_down": headers + 3,
    }
