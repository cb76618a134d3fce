# runs in: cpython, vm, old
"""The client: packets of a whole session in both directions, and servers that leave the protocol. Bytes by hand from
MQTT 3.1.1 (OASIS standard); clauses are its own."""

from ubinascii import hexlify, unhexlify

from mqtt import client as c
from mqtt import packet as p

CONNACK = "20020000"
PRESENT = "20020100"
MESSAGE = "321a000e" + "6465766963655f636f6e74726f6c" + "0005" + "7b226f6e223a317d"  # device_control, id 5, {"on":1}
SECOND = "3206" + "000174" + "0006" + "78"


class Rig:
    """A client that has sent its CONNECT."""

    def __init__(self, answer=CONNACK, clean=False):
        self.client = c.Client("id", "user", "pw", clean, 60)
        self.client.connect()
        self.client.take()
        if answer:
            assert self.fed(answer) == [(p.CONNECTED, answer == PRESENT)]

    def fed(self, text):
        """The events of what comes."""
        self.client.feed(unhexlify(text))
        return self.events()

    def events(self):
        found = []
        while True:
            event = self.client.next()
            if event is None:
                return found
            found.append(event)

    def sent(self):
        return hexlify(self.client.take()).decode()

    def breaks(self, text):
        """Whether this is nothing that a server may send; what came before it stays."""
        try:
            self.client.feed(unhexlify(text))
        except p.Malformed:
            return True
        return False


def raises(call, *arguments):
    try:
        call(*arguments)
    except RuntimeError:
        return True
    return False


# a session


def test_nothing_is_sent_before_connect():
    client = c.Client("id", "user", "pw", True, 0)
    assert client.take() == b"" and client.next() is None
    # [MQTT-3.1.0-1]
    assert raises(client.publish, "t", b"", 0, 0) and raises(client.ping) and raises(client.disconnect)
    assert client.take() == b""


def test_connect_is_sent_once():
    client = c.Client("id", "user", "pw", True, 60)
    client.connect()
    assert raises(client.connect)  # [MQTT-3.1.0-2]
    assert hexlify(client.take()) == b"1018" + b"0004" + hexlify(b"MQTT") + b"04c2003c" + (
        b"00026964" + b"0004" + hexlify(b"user") + b"00027077"
    )
    assert client.take() == b""


def test_acknowledged_report_from_connect_to_disconnect():
    rig = Rig()
    rig.client.publish("t", b"xy", 1, 7)
    assert rig.sent() == "3207" + "000174" + "0007" + "7879"
    assert rig.fed("40020007") == [(p.ACKED, 7)]
    rig.client.disconnect()
    assert rig.sent() == "e000"


def test_report_may_go_out_behind_connect_in_one_piece():
    # §3.1.4: a client need not wait for the CONNACK
    client = c.Client("i", "u", "p", True, 0)
    client.connect()
    client.publish("t", b"", 1, 1)
    client.disconnect()
    sent = client.take()
    assert sent[-9:] == unhexlify("3205" + "000174" + "0001" + "e000")[-9:] and sent[0] == 0x10
    client.feed(unhexlify(CONNACK + "40020001"))
    assert client.next() == (p.CONNECTED, False) and client.next() == (p.ACKED, 1) and client.next() is None


def test_what_is_sent_keeps_its_order():
    rig = Rig()
    rig.client.subscribe(1, "t", 1)
    rig.client.publish("t", b"", 0, 0)
    rig.client.ping()
    assert rig.sent() == "8206" + "0001" + "000174" + "01" + "3003" + "000174" + "c000"


def test_repeat_has_the_dup_flag_and_the_same_packet_id():
    rig = Rig(PRESENT)
    rig.client.publish("t", b"x", 1, 9, True)  # [MQTT-4.4.0-1]
    assert rig.sent() == "3a06" + "000174" + "0009" + "78"


def test_message_is_acknowledged_when_the_caller_says_so():
    rig = Rig()
    assert rig.fed(MESSAGE) == [(p.MESSAGE, "device_control", b'{"on":1}', 1, 5, False)]
    assert rig.sent() == ""
    rig.client.acknowledge(5)
    assert rig.sent() == "40020005"


def test_messages_that_waited_in_the_session_come_with_the_connack():
    rig = Rig("")
    assert rig.fed(PRESENT + "3a" + MESSAGE[2:] + SECOND) == [
        (p.CONNECTED, True),
        (p.MESSAGE, "device_control", b'{"on":1}', 1, 5, True),
        (p.MESSAGE, "t", b"x", 1, 6, False),
    ]


def test_subscription_and_ping_are_answered():
    rig = Rig()
    assert rig.fed("9003000101" + "9003000280" + "d000") == [
        (p.SUBSCRIBED, 1, 1),
        (p.SUBSCRIBED, 2, p.FAILED),
        (p.PONG,),
    ]


