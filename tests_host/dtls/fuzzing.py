"""Inputs for the DTLS client in every state of it, made from what an honest server says and changed on every level, and
what must hold after each. Equal in CPython and in the VMs: the same seed gives the same digest.

`Fuzz(seed).run(first, count)`; an input has its own random numbers, so that one can be run alone.
"""

from ubinascii import hexlify
from uhashlib import sha256
from ustruct import pack

from dtls import client as c
from dtls import saved
from dtls.record import DtlsError
from tests_host.dtls import scripted_server as s
from tests_host.dtls.rig import IDENTITY, PSK, Rig, Watched, held, quickly

HELD = 6000  # bytes in strings of a client and its handshake: 4 messages of 512, a record of 512, transcript, flight
ALERTS_AND_FLIGHTS = 4  # datagrams beyond one for each record that came: 3 cookies answered, the last flight
LARGE = [0, 1, 2, 11, 12, 13, 31, 32, 33, 63, 64, 127, 128, 255, 256, 511, 512, 513, 0x4000, 0xFFFF]
VALUES = [0, 1, -1, s.CBC, s.CCM_8, 1 << 47, (1 << 48) - 1, 1 << 48, None, "", "00", True, []]  # of a saved field
KINDS = [0, 1, 2, 3, 4, 11, 12, 13, 14, 16, 20, 21, 22, 23, 24, 25, 255]

SCENARIOS = [
    {},
    {"cookie": True, "cid": b"connect!", "hint": b"a hint", "session_id": bytes(32)},
    {"suite": s.CBC, "extended": False},
    {"suite": s.CBC, "cookie": True, "cid": b"q", "hint": b""},
    {"extended": False, "cid": b"", "session_id": b"id"},
    {"offer_cid": False, "suites": [s.CCM_8, s.CBC]},
    {"resumed": True, "session_id": bytes(32)},
    {"resumed": True, "session_id": b"id", "suite": s.CBC, "cid": b"connect!", "suites": [s.CCM_8, s.CBC]},
]


class Draw:
    """Random numbers, the same in every interpreter: a linear congruence modulo 2**31, without its lowest bits."""

    def __init__(self, seed):
        self._state = seed * 2654435761 % 0x7FFFFFFF
        self.below(2)

    def below(self, count):
        self._state = (self._state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self._state >> 8) % count

    def one_in(self, count):
        return self.below(count) == 0

    def pick(self, items):
        return items[self.below(len(items))]

    def bytes(self, count):
        return bytes([self.below(256) for _ in range(count)])


class Stage:
    """A client at one moment, and the first of the server's pieces it has not had."""

    def __init__(self, watched, at):
        self.watched, self.at = watched, at


class Scenario:
    """An honest session from end to end: its stages, and the pieces [type, epoch, content, number of the record]."""

    def __init__(self, resumed=False, **options):
        if resumed:
            old = Rig("open", suite=options.get("suite", s.CCM_8), session_id=options["session_id"])
            options.update(resume=old.client.resumption(), master=old.client.master)
        self.rig = rig = Rig(**options)
        self.server = server = rig.server
        self.pieces, self.stages = [], [Stage(rig.watched.copy(), 0)]
        if options.get("cookie"):
            self._said(s.HANDSHAKE, 0, server.verify_request())
        flight = server.hello_flight()
        self._aside(server.record(s.HANDSHAKE, s.pieces_of(flight[0], 20)[1], 0, 50))
        for whole in flight:
            self._said(s.HANDSHAKE, 0, whole)
        finished = server.finished()
        self._aside(server.record(s.HANDSHAKE, finished, 1, 0))  # before the ChangeCipherSpec
        self._said(s.CCS, 0, b"\x01")
        self._said(s.HANDSHAKE, 1, finished)
        assert rig.client.state == c.CONNECTED, rig.client.error
        for content in (b"downlink", b"", b"another downlink, longer than two blocks of AES"):
            self._said(s.DATA, 1, content)
        self.kept = saved.dump(rig.client, rig.client.sequence + 16)
        self.at_end = len(self.pieces)
        self.stages.append(Stage(restored(self.kept), self.at_end))
        self.master, self.block = rig.client.master, rig.client.block
        for kind, content in (
            (s.HANDSHAKE, s.message(s.HELLO_REQUEST, 0, b"")), (s.ALERT, b"\x01\x5a"), (s.ALERT, b"\x02\x28"),
            (s.ALERT, b"\x01\x00"), (s.HANDSHAKE, finished),
        ):  # fmt: skip
            self.pieces.append([kind, 1, content, len(self.pieces)])

    def _said(self, kind, epoch, content):
        number = self.server.numbers[epoch]
        self.pieces.append([kind, epoch, content, number])
        self.rig.receive(self.server.record(kind, content, epoch))
        self.stages.append(Stage(self.rig.watched.copy(), len(self.pieces)))

    def _aside(self, datagram):
        """A stage beside the straight way."""
        watched = self.stages[-1].watched.copy()
        watched.receive(datagram)
        self.stages.append(Stage(watched, self.stages[-1].at))


