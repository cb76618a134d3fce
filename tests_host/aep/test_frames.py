# runs in: cpython, vm, old
"""AEP's TCP frames against the vectors of ctwing.md §7.1, cut anywhere, and against bytes that are none."""

from ubinascii import hexlify, unhexlify

from aep import frames as f
from aep.stream_faults import BadFrame

DEVICE = "15436586863318069987727"
TOKEN = "ny6f1tSA41DQUVPD6P8g4iOk9zWNg5LGa9LIzPymuE8"  # of the guide: its byte 63 is a capital I
LOGIN = (
    "0100173135343336353836383633333138303639393837373237002b6e7936663174534134314451555650443650386734694f6b397a574e"
    "67354c4761394c497a50796d7545380003312e30"
)


def text(data):
    return hexlify(data).decode()


def bad(data):
    try:
        f.Parser().feed(data)
    except BadFrame:
        return True
    return False


def test_login_of_the_guide():
    made = f.login(DEVICE, TOKEN, "1.0", [])
    assert (text(made), len(made)) == (LOGIN, 76)


def test_login_of_version_2_has_six_more_fields():
    made = f.login("d", "t", "2.0", ["EC800E", "", "v1", "868543060974334", "", "46011"])
    assert text(made) == (
        "010001640001740003322e30" + "0006454338303045" + "0000" + "00027631" + "000f383638353433303630393734333334"
        + "0000" + "00053436303131"
    )  # fmt: skip


def test_lengths_count_bytes_not_characters():
    assert f.field("阀门".encode())[:2] == b"\x00\x06"


def test_reports_and_answers():
    assert text(f.uplink(b"hello world")) == "02000b68656c6c6f20776f726c64"
    assert text(f.report(1, 1, unhexlify("41023d71"))) == "0200080001000141023d71"
    assert text(f.answer(7, 0)) == "83000400070000"
    assert text(f.answer(7, 1, 9001, b"\x00\x00")) == "83000800070001" + "2329" + "0000"


def test_what_the_platform_sends():
    assert f.Parser().feed(unhexlify("050000")) == [(f.LOGGED_IN, b"\x00\x00")]
    assert f.Parser().feed(unhexlify("050004")) == [(f.LOGGED_IN, b"\x00\x04")]
    assert f.Parser().feed(b"\x06") == [(f.HEARTBEAT_ANSWER, b"")]
    assert f.Parser().feed(unhexlify("03000f72656365697665646d657373616765")) == [(f.DOWNLINK, b"receivedmessage")]
    assert f.Parser().feed(unhexlify("82000400010000")) == [(f.UPLINK_ANSWER, unhexlify("00010000"))]
    assert f.numbers(unhexlify("00010002ff")) == (1, 2)


def test_any_split_and_any_merge_give_the_same_frames():
    stream = unhexlify("050000" + "06" + "03000f72656365697665646d657373616765" + "82000400010000" + "06" + "030000")
    whole = f.Parser().feed(stream)
    assert [kind for kind, _ in whole] == [5, 6, 3, 0x82, 6, 3]
    for cut in range(len(stream)):
        parser = f.Parser()
        assert parser.feed(stream[:cut]) + parser.feed(stream[cut:]) == whole
    parser, got = f.Parser(), []
    for i in range(len(stream)):
        got += parser.feed(stream[i : i + 1])
    assert got == whole


def test_a_frame_that_is_none_is_refused_as_soon_as_that_is_seen():
    for first in range(256):
        if first not in (3, 5, 6, 0x82):
            assert bad(bytes([first])), first
    assert bad(b"\x03\xff\xff") and bad(b"\x82\x10\x00") and not bad(b"\x03\x04\x00")
    assert bad(b"HTTP/1.1 400") and bad(b"\x20\x02\x00\x00")


def test_a_frame_of_the_largest_size_passes_and_nothing_longer_is_held():
    body = b"x" * 1100
    assert f.Parser().feed(b"\x03\x04\x4c" + body) == [(f.DOWNLINK, body)]
    assert bad(b"\x03\x04\x4d" + body)


def test_a_body_without_its_numbers_is_refused():
    for size in range(4):
        try:
            f.numbers(b"\x00" * size)
        except BadFrame:
            continue
        raise AssertionError(size)
