"""tshark dissects what the client sends: each packet is what was meant, field by field, and nothing is malformed."""

import struct
import subprocess

from mqtt import client as c
from mqtt import packet as p
from tests_host.conftest import judge
from tests_host.faults.dissect import WARNING
from tools.ctwing.trace import checksum, write_packets

DEVICE, SERVER = (b"\x0a\1\0\1", 40000), (b"\x0a\0\0\1", 1883)
CONNACK = b"\x20\2\1\0"
SYN, ACK, PUSH = 2, 16, 8
CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = "1", "3", "4", "8", "12", "14"  # §2.2.1
FIELDS = [
    "tcp.srcport", "mqtt.msgtype", "mqtt.ver", "mqtt.clientid", "mqtt.username", "mqtt.passwd", "mqtt.kalive",
    "mqtt.conflag.cleansess", "mqtt.topic", "mqtt.msg", "mqtt.msgid", "mqtt.qos", "mqtt.dupflag", "mqtt.retain",
    "mqtt.sub.qos", "_ws.malformed", "_ws.expert.severity",
]  # fmt: skip


def segment(source, target, sequence, acknowledged, flags, payload=b""):
    """`payload` in TCP (RFC 9293) in IPv4."""
    tcp = struct.pack(">HHIIBBHHH", source[1], target[1], sequence, acknowledged, 5 << 4, flags, 65535, 0, 0) + payload
    total = checksum(source[0] + target[0] + struct.pack(">HH", 6, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack(">H", total) + tcp[18:]
    head = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6)
    return head + struct.pack(">H", checksum(head + b"\0\0" + source[0] + target[0])) + source[0] + target[0] + tcp


def dissected(told, folder):
    """tshark's fields of ("<" or ">", bytes), one dict for each segment of ours."""
    numbers = {">": 1, "<": 1}
    packets = [segment(DEVICE, SERVER, 0, 0, SYN), segment(SERVER, DEVICE, 0, 1, SYN | ACK)]
    for way, data in told:
        ends, other = ((DEVICE, SERVER), "<") if way == ">" else ((SERVER, DEVICE), ">")
        packets.append(segment(*ends, numbers[way], numbers[other], PUSH | ACK, data))
        numbers[way] += len(data)
    write_packets(folder / "session.pcap", [(float(at), data) for at, data in enumerate(packets)])
    command = [judge("tshark"), "-r", str(folder / "session.pcap"), "-o", "tcp.check_checksum:TRUE", "-T", "fields"]
    command += ["-E", "separator=|"]
    for name in FIELDS:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.rstrip("\n").split("\n")
    assert len(lines) == len(packets)
    rows = [dict(zip(FIELDS, line.split("|"), strict=True)) for line in lines[2:]]
    for row in rows:
        assert not row["_ws.malformed"], row
        assert all(int(one) < WARNING for one in row["_ws.expert.severity"].split(",") if one), row
    return [row for row in rows if row["tcp.srcport"] == "40000"]


def session(clean, *calls):
    """What goes over the wire: CONNECT, CONNACK, then a segment for each call, ("publish", arguments)."""
    client = c.Client("16891291868543060025186", "账户", "nFSzM3tjRCOY", clean, 3600)
    client.connect()
    told = [(">", client.take()), ("<", b"\x20\2\0\0" if clean else CONNACK)]
    client.feed(told[1][1])
    for name, *arguments in calls:
        getattr(client, name)(*arguments)
        told.append((">", client.take()))
    return told


def only(row, **fields):
    """Whether these are the fields of a packet, and no others."""
    found = {name.split(".", 1)[1]: value for name, value in row.items() if name.startswith("mqtt.") and value}
    return found == {name.replace("__", "."): value for name, value in fields.items()}


def test_connect_is_what_was_meant(tmp_path):
    who = {"ver": "4", "clientid": "16891291868543060025186", "username": "账户", "passwd": "nFSzM3tjRCOY"}
    for clean in (False, True):
        (row,) = dissected(session(clean), tmp_path)
        assert only(row, msgtype=CONNECT, kalive="3600", conflag__cleansess=str(int(clean)), **who), row


def test_every_other_packet_is_what_was_meant(tmp_path):
    text = b'{"temp":22.5,"humi":78}'
    rows = dissected(session(
        False, ("publish", "topic/data", text, 0, 5), ("publish", "topic/data", text, 1, 258),
        ("publish", "水表/数据", bytes(range(256)), 1, 65535, True), ("publish", "t", bytes(20000), 1, 1),
        ("acknowledge", 4660), ("subscribe", 7, "device_control", 1), ("subscribe", 8, "a/#", 0), ("ping",),
        ("disconnect",),
    ), tmp_path)[1:]  # fmt: skip
    plain = {"msgtype": PUBLISH, "retain": "0"}
    assert only(rows[0], topic="topic/data", msg=text.hex(), qos="0", dupflag="0", **plain), rows[0]
    assert only(rows[1], topic="topic/data", msg=text.hex(), qos="1", dupflag="0", msgid="258", **plain)
    assert only(rows[2], topic="水表/数据", msg=bytes(range(256)).hex(), qos="1", dupflag="1", msgid="65535", **plain)
    assert only(rows[3], topic="t", msg=bytes(20000).hex(), qos="1", dupflag="0", msgid="1", **plain)
    assert only(rows[4], msgtype=PUBACK, msgid="4660")
    assert only(rows[5], msgtype=SUBSCRIBE, msgid="7", topic="device_control", sub__qos="1")
    assert only(rows[6], msgtype=SUBSCRIBE, msgid="8", topic="a/#", sub__qos="0")
    assert only(rows[7], msgtype=PINGREQ) and only(rows[8], msgtype=DISCONNECT)


def test_several_packets_in_one_segment_are_told_apart(tmp_path):
    client = c.Client("id", "user", "pw", True, 0)
    client.connect()
    client.publish("topic/data", b"x" * 64, 1, 1)
    client.disconnect()
    (row,) = dissected([(">", client.take()), ("<", b"\x20\2\0\0" + b"\x40\2\0\1")], tmp_path)
    assert row["mqtt.msgtype"] == ",".join([CONNECT, PUBLISH, DISCONNECT])
    assert (row["mqtt.topic"], row["mqtt.msg"]) == ("topic/data", (b"x" * 64).hex())


def test_a_long_message_may_be_cut_anywhere(tmp_path):
    client = c.Client("id", "user", "pw", True, 0)
    client.connect()
    connect = client.take()
    client.publish("topic/data", bytes(p.LIMIT), 1, 1)
    whole = client.take()
    parts = [(">", whole[:1]), (">", whole[1:600]), (">", whole[600:])]
    rows = dissected([(">", connect), ("<", CONNACK), *parts], tmp_path)
    assert [row["mqtt.msgtype"] for row in rows] == [CONNECT, "", "", PUBLISH]
    assert rows[3]["mqtt.msg"] == bytes(p.LIMIT).hex()
