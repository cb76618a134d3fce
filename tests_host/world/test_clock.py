"""Virtual time: it moves only when everyone waits."""

import asyncio
import time

import pytest

from tools.world.clock import Deadlock, WorldLoop

EPOCH = 1_795_392_000


@pytest.fixture
def loop():
    loop = WorldLoop(EPOCH)
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()


def test_days_pass_at_once_and_exactly(loop):
    began = time.monotonic()
    loop.run_until_complete(asyncio.sleep(100 * 86400 + 0.000001))
    assert loop.now_us == (EPOCH + 100 * 86400) * 1_000_000 + 1
    assert time.monotonic() - began < 5


def test_timers_run_in_their_order_at_their_times(loop):
    seen = []

    async def main():
        for delay in (0.3, 0.1, 0.2, 7200.5):
            loop.call_later(delay, lambda d=delay: seen.append((d, loop.now_us - EPOCH * 1_000_000)))
        await asyncio.sleep(8000)

    loop.run_until_complete(main())
    assert seen == [(0.1, 100_000), (0.2, 200_000), (0.3, 300_000), (7200.5, 7_200_500_000)]


def test_timers_of_the_same_instant_run_in_the_order_they_were_set(loop):
    seen = []
    loop.call_later(0.3, seen.append, 0)
    loop.call_later(0.1, lambda: [loop.call_later(0.2, seen.append, n) for n in range(1, 50)])
    loop.run_until_complete(asyncio.sleep(1))
    assert seen == list(range(50))


def test_an_empty_datagram_is_a_datagram(loop):
    async def main():
        _, server = await endpoint(loop)
        transport, _ = await endpoint(loop)
        transport.sendto(b"", server.transport.get_extra_info("sockname"))
        await asyncio.sleep(1)
        return server.got

    assert loop.run_until_complete(main()) == [b""]


def test_no_error_accumulates_over_many_waits(loop):
    async def main():
        for _ in range(10_000):
            await asyncio.sleep(0.1)

    loop.run_until_complete(main())
    assert loop.now_us == EPOCH * 1_000_000 + 1_000_000_000


def test_a_world_in_which_nothing_can_happen_is_an_error(loop):
    with pytest.raises(Deadlock):
        loop.run_until_complete(asyncio.Event().wait())


def test_who_is_asked_when_nothing_can_happen_may_go_on(loop):
    event = asyncio.Event()
    loop.when_stuck.append(event.set)
    assert loop.run_until_complete(event.wait())


def test_what_a_timer_raises_ends_the_run(loop):
    loop.call_later(1, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(asyncio.sleep(2))


class Answers(asyncio.DatagramProtocol):
    def __init__(self):
        self.got = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.got.append(data)
        if not data.startswith(b"re:"):
            self.transport.sendto(b"re:" + data, addr)


def endpoint(loop):
    return loop.create_datagram_endpoint(Answers, local_addr=("127.0.0.1", 0))


def test_a_datagram_lands_before_time_moves(loop):
    async def main():
        _, server = await endpoint(loop)
        transport, client = await endpoint(loop)
        for n in range(100):
            transport.sendto(b"%d" % n, server.transport.get_extra_info("sockname"))
            await asyncio.sleep(0.001)
            assert client.got[-1] == b"re:%d" % n
        return loop.now_us

    assert loop.run_until_complete(main()) == EPOCH * 1_000_000 + 100_000


def test_datagrams_to_a_closed_endpoint_do_not_hold_the_clock(loop):
    async def main():
        server, _ = await endpoint(loop)
        transport, client = await endpoint(loop)
        address = server.get_extra_info("sockname")
        transport.sendto(b"under way", address)
        server.close()
        transport.sendto(b"too late", address)
        await asyncio.sleep(3600)
        return client.got

    assert loop.run_until_complete(main()) == []


def test_executors_run_inline(loop):
    async def main():
        before = loop.now_us
        assert await loop.run_in_executor(None, pow, 2, 10) == 1024
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 1, 0)
        return loop.now_us - before

    assert loop.run_until_complete(main()) == 0
