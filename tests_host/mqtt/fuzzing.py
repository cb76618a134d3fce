"""Inputs for the MQTT client: what a server may say, changed on one level or another, cut anywhere; and what must hold
after each. Whatever comes, the client makes of it what reference.py does.

`Fuzz(seed).run(first, count)`; an input has its own random numbers, so that one can be run alone.
"""

import random
from collections import Counter
from typing import NamedTuple

from mqtt import packet as p
from tests_host.mqtt import reference
from tests_host.mqtt.heard import Connection

KINDS = {p.CONNECTED: "connected", p.REFUSED: "refused", p.ACKED: "acked", p.MESSAGE: "message",
         p.SUBSCRIBED: "subscribed", p.PONG: "pong"}  # fmt: skip
IDS = [1, 1, 2, 0x0100, 0x1234, 0xFFFF, 0]
TOPICS = [b"device_control", b"t", b"a/b", "水表/命令".encode(), b"$SYS/x", b"\x7f", b" "]
BAD_TOPICS = [b"", b"#", b"a/+", b"a\0b", b"\xff", b"\xc0\x80", b"\xe2", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
              b"\xf0\x80\x80\x80"]  # fmt: skip
SIZES = [0, 1, 5, 5, 20, 60, 120, 121, 122, 123, 124, 900, 1077, 1078, 1079, 1090, 1100, 1200]
HEADS = [0x00, 0x10, 0x21, 0x28, 0x34, 0x36, 0x38, 0x39, 0x3C, 0x42, 0x50, 0x62, 0x70, 0x82, 0xB0, 0xC0, 0xE0, 0xF0]
LENGTHS = [b"\x80", b"\xff\xff\xff\xff", b"\x80\x80\x80\x80\x01", b"\xcd\x08", b"\xff\x7f", b"\x80\x80\x01", b"\x7f"]


class Input(NamedTuple):
    """What comes on one connection."""

    started: bool
    clean: bool
    late: bool  # events are asked for at the end only
    pieces: list[bytes]


def framed(head: int, body: bytes, spare: int = 0) -> bytes:
    """A packet; its length takes `spare` bytes more than it needs."""
    digits, size = [], len(body)
    while size > 127:
        digits.append(size & 127)
        size >>= 7
    digits += [size] + [0] * min(spare, 3 - len(digits))
    return bytes([head]) + bytes(digit | 128 for digit in digits[:-1]) + bytes(digits[-1:]) + body


def number(draw: random.Random) -> bytes:
    return draw.choice(IDS).to_bytes(2, "big")


def message(draw: random.Random) -> bytes:
    topic = draw.choice(BAD_TOPICS if draw.random() < 0.03 else TOPICS)
    head = draw.choice([0x30, 0x32, 0x32, 0x3A, 0x31, 0x33, 0x3B])
    body = len(topic).to_bytes(2, "big") + topic + (number(draw) if head & 6 else b"")
    return framed(head, body + draw.randbytes(draw.choice(SIZES)), draw.random() < 0.05)


def spoken(draw: random.Random) -> bytes:
    """A packet that a server may send, mostly."""
    which = draw.random()
    if which < 0.4:
        return message(draw)
    if which < 0.65:
        return framed(0x40, number(draw))
    if which < 0.8:
        return framed(0x90, number(draw) + draw.choice([b"\0", b"\1", b"\x80", b"\2"]))
    if which < 0.97:
        return b"\xd0\0"
    return b"\x20\x02" + draw.choice([b"\0\0", b"\1\0", b"\0\5", b"\0\6", b"\2\0", b"\1\1"])


def changed(draw: random.Random, data: bytes) -> bytes:
    """Bytes with one to three things done to them."""
    for _ in range(draw.randint(1, 3)):
        at, what = draw.randint(0, len(data)), draw.randrange(7)
        if what < 2:
            data = data[:at] + bytes(byte ^ 1 << draw.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]
        elif what == 2:
            data = data[:at] + draw.randbytes(1) + data[at + 1 :]
        elif what == 3:
            data = data[:at]
        elif what == 4:
            data = data[:at] + draw.randbytes(draw.randint(1, 8)) + data[at:]
        elif what == 5:
            data = data[:at] + data[at + draw.randint(1, 8) :]
        else:
            data = data[:at] + bytes([draw.choice(HEADS)]) + draw.choice(LENGTHS) + data[at:]
    return data


def stream(draw: random.Random) -> bytes:
    """All that comes."""
    if draw.random() < 0.05:
        return draw.randbytes(draw.randrange(40))
    packets = [b"\x20\x02" + draw.choice([b"\0\0", b"\0\0", b"\1\0"])] if draw.random() < 0.95 else []
    packets += [spoken(draw) for _ in range(draw.randrange(6))]
    level = draw.random()
    if level < 0.2 and packets:
        at = draw.randrange(len(packets))
        packets[at] = changed(draw, packets[at])
    data = b"".join(packets)
    return changed(draw, data) if 0.2 <= level < 0.5 else data


def made(seed: int, at: int) -> Input:
    """The input with this number."""
    draw = random.Random(seed * 1_000_003 + at)
    data, flags = stream(draw), draw.random()
    cuts = sorted(draw.randint(0, len(data)) for _ in range(draw.choice([0, 0, 1, 1, 2, 3, 8])))
    pieces = [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return Input(flags > 0.02, flags < 0.3, draw.random() < 0.3, pieces)


class Fuzz:
    """`ends` counts the inputs by what came of each."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.at = 0
        self.ends: Counter[str] = Counter()
        self.deepest = 0  # bytes held once the events were taken

    def run(self, first: int, count: int) -> None:
        """Inputs `first` to `first + count`. What must hold is asserted: the number of the input is in `at` then."""
        for self.at in range(first, first + count):
            self._input(made(self.seed, self.at))

    def _input(self, one: Input) -> None:
        events, broken = heard(one, self)
        found = [(KINDS[event[0]], *event[1:]) for event in events]
        meant = reference.read(b"".join(one.pieces), one.started, one.clean)
        assert (found, broken) == meant, (one, found, broken, meant)
        self.ends[f"{'broken' if broken else 'whole'} {' '.join(event[0] for event in found)}"] += 1


def heard(one: Input, fuzz: Fuzz | None = None) -> tuple[list[tuple], bool]:
    """(events, whether what came is no server's)."""
    connection, events = Connection(one.started, one.clean), []
    for piece in one.pieces:
        before = connection.held()
        connection.feed(piece)
        assert connection.held() <= before + len(piece)
        if not one.late:
            events += connection.events()
            if not connection.broken:
                held = connection.held()
                assert held < p.LIMIT + 5, "held"  # a packet of that length that lacks a byte
                if fuzz is not None:
                    fuzz.deepest = max(fuzz.deepest, held)
    assert connection.client.take() == b"", "answers are the caller's to order"
    return events + connection.events(), connection.broken
