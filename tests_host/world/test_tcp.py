"""TCP between modules and platform: what arrives, in which order, and what becomes of a connection when the network
loses segments, forgets the flow, or one side goes."""

import asyncio
import random

import pytest

from tools.world.clock import WorldLoop
from tools.world.events import Events
from tools.world.network import Network
from tools.world.tcp import (
    CLOSE_WAIT,
    CLOSED,
    ECONNREFUSED,
    ECONNRESET,
    ESTABLISHED,
    ETIMEDOUT,
    FIN,
    LAST_ACK,
    RESET,
    SYN,
    SYN_SENT,
    TIME_WAIT,
    End,
    Listener,
    Segment,
)

PLATFORM = ("180.106.148.146", 8996)
HERE = ("10.1.2.3", 50000)


class Device:
    """A module's end on the network; `got` what arrived, `ended` how it ended."""

    def __init__(self, world, port=HERE[1], remote=PLATFORM):
        self.got, self.ended, self.opened = b"", [], False
        self.local = (HERE[0], port)
        self.end = End(lambda segment: world.network.flows.up(self.local, segment, remote), world.loop.call_later,
                       Listener(self.data, self.ended.append, opened=self.open), 100, 0.25)
        world.network.flows.legs[self.local] = lambda segment, sender: self.end.receive(segment)

    def data(self, data):
        self.got += data

    def open(self):
        self.opened = True


class World:
    """A platform whose server runs `serve(reader, writer)`, and the network to it."""

    def __init__(self, serve, **options):
        self.loop = WorldLoop(1000)
        asyncio.set_event_loop(self.loop)
        self.events = Events(self.loop.time)
        self.network = Network(self.loop, self.events, seed=options.pop("seed", 7), **options)
        self.serve = serve

    def play(self, script):
        async def main():
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
            self.network.serve_stream(*PLATFORM, server.sockets[0].getsockname())
            result = await script(self)
            server.close()
            await self.network.close()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            if rest:
                await asyncio.wait(rest, timeout=1)
            return result

        return self.loop.run_until_complete(main())


async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data.upper())
    writer.close()


def flags(world, direction):
    return [str(one.segment) for one in world.network.trace if one.direction == direction]


def test_connect_send_and_close_take_the_segments_that_tcp_takes():
    async def script(world):
        device = Device(world)
        device.end.connect()
        await asyncio.sleep(1)
        assert device.opened and device.end.state == ESTABLISHED
        device.end.write(b"hello")
        await asyncio.sleep(1)
        device.end.close()
        await asyncio.sleep(1)
        return device

    world = World(echo)
    device = world.play(script)
    assert (device.got, device.ended, device.end.state) == (b"HELLO", [0], TIME_WAIT)
    assert flags(world, "up") == ["SYN", "ACK", "PSH ACK", "ACK", "FIN ACK", "ACK"]
    # The answer takes the acknowledgement with it, and so does the platform's FIN.
    assert flags(world, "down") == ["SYN ACK", "PSH ACK", "ACK", "FIN ACK"]
    assert [one.wire_bytes for one in world.network.trace[:2]] == [44, 44]  # headers with the largest segment's option


@pytest.mark.parametrize("seed", range(6))
def test_over_a_network_that_loses_doubles_and_reorders_every_byte_arrives_once_and_in_order(seed):
    rng = random.Random(seed)
    pieces = [rng.randbytes(rng.choice([1, 40, 1400, 1401, 5000])) for _ in range(12)]
    received = bytearray()

    async def mirror(reader, writer):
        while data := await reader.read(1000):
            received.extend(data)
            writer.write(data)
        writer.close()

    async def script(world):
        device = Device(world)
        device.end.connect()
        while not device.opened:
            await asyncio.sleep(1)
        for piece in pieces:
            await asyncio.sleep(rng.random())
            device.end.write(piece)
        await asyncio.sleep(2000)
        device.end.close()
        await asyncio.sleep(2000)
        return device

    world = World(mirror, loss=0.2, seed=seed)
    world.network.duplicated, world.network.held_up, world.network.flows.nat_idle_s = 0.2, 0.2, 1e9
    device = world.play(script)
    assert bytes(received) == device.got == b"".join(pieces)
    assert device.ended == [0] and device.end.unacknowledged == 0
    assert any(one.lost for one in world.network.trace)


