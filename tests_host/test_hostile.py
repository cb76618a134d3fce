"""Malformed datagrams from anyone, to the device and to the platform: dropped and counted, the job goes on."""

import random

import pytest

from tools import figures
from tools.ctwing.aep import Aep
from tools.plan import Plan, quicker
from tools.scenario import play

SHAPES = (
    "random", "truncated", "wrong version", "empty message", "unknown ACK", "unknown CON", "ping", "reserved class",
)


def hostile(rng, shape, real):
    """A datagram of this shape; `real` is one that was just seen on the wire."""
    mid = rng.randbytes(2)
    if shape == "random":
        return rng.randbytes(rng.randint(1, 200))
    if shape == "truncated":
        return real[: rng.randint(1, 3)]  # cut later, it may be a message still
    if shape == "wrong version":
        return bytes([real[0] ^ 0x80 >> rng.randrange(2)]) + real[1:]  # the version; later flips make other messages
    return {
        "empty message": b"\x40\x00" + mid + b"\xff",
        "unknown ACK": b"\x60\x44" + mid,
        "unknown CON": b"\x41\x45" + mid + b"\x00",
        "ping": b"\x40\x00" + mid,
        "reserved class": b"\x40\x20" + mid,
    }[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_hostile_datagrams_to_the_device_change_nothing(shape, monkeypatch):
    rng = random.Random(shape)
    sent = []
    start = Aep.start

    async def start_hostile(aep, *args, **kwargs):
        def answer(event):
            if event.kind in ("register", "update", "observed", "uplink", "command-sent"):
                session = aep.front.session(event.data["device"])
                if session is not None:
                    real = aep.trace()[-1].raw
                    for _ in range(5):
                        sent.append(hostile(rng, shape, real))
                        aep.front._transport.sendto(sent[-1], session.address)

        aep.events.listeners.append(answer)
        return await start(aep, *args, **kwargs)

    monkeypatch.setattr(Aep, "start", start_hostile)
    done = play(quicker(Plan(wakes=3)))
    assert len(sent) > 30
    assert figures.result(done)["error"] is None
    assert done.module.boots == 3


def test_hostile_datagrams_to_the_platform_are_counted_and_the_device_is_served(monkeypatch):
    rng = random.Random(5)
    sent = []
    start = Aep.start

    async def start_hostile(aep, *args, **kwargs):
        address = await start(aep, *args, **kwargs)
        stranger, _ = await aep.loop.create_datagram_endpoint(_Deaf, local_addr=("127.0.0.1", 0))

        def shout(event):
            if event.kind in ("register", "update", "uplink"):
                for shape in SHAPES:
                    sent.append(hostile(rng, shape, aep.trace()[-1].raw))
                    stranger.sendto(sent[-1], address)

        aep.events.listeners.append(shout)
        return address

    monkeypatch.setattr(Aep, "start", start_hostile)
    done = play(quicker(Plan(wakes=3)))
    assert figures.result(done)["error"] is None
    assert done.aep.front.counters["malformed"] > len(sent) // 4
    assert done.events.of("malformed")


class _Deaf:
    def connection_made(self, transport):
        pass

    def datagram_received(self, data, address):
        pass

    def error_received(self, error):
        pass

    def connection_lost(self, error):
        pass
