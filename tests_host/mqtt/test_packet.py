# runs in: cpython, vm, old
"""MQTT control packets on the wire: what is encoded, what a server's bytes mean, what no server may send. Bytes are put
together by hand from MQTT 3.1.1 (OASIS standard); clauses are its own."""

from ubinascii import hexlify, unhexlify

from mqtt import packet as p

LIMIT = 1100
IDEOGRAPH = unhexlify("f0aa9b94")  # U+2A6D4, §1.5.3's example


def shown(data):
    return hexlify(data).decode()


def decoded(text):
    """The event of one packet, of which nothing is left over."""
    data = unhexlify(text.replace(" ", ""))
    start, end = p.first(data, 0)
    assert end == len(data)
    return p.decode(data, 0, start, end)


def refused(text):
    try:
        decoded(text)
    except p.Malformed:
        return True
    return False


def hopeless(text):
    """Whether the beginning of a packet is enough to refuse it."""
    try:
        p.first(unhexlify(text), 0)
    except p.Malformed:
        return True
    return False


def message(topic, payload=b"", head=b"\x30", number=b""):
    """A PUBLISH of a server's, as text."""
    body = bytes([len(topic) >> 8, len(topic) & 255]) + topic + number + payload
    assert len(body) < 128
    return shown(head + bytes([len(body)]) + body)


# what we send


def test_connect_is_the_protocols_name_level_flags_keep_alive_and_three_strings():
    # §3.1: "MQTT", level 4, user name and password and clean session (0xc2), 10 s as in §3.1.2.10's figure
    assert shown(p.connect("c", "user", "pw", True, 10)) == (
        "10170004" + shown(b"MQTT") + "04c2000a" + "000163" + "000475736572" + "00027077"
    )


def test_connect_without_clean_session_clears_one_bit_and_takes_the_guides_keep_alive():
    # guide §4.2.3: session 0, keep-alive 3600; a client id as long as AEP's is
    device = "16891291868543060025186"
    assert shown(p.connect(device, "u", "p", False, 3600)) == (
        "10290004" + shown(b"MQTT") + "04c00e10" + "0017" + shown(device.encode()) + "000175000170"
    )
    assert shown(p.connect("", "", "", False, 65535))[-16:] == "ffff" + "0000" * 3


def test_publish_of_qos_0_has_no_packet_id():
    # [MQTT-2.3.1-5]; the guide's topic and sample
    assert shown(p.publish("topic/data", b'{"temp":22.5,"humi":78}', 0, 77, True)) == (
        "3023000a" + shown(b"topic/data") + shown(b'{"temp":22.5,"humi":78}')
    )


def test_publish_of_qos_1_carries_its_packet_id_behind_the_topic():
    # §3.3.2.3's figure: topic "a/b", packet id 10
    assert shown(p.publish("a/b", b"xyz", 1, 10, False)) == "320a" + "0003612f62" + "000a" + "78797a"
    assert shown(p.publish("a/b", b"", 1, 0xFFFF, True)) == "3a07" + "0003612f62" + "ffff"


def test_puback_subscribe_pingreq_and_disconnect():
    assert shown(p.acknowledge(0x1234)) == "40021234"
    assert shown(p.subscribe(10, "a/b", 1)) == "8208" + "000a" + "0003612f62" + "01"  # §3.8.3.1's first filter
    assert shown(p.subscribe(1, "#", 0)) == "8206" + "0001" + "000123" + "00"
    assert shown(p.PINGREQ) == "c000" and shown(p.DISCONNECT) == "e000"


def test_strings_are_counted_in_bytes():
    # §1.5.3: "A" and U+2A6D4 are two characters and five bytes
    text = (b"A" + IDEOGRAPH).decode()
    assert shown(p.publish(text, b"", 0, 0, False)) == "3007" + "000541f0aa9b94"
    assert shown(p.connect(text, text, text, True, 0))[24:] == "000541f0aa9b94" * 3
    assert shown(p.subscribe(1, text, 1)) == "820a" + "0001" + "000541f0aa9b94" + "01"


def test_length_takes_one_byte_more_at_each_power_of_128():
    # §2.2.3, table 2.4
    for size, length in ((0x7F, "7f"), (0x80, "8001"), (0x3FFF, "ff7f"), (0x4000, "808001")):
        data = p.publish("t", bytes(size - 3), 0, 0, False)
        assert shown(data[:8]).startswith("30" + length + "000174"), size
        assert len(data) == 1 + len(length) // 2 + size


# what a server sends


def test_connack_accepts_with_or_without_a_session():
    assert decoded("20020000") == (p.CONNECTED, False)
    assert decoded("20020100") == (p.CONNECTED, True)


def test_connack_refuses_with_five_codes():
    for code in range(1, 6):
        assert decoded("2002000" + str(code)) == (p.REFUSED, code)


def test_connack_with_reserved_bits_or_codes_or_a_session_beside_a_refusal():
    for text in ("20020200", "20028000", "20020300", "20020006", "200200ff", "20020105"):  # §3.2.2, [MQTT-3.2.2-4]
        assert refused(text), text


def test_puback_and_suback_and_pingresp():
    assert decoded("4002000a") == (p.ACKED, 10)
    assert decoded("4002ffff") == (p.ACKED, 65535)
    assert decoded("9003000a00") == (p.SUBSCRIBED, 10, 0)
    assert decoded("9003000a01") == (p.SUBSCRIBED, 10, 1)
    assert decoded("9003000a80") == (p.SUBSCRIBED, 10, p.FAILED)
    assert decoded("d000") == (p.PONG,)


def test_packet_id_0_is_nobodys():
    for text in ("40020000", "9003000001", message(b"t", b"", b"\x32", b"\0\0")):  # [MQTT-2.3.1-1]
        assert refused(text), text