def test_a_port_where_nobody_listens_is_refused_and_a_host_that_is_not_there_times_out():
    async def script(world):
        refused, silent = Device(world, 50001, (PLATFORM[0], 99)), Device(world, 50002, ("1.2.3.4", 99))
        refused.end.connect()
        silent.end.connect()
        await asyncio.sleep(200)
        return refused.ended, silent.ended

    assert World(echo).play(script) == ([ECONNREFUSED], [ETIMEDOUT])


def test_the_platforms_fin_and_rst_are_told_apart():
    async def short(reader, writer):
        if await reader.read(10) == b"fin":
            writer.close()
        else:
            writer.transport.abort()

    async def script(world):
        out = []
        for port, word in ((50001, b"fin"), (50002, b"rst")):
            device = Device(world, port)
            device.end.connect()
            await asyncio.sleep(1)
            device.end.write(word)
            await asyncio.sleep(1)
            out.append((device.ended, device.end.state))
        return out

    assert World(short).play(script) == [([0], CLOSE_WAIT), ([ECONNRESET], CLOSED)]


def test_a_flow_idle_for_too_long_is_forgotten_and_reset_or_dropped():
    async def script(world):
        device = Device(world)
        device.end.connect()
        await asyncio.sleep(world.network.flows.nat_idle_s + 10)
        device.end.write(b"hello")
        await asyncio.sleep(3)
        return device.ended

    world = World(echo)
    assert world.play(script) == [ECONNRESET]
    world = World(echo)
    world.network.flows.half_open = True
    assert world.play(script) == []


def test_a_module_that_loses_power_leaves_the_platform_with_a_connection_it_cannot_tell_from_a_live_one():
    closed = []

    async def patient(reader, writer):
        with pytest.raises(OSError):
            while True:
                await asyncio.sleep(60)
                writer.write(b"still there?")
                await writer.drain()
        closed.append(asyncio.get_running_loop().time())

    async def script(world):
        device = Device(world)
        device.end.connect()
        await asyncio.sleep(1)
        device.end.vanish()
        del world.network.flows.legs[device.local]
        await asyncio.sleep(3600)

    World(patient).play(script)
    assert closed and closed[0] > 1000 + 120


@pytest.mark.parametrize(("first", "syns", "ends"), [
    ("vanish", 2, ["reset"]), ("abort", 1, ["reset"]), ("close", 1, ["end"]), ("wait", 1, ["end"]),
])
def test_a_port_that_is_used_again_reaches_the_platform_whatever_became_of_the_connection_before(first, syns, ends):
    """Where the platform still knows that one, it answers the new SYN with an acknowledgement out of turn; RST ends it,
    and the SYN that is sent again a second later is met."""
    said = []

    async def serve(reader, writer):
        try:
            while data := await reader.read(10):
                writer.write(data.upper())
                if data == b"wait":
                    writer.close()
            said.append("end")
        except ConnectionError:
            said.append("reset")
        writer.close()

    async def script(world):
        one = Device(world)
        one.end.first = one.end.next = 7_000_000
        one.end.connect()
        await asyncio.sleep(1)
        one.end.write(b"wait" if first == "wait" else b"hello")
        await asyncio.sleep(1)
        getattr(one.end, "close" if first == "wait" else first)()
        await asyncio.sleep(1)
        before = len(world.network.trace)
        two = Device(world)
        two.end.first = two.end.next = 9_000_000
        two.end.connect()
        await asyncio.sleep(2)
        two.end.write(b"again")
        await asyncio.sleep(1)
        sent = [str(row.segment) for row in world.network.trace[before:] if row.direction == "up"]
        return two, sent.count("SYN"), said[:1], len(world.network.flows.live())

    two, tried, said_first, live = World(serve).play(script)
    assert (two.got, two.ended, two.end.state) == (b"AGAIN", [], ESTABLISHED)
    assert (tried, said_first, live) == (syns, ends, 1)