def restored(kept):
    client = c.Client(IDENTITY, PSK)
    return Watched(client, kept["seq"]) if quickly(lambda: saved.load(kept, client)) else None


class Fuzz:
    """`digest()` sums up what came of all inputs so far, `ends` counts them by what came of each."""

    def __init__(self, seed):
        self.seed = seed
        self.scenarios = [Scenario(**options) for options in SCENARIOS]
        self.ends = {}
        self.deepest = 0  # bytes held
        self._hash = sha256(b"")

    def digest(self):
        return hexlify(self._hash.digest()).decode()

    def run(self, first, count):
        """Inputs `first` to `first + count`. What must hold is asserted: the number of the input is in `at` then."""
        for at in range(first, first + count):
            self.at = at
            self._input(Draw(self.seed * 1000003 + at))

    def _input(self, draw):
        scenario = draw.pick(self.scenarios)
        honest = not draw.one_in(16)
        if honest:
            stage = draw.pick(scenario.stages)
            watched, at = stage.watched.copy(), stage.at
        else:
            watched, at = restored(doubtful(draw, scenario.kept)), scenario.at_end
        if watched is None:
            return self._note("not loaded", [])
        now = 0
        for _ in range(1 + draw.below(3)):
            datagram = made(draw, scenario, at)
            if draw.one_in(2):
                at += 1
            self._receive(watched, datagram, now)
        if draw.one_in(4):
            for _ in range(draw.pick([1, 2, 6])):
                now += draw.pick([1, 1000, 40000])
                watched.poll(now)
        if draw.one_in(4):
            self._talk(draw, watched)
        client = watched.client
        if client.state == c.CONNECTED and honest:
            assert client.master == scenario.master and client.block == scenario.block
        return self._note(ended(client), watched.datagrams)

    def _receive(self, watched, datagram, now):
        client = watched.client
        before = len(client.inbox)
        self.received(watched, datagram, now)
        records = 1 + len(datagram) // 13
        assert len(watched.datagrams) <= records + ALERTS_AND_FLIGHTS, "answers"
        new = client.inbox[before:]
        assert len(new) <= records and sum([len(one) for one in new]) <= len(datagram), "inbox"
        assert client.state in (c.SHAKING, c.CONNECTED, c.CLOSED)
        assert (client.state == c.CLOSED) == (client.error is not None)
        holds = held(client) - sum([len(one) for one in client.inbox])
        assert holds <= HELD, "held"
        self.deepest = max(self.deepest, holds)
        for sent in watched.datagrams:
            self._hash.update(sent)

    def received(self, watched, datagram, now):
        """For a measurement to take the place of."""
        watched.receive(datagram, now)

    def _talk(self, draw, watched):
        try:
            watched.send(draw.bytes(draw.below(20)))
        except DtlsError:
            assert watched.client.state != c.CONNECTED or watched.client.sequence >> 48
        else:
            assert watched.client.state == c.CONNECTED
        if draw.one_in(2):
            watched.close()

    def _note(self, end, datagrams):
        self.ends[end] = self.ends.get(end, 0) + 1
        self._hash.update(end.encode())
        for sent in datagrams:
            self._hash.update(sent)


def doubtful(draw, kept):
    """A saved session with one or two fields changed."""
    kept = dict(kept)
    for _ in range(1 + draw.below(2)):
        name, how = draw.pick(sorted(kept)), draw.below(8)
        value = kept[name]
        if not isinstance(value, str) or how == 0:
            kept[name] = draw.pick(VALUES)
        elif how < 3:
            kept[name] = "".join([chr(byte & 0x7F) for byte in changed(draw, value.encode())])
        else:
            at = draw.below(len(value) + 1)
            kept[name] = value[:at] + draw.pick("0123456789abcdef") + value[at + 1 :]
    return kept


def ended(client):
    """What came of a session, in words."""
    words = [str(client.state), str(len(client.inbox)), str(client.dropped), str(client.resumed)]
    if client.error is not None:
        words += [client.error.args[0], str(client.error.phase), str(client.error.alert), str(client.error.ours)]
    return " ".join(words)


# -- datagrams ---------------------------------------------------------------------------------------------------------


def made(draw, scenario, at):
    """A datagram for a client that has had the pieces before `at`."""
    if draw.one_in(12):
        return noise(draw)
    start = at if not draw.one_in(4) else draw.below(len(scenario.pieces))
    pieces = [piece[:] for piece in scenario.pieces[start : start + 1 + draw.below(4)]]
    if draw.one_in(6) and pieces:
        pieces.append(draw.pick(pieces)[:])
    if draw.one_in(8) and len(pieces) > 1:
        pieces.insert(0, pieces.pop())
    level = draw.below(4)  # most inputs are changed on one level: the others judge it
    if level == 0 or draw.one_in(8):
        for piece in pieces:
            if piece[0] == s.HANDSHAKE:
                piece[2] = messages(draw, piece[2])
            elif draw.one_in(2):
                piece[2] = changed(draw, piece[2])
    rough = level == 1 or draw.one_in(8)
    datagram = b"".join([record(draw, scenario, piece, rough) for piece in pieces])
    if level == 2 or draw.one_in(8):
        datagram = changed(draw, datagram)
    return datagram