def test_suback_of_a_qos_nobody_asked_for_or_of_a_reserved_code():
    for code in (2, 3, 0x7F, 0x81, 0xFF):  # [MQTT-3.9.3-2]
        assert refused("9003000a" + shown(bytes([code]))), code


def test_message_of_qos_0():
    assert decoded("300a 0003612f62 68656c6c6f") == (p.MESSAGE, "a/b", b"hello", 0, 0, False)
    assert decoded("3005 0003612f62") == (p.MESSAGE, "a/b", b"", 0, 0, False)
    assert decoded("3103 000174") == (p.MESSAGE, "t", b"", 0, 0, False)  # retained


def test_message_of_qos_1_and_its_repeat():
    # AEP's downlink (ctwing.md §3.2)
    down = b"device_control"
    event = (p.MESSAGE, "device_control", b'{"on":1}', 1, 0x0102, False)
    assert decoded(message(down, b'{"on":1}', b"\x32", b"\1\2")) == event
    assert decoded(message(down, b'{"on":1}', b"\x33", b"\1\2")) == event
    assert decoded(message(down, b'{"on":1}', b"\x3a", b"\1\2")) == event[:5] + (True,)
    assert decoded(message(down, b'{"on":1}', b"\x3b", b"\1\2")) == event[:5] + (True,)


def test_payload_is_any_bytes():
    payload = bytes(range(100))
    assert decoded(message(b"t", payload))[2] == payload


def test_first_bytes_that_no_server_may_send():
    good = (0x20, 0x40, 0x90, 0xD0, 0x30, 0x31, 0x32, 0x33, 0x3A, 0x3B)
    for head in range(256):
        if head not in good:  # [MQTT-2.2.2-2]; DUP with QoS 0 [MQTT-3.3.1-2]; QoS 3 [MQTT-3.3.1-4]; QoS 2
            assert hopeless(shown(bytes([head]))), head
        else:
            assert p.first(bytes([head]), 0) is None


def test_length_other_than_the_packets_own():
    for text in ("2000", "2003000000", "4001 00", "4003000a00", "9002000a", "9004000a0101", "d00100"):
        assert refused(text), text


def test_wrong_length_is_refused_before_its_bytes_come():
    for text in ("2003", "408008", "d001", "9004"):
        assert hopeless(text), text
    assert p.first(unhexlify("90ff"), 0) is None  # the length is not whole yet


def test_length_may_have_bytes_it_does_not_need():
    # nothing in §2.2.3 forbids it
    for text in ("d08000", "d0808000", "d080808000", "4082808000 000a", "3083808000 000174"):
        assert decoded(text), text


def test_length_of_a_fifth_byte():
    for text in ("d0808080", "d08080"):
        assert p.first(unhexlify(text), 0) is None
    for text in ("d080808080", "d08080808000", "3083808080 00"):  # §2.2.3
        assert refused(text), text


def test_longest_packet_and_one_byte_more():
    body = b"\x00\x01t" + bytes(LIMIT - 3)
    data = b"\x30\xcc\x08" + body  # 1,100 = 0x4c + 8 * 128
    assert p.first(data, 0) == (3, len(data)) and p.first(data[:-1], 0) is None
    assert p.decode(data, 0, 3, len(data)) == (p.MESSAGE, "t", bytes(LIMIT - 3), 0, 0, False)
    for text in ("30cd08", "30ffff", "30ffffff7f"):
        assert hopeless(text), text


def test_every_part_of_a_packet_waits_for_the_rest():
    for text in ("20020000", "4002000a", "9003000a01", "d000", message(b"a/b", b"xyz", b"\x32", b"\0\1")):
        data = unhexlify(text)
        for size in range(len(data)):
            assert p.first(data[:size], 0) is None, (text, size)
        assert p.first(data + b"\x20", 0) == (2, len(data))


def test_packets_are_found_behind_one_another():
    data = unhexlify("4002000a" + "d000")
    assert p.first(data, 0) == (2, 4)
    assert p.first(data, 4) == (6, 6)
    assert p.first(data, 6) is None
    assert p.decode(data, 4, 6, 6) == (p.PONG,)


def test_message_without_room_for_its_topic_or_packet_id():
    for text in ("3000", "300100", "3002 0001", "3003 000274", "3203 000174", "3204 00017400", "3205ffff740001"):
        assert refused(text), text


def test_topic_that_is_none():
    for topic in (b"", b"a\0b", b"#", b"a/#", b"+", b"a/+/b"):  # [MQTT-4.7.3-1] [MQTT-1.5.3-2] [MQTT-3.3.2-2]
        assert refused(message(topic)), topic


def test_topic_that_is_not_utf_8():
    # RFC 3629 §4: a byte that begins nothing, a missing one, forms too long, surrogates, over U+10FFFF
    for text in ("80", "bf", "c080", "c1bf", "c3", "c341", "e08080", "e09fbf", "eda080", "edbfbf", "e282", "e28241",
                 "f0808080", "f08fbfbf", "f4908080", "f5808080", "ff", "f0aa9b", "41c3", "fe"):  # fmt: skip
        assert refused(message(unhexlify(text))), text  # [MQTT-1.5.3-1]


def test_topic_of_every_length_of_utf_8():
    # the ends of RFC 3629 §4's ranges; U+FEFF stays where it is [MQTT-1.5.3-3]
    for text in ("01", "7f", "c280", "dfbf", "e0a080", "e18080", "ecbfbf", "ed9fbf", "ee8080", "efbfbf", "efbbbf",
                 "f0908080", "f1808080", "f3bfbfbf", "f48fbfbf", "41f0aa9b9441"):  # fmt: skip
        topic = unhexlify(text)
        assert decoded(message(topic))[1].encode() == topic, text