def test_reading_can_be_paused_and_nothing_is_lost():
    seen = []

    class Slow(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            transport.pause_reading()
            asyncio.get_running_loop().call_later(5, transport.resume_reading)

        def data_received(self, data):
            seen.append((asyncio.get_running_loop().time(), data))

    async def script(world):
        server = await world.loop.create_server(Slow, "127.0.0.1", 0)
        world.network.serve_stream("1.1.1.1", 1, server.sockets[0].getsockname())
        device = Device(world, remote=("1.1.1.1", 1))
        device.end.connect()
        await asyncio.sleep(1)
        device.end.write(b"one")
        await asyncio.sleep(10)
        server.close()

    World(echo).play(script)
    assert [data for _, data in seen] == [b"one"] and seen[0][0] > 1005


def test_a_port_of_servers_is_taken_once_and_free_after_close():
    async def script(world):
        first = await world.loop.create_server(asyncio.Protocol, "127.0.0.1", 777)
        with pytest.raises(OSError):
            await world.loop.create_server(asyncio.Protocol, "127.0.0.1", 777)
        first.close()
        await first.wait_closed()
        second = await world.loop.create_server(asyncio.Protocol, "127.0.0.1", 777)
        return first.is_serving(), second.is_serving()

    assert World(echo).play(script) == (False, True)


# -- one end, by hand -----------------------------------------------------------------------------------------------


def end(first=0xFFFFFFF0):
    """An end whose segments and timers are kept; its sequence numbers wrap soon."""
    sent, timers, told = [], [], []

    class Timer:
        def __init__(self, seconds, action):
            self.seconds, self.action = seconds, action

        def cancel(self):
            if self in timers:
                timers.remove(self)

    def later(seconds, action):
        timers.append(Timer(seconds, action))
        return timers[-1]

    one = End(sent.append, later, Listener(told.append, told.append), first, 0.25)
    one.sent, one.timers, one.told = sent, timers, told
    return one


def opened():
    one = end()
    one.connect()
    one.receive(Segment(SYN | 16, 500, one.next))
    one.sent.clear()
    return one


def test_sequence_numbers_wrap():
    one = opened()
    one.write(b"x" * 40)
    assert one.sent[0].seq == 0xFFFFFFF1 and one.next == 0xFFFFFFF1 + 40 - 2**32
    one.receive(Segment(16, 501, one.next))
    assert one.unacknowledged == 0 and not one.timers


def test_each_retransmission_waits_twice_as_long_and_at_last_the_connection_is_given_up():
    one = opened()
    one.write(b"hello")
    waits = []
    while one.timers:
        timer = one.timers.pop()
        waits.append(timer.seconds)
        timer.action()
    assert waits[:8] == [1, 2, 4, 8, 16, 32, 60, 60] and len(waits) == 13
    assert one.told == [ETIMEDOUT] and one.state == CLOSED


def test_what_arrives_early_waits_for_what_comes_first():
    one = opened()
    one.receive(Segment(16, 504, one.next, b"def"))
    assert one.told == [] and one.sent[-1].ack == 501
    one.receive(Segment(16, 501, one.next, b"abc"))
    one.receive(Segment(16, 501, one.next, b"abc"))
    assert one.told == [b"abc", b"def"] and one.sent[-1].ack == 507


def test_after_the_peers_fin_ours_ends_the_connection():
    one = opened()
    one.receive(Segment(FIN | 16, 501, one.next))
    assert one.state == CLOSE_WAIT and one.told == [0]
    one.close()
    assert one.state == LAST_ACK
    one.receive(Segment(16, 502, one.next))
    assert one.state == CLOSED and not one.timers


def test_an_end_that_connects_heeds_no_answer_to_another_connection():
    one = end()
    one.connect()
    for segment in (Segment(SYN | 16, 500, 7), Segment(16, 500, 7), Segment(RESET | 16, 500, 7)):
        one.receive(segment)
    assert one.state == SYN_SENT and one.told == []
    assert [(sent.flags & RESET, sent.seq) for sent in one.sent[1:]] == [(RESET, 7), (RESET, 7)]


def test_a_segment_for_a_connection_that_is_gone_is_answered_by_rst():
    one = opened()
    one.abort()
    assert one.sent[-1].flags & RESET and one.state == CLOSED
    one.receive(Segment(16, 501, 7, b"late"))
    assert one.sent[-1].flags & RESET and one.sent[-1].seq == 7 and one.told == []