def noise(draw):
    """Bytes that are nothing, or nothing behind a record's header."""
    body = draw.bytes(draw.below(60))
    if draw.one_in(2):
        return body
    return s.framed(draw.pick(KINDS), draw.below(3), draw.below(200), body, draw.pick([s.DTLS_1_2, s.DTLS_1_0, 0x0303]))


def changed(draw, data):
    """Bytes with one to three things done to them."""
    for _ in range(1 + draw.below(3)):
        at, what = draw.below(len(data) + 1), draw.below(7)
        if what < 2:
            data = data[:at] + bytes([byte ^ 1 << draw.below(8) for byte in data[at : at + 1]]) + data[at + 1 :]
        elif what == 2:
            data = data[:at] + bytes([draw.below(256)]) + data[at + 1 :]
        elif what == 3:
            data = data[:at]
        elif what == 4:
            data = data[:at] + draw.bytes(1 + draw.below(8)) + data[at:]
        elif what == 5:
            data = data[:at] + data[at + 1 + draw.below(8) :]
        else:
            data = data[:at] + data[at - draw.below(20) :]
    return data[:1400]


def messages(draw, body):
    """The content of a handshake record, changed: a message's content, header or parts."""
    kind, order, content = body[0], body[4] << 8 | body[5], body[12:]
    what = draw.below(6)
    if what == 0:
        return s.message(kind, order, changed(draw, content))
    if what == 1 and kind == s.SERVER_HELLO:
        return s.message(kind, order, hello(draw, content))
    if what <= 2:
        fields = [len(content), 0, len(content)]
        fields[draw.below(3)] = draw.pick(LARGE)
        return s.message(draw.pick(KINDS) if draw.one_in(4) else kind, order, content, fields[1], fields[2], fields[0])
    if what == 3:
        return s.message(kind, (order + draw.pick([-1, 1, 2, 3, 4, 255])) & 0xFFFF, content)
    if what == 4:
        return s.message(draw.pick(KINDS), order, content) + (body if draw.one_in(2) else b"")
    return fragments(draw, body)


def fragments(draw, body):
    """A message in parts: some twice, some changed, some missing, in any order."""
    count = len(body) - 12
    cuts = sorted([draw.below(count + 1) for _ in range(1 + draw.below(5))])
    parts = s.pieces_of(body, *cuts)
    for _ in range(draw.below(4)):
        what, part = draw.below(4), draw.pick(parts)
        if what == 0:
            parts.append(part)
        elif what == 1:
            parts.remove(part)
            parts.insert(0, part)
        elif what == 2 and len(parts) > 1:
            parts.remove(part)
        elif what == 3:
            parts.append(part[:1] + changed(draw, part[1:]))
    return b"".join(parts)


def hello(draw, content):
    """A ServerHello with other fields."""
    session = draw.bytes(draw.pick([0, 1, 31, 32, 33, 255])) if draw.one_in(3) else content[35 : 35 + content[34]]
    end = 35 + content[34]
    suite = pack(">H", draw.pick([s.CCM_8, s.CBC, 0, 0xC0A9])) if draw.one_in(3) else content[end : end + 2]
    extensions = b""
    for _ in range(draw.below(5)):
        kind = draw.pick([s.EXTENDED_MASTER, s.CONNECTION_ID, s.RENEGOTIATION, 0, 35, 0xFFFF])
        extensions += s.extension(kind, draw.pick([b"", b"\x00", b"\x01", b"\x01q", b"\x08connect!", draw.bytes(4)]))
    extensions = pack(">H", len(extensions)) + extensions
    if draw.one_in(4):
        extensions = changed(draw, extensions)
    return content[:34] + bytes([len(session)]) + session + suite + bytes([draw.one_in(8)]) + extensions


def record(draw, scenario, piece, rough):
    """A piece as a record, its header changed where it is to be a `rough` one."""
    kind, epoch, content, number = piece
    version, length = s.DTLS_1_2, None
    if draw.one_in(16):
        kind = draw.pick(KINDS)
    if draw.one_in(4):
        number += draw.pick([0, 1, 2, 30, 63, 64, 65, 1000, 1 << 32, (1 << 48) - 1 - number])
    if not rough:
        return scenario.server.record(kind, content, epoch, number, version)
    what = draw.below(7)
    if what == 0:
        content = scenario.server.sealed(kind, content, epoch, number)  # in epoch 0 too
    elif epoch:
        content = scenario.server.sealed(draw.pick(KINDS) if what == 1 else kind, content, epoch, number)
    if what == 2:
        kind = draw.pick(KINDS)
    elif what == 3:
        epoch = draw.pick([0, 1, 2, 0xFFFF])
    elif what == 4:
        version = draw.pick([s.DTLS_1_0, 0x0303, 0xFEFC, 0, 0xFFFF])
    elif what == 5:
        length = draw.pick(LARGE)
    elif what == 6:
        number = draw.pick([0, 1, number ^ 1, (1 << 48) - 1])
    return s.framed(kind, epoch, number, content, version, length)
