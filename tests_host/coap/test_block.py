# runs in: cpython, vm, old
"""Block-wise transfer, the serving side (RFC 7959): its examples' figures, sizes, order, and what it refuses."""

from coap import block as b
from coap import exchange as x
from coap import message as m

LIFETIME = 247000  # ms, EXCHANGE_LIFETIME
BODY = bytes([at * 7 & 255 for at in range(1300)])


SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048)  # the last is reserved


def value(number, more, size):
    """A Block option's value, written from §2.2."""
    return m.uint(number << 4 | (8 if more else 0) | SIZES.index(size))


class Server:
    """Serves `body` to GET and keeps what is PUT; `asked` counts the requests that reached it."""

    def __init__(self, body=BODY):
        self.body = body
        self.put = []
        self.asked = 0
        self.code = m.CHANGED
        self.mid = 100
        self.exchange = x.Exchange(lambda: 1, 256)

    def ask(self, code, options, payload=b"", now=0, path="s", kind=m.CON):
        """The answer to one request, as a message."""
        self.mid += 1
        options = m.path_options(m.URI_PATH, path) + list(options)
        event = self.exchange.receive(m.encode(m.Message(kind, code, self.mid, b"tk", options, payload)), now)
        if event is not None:
            assert event[0] == x.REQUEST
            self.asked += 1
            if event[1].code == m.GET:
                self.exchange.respond(event[1], m.CONTENT, [(m.CONTENT_FORMAT, b"")], self.body)
            else:
                self.put.append(event[1].payload)
                self.exchange.respond(event[1], self.code)
        out = self.exchange.out[:]
        del self.exchange.out[:]
        assert len(out) == 1
        answer = m.decode(out[0])
        assert answer.token == b"tk"
        return answer

    def get(self, number=None, size=512, now=0, options=()):
        asked = [] if number is None else [(b.BLOCK2, value(number, False, size))]
        return self.ask(m.GET, asked + list(options), now=now)

    def write(self, number, more, size, payload, now=0, path="s", options=()):
        return self.ask(m.PUT, [(b.BLOCK1, value(number, more, size))] + list(options), payload, now, path)


def test_the_numbers_are_the_standards():
    # RFC 7252 §12.2 and RFC 7959 §6: options 4, 23, 27, 28, 60; codes 2.31 and 4.08
    assert (b.ETAG, b.BLOCK2, b.BLOCK1, b.SIZE2, b.SIZE1) == (4, 23, 27, 28, 60)
    assert m.dotted(b.CONTINUE) == "2.31" and m.dotted(b.INCOMPLETE) == "4.08"


# Block2


def test_a_large_answer_leaves_in_blocks_of_512():
    # §3.1, Figure 2's shape
    server = Server()
    got = b""
    answer = server.get()
    for number, more in ((0, True), (1, True), (2, False)):
        assert answer.code == m.CONTENT and answer.all(b.BLOCK2) == [value(number, more, 512)]
        assert answer.uint(m.CONTENT_FORMAT) == 0
        got += answer.payload
        answer = server.get(number + 1)
    assert got == BODY


def test_an_answer_that_fits_is_whole_and_has_no_option():
    answer = Server(bytes(512)).get()
    assert answer.payload == bytes(512) and answer.all(b.BLOCK2) == [] and answer.all(b.ETAG) == []


def test_one_byte_more_leaves_in_two_blocks():
    server = Server(BODY[:513])
    assert server.get().all(b.BLOCK2) == [value(0, True, 512)]
    assert server.get(1).payload == BODY[512:513]


def test_a_body_of_whole_blocks_ends_with_its_last_block():
    server = Server(BODY[:1024])
    assert [server.get(number).all(b.BLOCK2) for number in (0, 1)] == [[value(0, True, 512)], [value(1, False, 512)]]
    answer = Server(BODY[:64]).get(0, 64)
    assert answer.all(b.BLOCK2) == [value(0, False, 64)] and answer.all(b.ETAG) == []


