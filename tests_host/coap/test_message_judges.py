"""The codec against others: aiocoap's, message by message in both directions, and bytes from anyone."""

from aiocoap import Message as TheirMessage
from aiocoap.numbers.codes import Code
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.numbers.types import Type
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coap import message as m
from tools.world.coap import Malformed
from tools.world.coap import decode as their_decode

sure = settings(derandomize=True, deadline=None, max_examples=200)  # the same cases in every run
hostile = settings(sure, max_examples=1000)

# Options that aiocoap keeps as bytes or text, or as integers whose leading zeros it drops.
OPAQUE_OPTIONS = st.tuples(st.sampled_from([1, 4, 2049, 65000]), st.binary(max_size=300))
TEXT_OPTIONS = st.tuples(
    st.sampled_from([m.URI_PATH, m.URI_QUERY, m.LOCATION_PATH]), st.text(max_size=60).map(lambda text: text.encode())
)
UINT_OPTIONS = st.tuples(
    st.sampled_from([m.OBSERVE, m.CONTENT_FORMAT, m.ACCEPT, 14]), st.integers(0, 0xFFFF).map(m.uint)
)
OPTIONS = st.lists(OPAQUE_OPTIONS | TEXT_OPTIONS | UINT_OPTIONS, max_size=12)
MESSAGES = st.builds(
    m.Message,
    st.sampled_from([m.CON, m.NON]),
    st.sampled_from([m.GET, m.POST, m.PUT, m.DELETE, m.CREATED, m.CONTENT, m.NOT_FOUND, m.UNAVAILABLE]),
    st.integers(0, 0xFFFF),
    st.binary(max_size=8),
    OPTIONS,
    st.binary(max_size=300),
)


def theirs(message):
    """What aiocoap says is in its message."""
    options = [(int(option.number), option.encode()) for option in message.opt.option_list()]
    return int(message.mtype), int(message.code), message.mid, message.token, options, message.payload


def ours(message):
    ordered = sorted(message.options, key=lambda option: option[0])
    return message.kind, message.code, message.mid, message.token, ordered, message.payload


def made_by_them(message):
    """The same content, put together by aiocoap."""
    other = TheirMessage(code=Code(message.code), payload=message.payload)
    other.mtype, other.mid, other.token = Type(message.kind), message.mid, message.token
    for number, value in message.options:
        other.opt.add_option(OptionNumber(number).create_option(decode=value))
    return other


@sure
@given(MESSAGES)
def test_aiocoap_reads_what_we_write(message):
    assert theirs(TheirMessage.decode(m.encode(message))) == ours(message)


@sure
@given(MESSAGES)
def test_we_read_what_aiocoap_writes(message):
    assert ours(m.decode(made_by_them(message).encode())) == ours(message)


@sure
@given(MESSAGES)
def test_aiocoap_writes_the_same_bytes(message):
    assert made_by_them(message).encode() == m.encode(message)


@sure
@given(MESSAGES)
def test_what_is_written_is_read_back(message):
    again = m.decode(m.encode(message))
    assert ours(again) == ours(message)
    assert m.encode(again) == m.encode(message)


CLASS_3 = [bytes([code]) for code in range(0x60, 0x80)]
HOSTILE = st.binary(max_size=60) | st.tuples(
    st.sampled_from([0x40, 0x44, 0x48, 0x50, 0x60, 0x64, 0x70]), st.integers(0, 255), st.binary(max_size=80)
).map(lambda parts: bytes(parts[:2]) + parts[2])


@hostile
@given(HOSTILE)
@example(b"\x40\x01\x00\x01" + b"\xee\xff\xff\xff\xff")
def test_bytes_from_anyone_are_a_message_or_a_format_error(data):
    try:
        message = m.decode(data)
    except m.FormatError:
        return
    assert len(message.token) <= 8 and len(message.options) <= m.MAX_OPTIONS
    message.path()
    message.critical()
    message.uint(m.OBSERVE)
    assert m.decode(m.encode(message)).options == message.options


@hostile
@given(HOSTILE)
@example(bytes.fromhex("50000001"))
@example(bytes.fromhex("60010001"))
@example(bytes.fromhex("70450001"))
@example(bytes.fromhex("4000000100"))
def test_we_refuse_what_the_platforms_side_refuses(data):
    """The platform's front checks aiocoap's result with code of its own; text that is no UTF-8 is its matter alone, the
    number of options and the largest number are ours. Class 3 it calls reserved (RFC 7252 §3); §4.2, §12.1 do not."""
    try:
        options, refused = list(their_decode(data).opt.option_list()), False
    except Malformed as error:
        options, refused = [], True
        if str(error) == "a text option is not UTF-8":
            return
    ours_alone = len(options) > m.MAX_OPTIONS or any(option.number > 65535 for option in options)
    try:
        m.decode(data)
    except m.FormatError:
        assert refused or ours_alone
    else:
        assert not refused or data[1:2] in CLASS_3
