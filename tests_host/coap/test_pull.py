# runs in: cpython, vm, old
"""Pulling a large resource block by block (RFC 7959 §2.4)."""

from coap import block as b
from coap import exchange as x
from coap import message as m
from coap import pull as p

BODY = bytes([at * 7 & 255 for at in range(1300)])


class Rig:
    def __init__(self, limit=4096, szx=5):
        self.mid = 0x1234
        self.exchange = x.Exchange(self.next_mid, 256)
        self.got = []
        self.pull = p.Pull(self.exchange, m.path_options(m.URI_PATH, "fw"), self.sink, limit, szx)
        self.pull.ask(0)

    def next_mid(self):
        self.mid += 1
        return self.mid

    def sink(self, offset, data):
        assert offset == sum([len(part) for part in self.got])
        self.got.append(bytes(data))

    def asked(self):
        """The request that is out."""
        assert len(self.exchange.out) == 1
        return m.decode(self.exchange.out.pop())

    def answer(self, options=(), payload=b"", code=m.CONTENT):
        asked = self.asked()
        raw = m.encode(m.Message(m.ACK, code, asked.mid, asked.token, options, payload))
        return self.pull.take(self.exchange.receive(raw, 1), 1)

    def serve(self, body, szx=5, etag=b"\x01"):
        """Answers as a server with blocks of 16 << szx at most; returns the end."""
        end = None
        while end is None:
            number, asked = self.exchange.out[0], 0
            value = m.decode(number).uint(b.BLOCK2)
            asked = value & 7
            size = 16 << min(asked, szx)
            at = (value >> 4) * (16 << asked)
            option = b.pack(at // size, at + size < len(body), min(asked, szx))
            end = self.answer([(b.ETAG, etag), (b.BLOCK2, option)], body[at : at + size])
        return end


def test_a_resource_comes_in_blocks_in_order_and_once():
    rig = Rig()
    assert rig.serve(BODY) == (p.PULLED, 1300)
    assert [len(part) for part in rig.got] == [512, 512, 276] and b"".join(rig.got) == BODY
    assert rig.exchange.out == [] and not rig.exchange.busy()


def test_the_figures_of_the_specification():
    # §3.1 Figure 3: 2:0/0/64 first, then 2:1/0/64, 2:2/0/64
    rig = Rig(szx=2)
    values = []
    for number, more in ((0, True), (1, True), (2, False)):
        values.append(m.decode(rig.exchange.out[0]).all(b.BLOCK2)[0])
        end = rig.answer([(b.BLOCK2, b.pack(number, more, 2))], bytes(64))
    assert values == [b"\x02", b"\x12", b"\x22"] and end == (p.PULLED, 192)


def test_every_request_has_its_own_message_id_and_token():
    rig = Rig()
    seen = []
    for number in range(3):
        asked = m.decode(rig.exchange.out[0])
        seen.append((asked.mid, asked.token))
        rig.answer([(b.BLOCK2, b.pack(number, True, 5))], bytes(512))
    assert seen == [(0x1235, b"\x12\x35"), (0x1236, b"\x12\x36"), (0x1237, b"\x12\x37")]


def test_a_server_may_use_smaller_blocks():
    # §2.4: what the first answer used counts from then on
    for szx in range(6):
        rig = Rig()
        assert rig.serve(BODY, szx) == (p.PULLED, 1300)
        assert b"".join(rig.got) == BODY and len(rig.got[0]) == 16 << szx


def test_a_resource_that_fits_needs_no_blocks():
    rig = Rig()
    assert rig.answer([], b"small") == (p.PULLED, 5) and rig.got == [b"small"]
    rig = Rig()
    assert rig.answer() == (p.PULLED, 0)


def test_a_separate_response_counts_as_well():
    rig = Rig()
    asked = rig.asked()
    assert rig.exchange.receive(m.encode(m.Message(m.ACK, m.EMPTY, asked.mid)), 1) is None
    raw = m.encode(m.Message(m.CON, m.CONTENT, 900, asked.token, [(b.BLOCK2, b"\x05")], b"x"))
    assert rig.pull.take(rig.exchange.receive(raw, 2), 2) == (p.PULLED, 1)


def test_an_error_of_the_server_is_told():
    rig = Rig()
    assert rig.answer(code=m.NOT_FOUND) == (p.BROKEN, m.NOT_FOUND) and rig.got == []


def test_silence_and_a_reset_are_told():
    rig = Rig()
    event = None
    while event is None:
        event = rig.exchange.poll(rig.exchange.deadline())
    assert rig.pull.take(event, 1) == (p.BROKEN, p.SILENT)
    rig = Rig()
    raw = m.encode(m.Message(m.RST, m.EMPTY, rig.asked().mid))
    assert rig.pull.take(rig.exchange.receive(raw, 1), 1) == (p.BROKEN, p.SILENT)


def test_a_content_that_changes_between_blocks_ends_the_transfer():
    for second in ([(b.ETAG, b"\x02")], []):
        rig = Rig()
        assert rig.answer([(b.ETAG, b"\x01"), (b.BLOCK2, b.pack(0, True, 5))], bytes(512)) is None
        assert rig.answer(second + [(b.BLOCK2, b.pack(1, False, 5))], b"x") == (p.BROKEN, p.CHANGED)
        assert len(rig.got) == 1 and rig.exchange.out == []


def test_a_block_that_was_not_asked_for_ends_the_transfer():
    for options, payload in (
        ([(b.BLOCK2, b.pack(2, True, 5))], bytes(512)),  # another number
        ([(b.BLOCK2, b.pack(0, True, 5))], bytes(512)),  # the former once more
        ([(b.BLOCK2, b.pack(1, True, 4))], bytes(256)),  # the same number in another size is another place
        ([(b.BLOCK2, b.pack(1, True, 6))], bytes(1024)),  # larger than asked for
        ([(b.BLOCK2, b.pack(1, True, 7))], bytes(512)),  # the reserved size
        ([(b.BLOCK2, b.pack(1, True, 5))], bytes(511)),  # short, and yet not the last
        ([(b.BLOCK2, b.pack(1, True, 5))], bytes(513)),
        ([(b.BLOCK2, b.pack(1, False, 5))], bytes(513)),
        ([], b"x"),  # no block at all
    ):
        rig = Rig()
        rig.answer([(b.BLOCK2, b.pack(0, True, 5))], bytes(512))
        assert rig.answer(options, payload) == (p.BROKEN, p.WRONG), options
        assert len(rig.got) == 1


def test_a_first_block_of_a_wrong_size_ends_the_transfer():
    rig = Rig()
    assert rig.answer([(b.BLOCK2, b.pack(0, True, 5))], bytes(100)) == (p.BROKEN, p.WRONG) and rig.got == []


def test_the_total_is_bounded():
    for body, end in ((bytes(1024), (p.PULLED, 1024)), (bytes(1025), (p.BROKEN, p.TOO_LARGE))):
        rig = Rig(limit=1024)
        assert rig.serve(body) == end
        assert sum([len(part) for part in rig.got]) <= 1024
    rig = Rig(limit=1024)
    assert rig.answer([(b.SIZE2, m.uint(5000)), (b.BLOCK2, b.pack(0, True, 5))], bytes(512)) == (p.BROKEN, p.TOO_LARGE)
    assert rig.got == []
    rig = Rig(limit=512)
    option = b.pack(0, True, 5)
    assert rig.answer([(b.BLOCK2, option)], bytes(512)) == (p.BROKEN, p.TOO_LARGE), "more follows what fills it"
    assert rig.got == []
    rig = Rig(limit=512)
    assert rig.answer([(b.SIZE2, m.uint(512))], bytes(512)) == (p.PULLED, 512)
    rig = Rig(limit=4)
    assert rig.answer([], b"small") == (p.BROKEN, p.TOO_LARGE)