def test_the_client_may_ask_for_less_from_the_start():
    # §3.1 Figure 3: early negotiation
    server = Server(BODY[:520])
    for number in range(9):
        answer = server.get(number, 64)
        assert answer.all(b.BLOCK2) == [value(number, number < 8, 64)]
        assert answer.payload == BODY[64 * number : min(64 * number + 64, 520)]


def test_the_client_may_ask_for_less_later():
    # §3.1 Figure 4: late negotiation; block 0 of 512 is blocks 0-7 of 64
    server = Server()
    assert server.get().payload == BODY[:512]
    for number in range(8, 21):
        answer = server.get(number, 64)
        assert answer.payload == BODY[64 * number : 64 * number + 64]
        assert answer.all(b.BLOCK2) == [value(number, number < 20, 64)]


def test_more_than_512_is_answered_with_512_at_the_place_asked_for():
    server = Server()
    answer = server.get(0, 1024)
    assert answer.all(b.BLOCK2) == [value(0, True, 512)] and answer.payload == BODY[:512]
    answer = server.get(1, 1024)
    assert answer.all(b.BLOCK2) == [value(2, False, 512)] and answer.payload == BODY[1024:]


def test_every_size_gives_the_body():
    for size in (16, 32, 64, 128, 256, 512, 1024):
        server = Server()
        got = b""
        while True:
            answer = server.get(len(got) // min(size, 512), min(size, 512))
            got += answer.payload
            if not answer.uint(b.BLOCK2) & 8:
                break
        assert got == BODY


def test_a_small_answer_says_that_it_is_all_where_blocks_are_spoken():
    answer = Server(b"x").get(0, 64)
    assert answer.all(b.BLOCK2) == [value(0, False, 64)] and answer.payload == b"x" and answer.all(b.ETAG) == []
    answer = Server(bytes(64)).get(0, 64)
    assert answer.all(b.BLOCK2) == [value(0, False, 64)] and answer.all(b.ETAG) == []
    answer = Server(b"").get(0, 64)
    assert answer.all(b.BLOCK2) == [value(0, False, 64)] and answer.payload == b""


def test_a_block_beyond_the_end_is_a_bad_request():
    server = Server(BODY[:1024])
    for number, size in ((2, 512), (1, 1024), (64, 16), (0xFFFFF, 512)):
        answer = server.get(number, size)
        assert answer.code == m.BAD_REQUEST and answer.payload == b"" and answer.all(b.BLOCK2) == []


def test_the_reserved_size_is_a_bad_request_that_reaches_nobody():
    # §2.2
    server = Server()
    assert server.get(0, 2048).code == m.BAD_REQUEST and server.write(0, True, 2048, b"x").code == m.BAD_REQUEST
    assert server.asked == 0


def test_the_m_bit_of_a_request_means_nothing():
    # §2.3
    answer = Server().ask(m.GET, [(b.BLOCK2, value(1, True, 512))])
    assert answer.payload == BODY[512:1024]


def test_later_blocks_are_of_the_first_ones_content():
    # time of day and signal would differ at every block; the device is asked once
    server = Server()
    first = server.get(now=300)
    server.body = bytes(1300)
    assert server.get(1, now=300).payload == BODY[512:1024]
    assert server.get(2, now=299 + LIFETIME).payload == BODY[1024:]
    assert server.get(1).all(b.ETAG) == first.all(b.ETAG) and server.asked == 1
    again = server.get()
    assert again.payload == bytes(512) and again.all(b.ETAG) != first.all(b.ETAG) and server.asked == 2


def test_a_small_read_in_between_does_not_take_the_large_ones_content():
    for length in (1, 512):
        server = Server()
        first = server.get()
        server.body = bytes(length)
        assert server.ask(m.GET, [(b.BLOCK2, value(0, False, 512))], path="other").payload == bytes(length)
        answer = server.get(1)
        assert answer.payload == BODY[512:1024] and answer.all(b.ETAG) == first.all(b.ETAG)


def test_a_transfer_late_in_a_long_life_is_of_one_content_too():
    server = Server()
    server.get(now=10 * LIFETIME)
    server.body = bytes(1300)
    assert server.get(1, now=10 * LIFETIME + 1000).payload == BODY[512:1024] and server.asked == 1


def test_4096_bytes_are_kept_for_later_blocks_and_of_more_the_device_is_asked_again():
    for length, asked in ((b.KEPT, 1), (b.KEPT + 1, 2)):
        server = Server(bytes(length))
        server.get()
        assert server.get(1).code == m.CONTENT and server.asked == asked


def test_an_answer_too_long_to_be_kept_ends_the_one_kept_before():
    server = Server()
    server.get()
    server.body = bytes(b.KEPT + 1)
    server.get()
    assert server.get(1).payload == bytes(512)


def test_an_etag_tells_contents_apart_where_the_device_is_asked_again():
    # §2.4: after EXCHANGE_LIFETIME, after another transfer, and where the answer is too large to keep
    for spoil in ("time", "other", "size"):
        server = Server(BODY * 4 if spoil == "size" else BODY)
        first = server.get(now=500)
        assert len(first.all(b.ETAG)[0]) == 4
        if spoil == "other":
            server.ask(m.GET, [], path="t")
        server.body = bytes(len(server.body))
        later = server.get(1, now=500 + (LIFETIME if spoil == "time" else LIFETIME - 1))
        assert later.payload == bytes(512) and later.all(b.ETAG) != first.all(b.ETAG), spoil


def test_an_answer_of_up_to_4096_bytes_is_kept():
    for size, asked in ((4096, 1), (4097, 2)):
        server = Server(bytes(size))
        server.get()
        assert server.get(1).payload == bytes(512) and server.asked == asked


def test_an_answer_too_large_to_keep_ends_the_one_that_was():
    server = Server()
    server.get()
    server.body = bytes(5000)
    server.get()
    assert server.get(1).payload == bytes(512) and server.asked == 3


def test_requests_that_differ_are_different_transfers():
    server = Server()
    server.get()
    server.body = bytes(1300)
    for options in ([(m.ACCEPT, b"\x28")], [(m.URI_QUERY, b"a")], [(m.URI_PATH, b"t")]):
        answer = server.ask(m.GET, [(b.BLOCK2, value(1, False, 512))] + options)
        assert answer.payload == bytes(512)


def test_the_size_is_told_where_it_is_asked_for():
    # §4
    server = Server()
    assert server.get().all(b.SIZE2) == []
    assert server.get(0, 512, options=[(b.SIZE2, b"")]).uint(b.SIZE2) == 1300
    assert server.get(1, 512, options=[(b.SIZE2, b"")]).uint(b.SIZE2) == 1300


def test_an_observation_is_begun_by_the_first_block_alone():
    # §2.6
    server = Server()
    server.mid += 1
    observe = m.path_options(m.URI_PATH, "s") + [(m.OBSERVE, b"")]
    event = server.exchange.receive(m.encode(m.Message(m.CON, m.GET, server.mid, b"tk", observe)), 0)
    server.exchange.respond(event[1], m.CONTENT, [(m.OBSERVE, b"")], BODY)
    first = m.decode(server.exchange.out.pop())
    assert first.uint(m.OBSERVE) == 0 and first.uint(b.BLOCK2) == 0x0D
    later = server.get(1)
    assert later.all(m.OBSERVE) == [] and later.payload == BODY[512:1024]


def test_a_repeated_request_for_a_block_gets_the_same_bytes():
    server = Server()
    server.get()
    ask = m.encode(m.Message(m.CON, m.GET, 7, b"tk", [(m.URI_PATH, b"s"), (b.BLOCK2, value(1, False, 512))]))
    assert server.exchange.receive(ask, 0) is None
    first = server.exchange.out.pop()
    assert server.exchange.receive(ask, 5) is None and server.exchange.out == [first]
    assert server.exchange.duplicates == 1


def test_a_non_request_for_a_block_gets_a_non():
    server = Server()
    answer = server.ask(m.GET, [(b.BLOCK2, value(1, False, 512))], kind=m.NON)
    assert answer.kind == m.NON and answer.payload == BODY[512:1024]


def test_a_last_block_written_that_asks_for_a_later_one_of_its_answer_does_nothing():
    server = Server()
    options = [(b.BLOCK2, value(1, False, 64))]
    assert server.write(0, False, 64, b"x", options=options).code == m.BAD_REQUEST and server.put == []


def test_a_block_of_the_reserved_size_is_not_written():
    # §2.2, also where it would be the last
    server = Server()
    for more in (False, True):
        assert server.write(0, more, 2048, bytes(600)).code == m.BAD_REQUEST and server.put == []


def test_a_later_block_of_what_is_no_get_does_nothing():
    server = Server()
    for code in (m.POST, m.PUT, m.DELETE):
        assert server.ask(code, [(b.BLOCK2, value(1, False, 64))]).code == m.BAD_REQUEST
    assert server.asked == 0
    assert server.ask(m.POST, [(b.BLOCK2, value(0, False, 64))]).code == m.CHANGED


def test_an_error_has_no_blocks():
    server = Server()
    event = server.exchange.receive(m.encode(m.Message(m.CON, m.GET, 7, b"tk", [(b.BLOCK2, b"\x02")])), 0)
    server.exchange.respond(event[1], m.NOT_FOUND)
    assert server.exchange.out == [m.encode(m.Message(m.ACK, m.NOT_FOUND, 7, b"tk"))]


# Block1


def test_a_write_in_blocks_arrives_whole_and_once():
    # §3.2 Figure 7: 2.31, 2.31, 2.04, each with the block it answers
    server = Server()
    assert server.write(0, True, 128, BODY[:128]).code == b.CONTINUE
    answer = server.write(1, True, 128, BODY[128:256])
    assert answer.code == b.CONTINUE and answer.all(b.BLOCK1) == [value(1, True, 128)] and server.put == []
    answer = server.write(2, False, 128, BODY[256:300])
    assert answer.code == m.CHANGED and answer.all(b.BLOCK1) == [value(2, False, 128)]
    assert server.put == [BODY[:300]]


def test_a_write_of_one_block_is_whole():
    server = Server()
    answer = server.write(0, False, 512, b"valve")
    assert answer.code == m.CHANGED and answer.all(b.BLOCK1) == [value(0, False, 512)] and server.put == [b"valve"]


def test_the_size_may_shrink_within_a_write():
    server = Server()
    server.write(0, True, 512, BODY[:512])
    for number in range(8, 12):
        code = server.write(number, number < 11, 64, BODY[64 * number : 64 * number + 64]).code
        assert code == (b.CONTINUE if number < 11 else m.CHANGED)
    assert server.put == [BODY[:768]]


def test_what_the_server_answers_to_the_whole_comes_with_the_last_block():
    server = Server()
    server.code = m.METHOD_NOT_ALLOWED
    server.write(0, True, 16, bytes(16))
    answer = server.write(1, False, 16, b"x")
    assert answer.code == m.METHOD_NOT_ALLOWED and answer.all(b.BLOCK1) == [value(1, False, 16)]


def test_a_block_that_is_not_the_next_is_incomplete():
    # §2.9.2
    for number, begin in ((1, False), (2, True), (5, True)):
        server = Server()
        if begin:
            server.write(0, True, 64, BODY[:64])
        assert server.write(number, False, 64, b"x").code == b.INCOMPLETE and server.put == []
        assert server.write(1, False, 64, b"x").code == b.INCOMPLETE, "the assembly is over"


def test_a_block_of_another_request_is_incomplete():
    server = Server()
    server.write(0, True, 64, BODY[:64])
    assert server.write(1, False, 64, b"x", path="t").code == b.INCOMPLETE
    server.write(0, True, 64, BODY[:64])
    assert server.write(1, False, 64, b"x", options=[(m.CONTENT_FORMAT, b"\x2a")]).code == b.INCOMPLETE
    assert server.put == []


def test_a_new_write_replaces_the_one_under_way():
    # §2.5
    server = Server()
    server.write(0, True, 64, BODY[:64])
    server.write(0, True, 64, bytes(64))
    assert server.write(1, False, 64, b"x").code == m.CHANGED and server.put == [bytes(64) + b"x"]


def test_reads_between_the_blocks_of_a_write_disturb_nothing():
    server = Server()
    server.write(0, True, 64, BODY[:64])
    server.get()
    server.get(1)
    assert server.write(1, False, 64, b"x").code == m.CHANGED and server.put == [BODY[:64] + b"x"]


def test_an_assembly_ends_with_exchange_lifetime_after_its_last_block():
    for wait, code in ((LIFETIME - 1, m.CHANGED), (LIFETIME, b.INCOMPLETE)):
        server = Server()
        server.write(0, True, 64, BODY[:64], 5)
        server.write(1, True, 64, BODY[64:128], 5 + LIFETIME - 1)
        assert server.write(2, False, 64, b"x", 5 + LIFETIME - 1 + wait).code == code


def test_1024_bytes_are_taken_and_more_is_too_large():
    # §2.9.3: 4.13 with the size that would do
    server = Server()
    server.write(0, True, 512, BODY[:512])
    assert server.write(1, False, 512, BODY[512:1024]).code == m.CHANGED and server.put == [BODY[:1024]]
    for size, numbers in ((512, 1), (1024, 0)):
        server = Server()
        for number in range(numbers):
            server.write(number, True, size, bytes(size))
        answer = server.write(numbers, True, size, bytes(size))
        assert answer.code == m.REQUEST_TOO_LARGE and answer.uint(b.SIZE1) == 1024 and server.put == []


def test_a_size_told_at_the_start_is_refused_at_the_start():
    server = Server()
    assert server.write(0, True, 64, bytes(64), options=[(b.SIZE1, m.uint(1025))]).code == m.REQUEST_TOO_LARGE
    assert server.write(0, True, 64, bytes(64), options=[(b.SIZE1, m.uint(1024))]).code == b.CONTINUE


def test_a_block_must_have_its_size():
    for number, more, size, length in ((0, True, 64, 63), (0, True, 64, 65), (0, False, 64, 65), (0, True, 64, 0)):
        server = Server()
        assert server.write(number, more, size, bytes(length)).code == m.BAD_REQUEST and server.put == []


def test_an_option_that_is_too_long_is_not_understood():
    # RFC 7252 §5.4.3: the layer above answers 4.02
    for number in (b.BLOCK1, b.BLOCK2):
        event = x.Exchange(lambda: 1).receive(m.encode(m.Message(m.CON, m.GET, 7, b"", [(number, bytes(4))])), 0)
        assert event[0] == x.REQUEST and event[1].critical() == number


def test_a_block_beside_an_unknown_critical_option_is_not_assembled():
    server = Server()
    options = [(m.URI_PATH, b"s"), (9, b""), (b.BLOCK1, value(0, True, 16))]
    event = server.exchange.receive(m.encode(m.Message(m.CON, m.PUT, 7, b"", options, bytes(16))), 0)
    assert event[0] == x.REQUEST and event[1].critical() == 9
    server.exchange.respond(event[1], m.BAD_OPTION)
    del server.exchange.out[:]
    assert server.write(1, False, 16, b"x").code == b.INCOMPLETE


def test_a_notification_is_its_first_block_and_the_rest_is_of_its_content():
    # §2.6, also where an older answer is still kept
    server = Server()
    server.get()
    told = bytes(700)
    options, payload = server.exchange.blockwise().notification([(m.URI_PATH, b"s")], 0, [(m.OBSERVE, b"\x05")], told)
    assert payload == told[:512]
    assert options == [(m.OBSERVE, b"\x05"), (b.ETAG, b.etag(told)), (b.BLOCK2, value(0, True, 512))]
    answer = server.get(1)
    assert answer.payload == told[512:] and answer.all(b.ETAG) == [b.etag(told)] and server.asked == 1
    assert answer.all(m.OBSERVE) == []


def test_a_tag_has_four_bytes_and_differs():
    tags = [b.etag(data) for data in (b"", b"a", b"b", bytes(600), bytes(601), BODY)]
    assert len(set(tags)) == 6 and [len(tag) for tag in tags] == [4] * 6