def test_nothing_is_sent_after_disconnect():
    rig = Rig()
    rig.client.disconnect()
    # [MQTT-3.14.4-2]
    assert raises(rig.client.acknowledge, 5) and raises(rig.client.subscribe, 1, "t", 0)
    assert raises(rig.client.disconnect) and raises(rig.client.connect)
    assert rig.sent() == "e000"
    assert rig.fed(SECOND) == [(p.MESSAGE, "t", b"x", 1, 6, False)]  # crossed it on the way


def test_refusal_says_why_and_ends_the_connection():
    for code in range(1, 6):
        rig = Rig("")
        assert rig.fed("2002000" + str(code)) == [(p.REFUSED, code)]
        assert rig.breaks("d000") and rig.breaks("")  # [MQTT-3.2.2-5]


# streams


def test_any_split_and_any_merge_gives_the_same_events():
    stream = unhexlify(CONNACK + MESSAGE + "40020007" + SECOND + "d000" + "9003000101" + "3003000174")
    whole = Rig("")
    whole.client.feed(stream)
    events = whole.events()
    assert len(events) == 7
    for size in range(1, len(stream)):
        for late in (False, True):  # events are asked for at the end only
            rig, found = Rig(""), []
            for at in range(0, len(stream), size):
                rig.client.feed(stream[at : at + size])
                if not late:
                    found += rig.events()
            assert found + rig.events() == events, (size, late)


def test_event_comes_only_when_its_packet_is_whole():
    rig = Rig()
    assert rig.fed(MESSAGE[:-2]) == []
    assert rig.fed("") == []
    assert len(rig.fed(MESSAGE[-2:] + "40")) == 1
    assert rig.fed("0200") == []
    assert rig.fed("07") == [(p.ACKED, 7)]


def test_packet_as_long_as_may_be_comes_in_pieces():
    rig = Rig()
    body = b"\x00\x01t" + bytes([at & 0xFF for at in range(p.LIMIT - 3)])
    data = b"\x30\xcc\x08" + body
    for at in range(0, len(data), 100):
        rig.client.feed(data[at : at + 100])
    assert rig.events() == [(p.MESSAGE, "t", body[3:], 0, 0, False)]


# servers that leave the protocol


def test_first_packet_is_a_connack():
    for text in ("d000", "40020001", MESSAGE, "3003000174", "9003000101"):  # [MQTT-3.2.0-1]
        assert Rig("").breaks(text), text


def test_server_speaks_only_when_it_is_asked():
    client = c.Client("id", "user", "pw", True, 0)
    for text in (CONNACK, "20020005", "d000"):
        try:
            client.feed(unhexlify(text))
        except p.Malformed:
            continue
        raise AssertionError(text)


def test_connack_comes_once():
    for text in (CONNACK, PRESENT, "20020005"):
        rig = Rig()
        assert rig.breaks(text), text
        assert rig.events() == []


def test_session_that_was_not_asked_for():
    rig = Rig("", clean=True)
    assert rig.breaks(PRESENT)  # [MQTT-3.2.2-1]
    assert Rig("", clean=True).fed(CONNACK) == [(p.CONNECTED, False)]


def test_what_came_before_garbage_is_not_lost():
    rig = Rig()
    assert rig.breaks("40020007" + "d000" + "ff")
    assert rig.breaks("d000"), "the connection is of no more use"
    assert rig.events() == [(p.ACKED, 7), (p.PONG,)]


def test_broken_client_leaves_another_as_it_is():
    assert Rig().breaks("f000")
    assert Rig().fed("40020007") == [(p.ACKED, 7)]


def test_answer_of_another_protocol():
    for text in (b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02\x46"):
        assert Rig("").breaks(hexlify(text).decode()), text


# silence


def test_ping_is_due_after_the_keep_alive_and_the_server_drops_us_after_half_as_much_more():
    # [MQTT-3.1.2-23], [MQTT-3.1.2-24]
    assert c.deadlines(60, 5000, None, 8000) == (65000, 95000)
    assert c.deadlines(3600, 0, None, 8000) == (3600000, 5400000)


def test_unanswered_ping_ends_the_connection_no_later_than_the_server_would():
    assert c.deadlines(60, 65000, 65000, 8000) == (None, 73000)
    assert c.deadlines(60, 65000, 65000, 600000) == (None, 155000)


def test_without_keep_alive_only_a_ping_can_be_missed():
    # §3.1.2.10: 0 turns it off
    assert c.deadlines(0, 5000, None, 8000) == (None, None)
    assert c.deadlines(0, 5000, 6000, 8000) == (None, 14000)
