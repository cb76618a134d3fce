"""The pcap of a run: headers by hand against RFC figures, and tshark as the judge that did not write it."""

import asyncio
import os
import shutil
import struct
import subprocess

import pytest

from tests_host.ctwing.raw_device import IMEI, answer, mid_of, on_session, token_of
from tests_host.ctwing.stream_device import TOKEN, Loopback, connect, mqtt, publish
from tools.ctwing.store import TraceRow
from tools.ctwing.trace import checksum, packet, row_line, write_pcap


def records(path):
    data = path.read_bytes()
    assert data[:4] == bytes.fromhex("d4c3b2a1") and struct.unpack_from("<I", data, 20)[0] == 101
    place, found = 24, []
    while place < len(data):
        seconds, micros, length, original = struct.unpack_from("<IIII", data, place)
        assert length == original
        found.append((seconds, micros, data[place + 16:place + 16 + length]))
        place += 16 + length
    return found


def test_checksum_is_that_of_rfc_1071():
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # the RFC's sum is ddf2
    assert checksum(b"\x01") == checksum(b"\x01\x00")


@pytest.mark.parametrize("payload", [b"", b"x", b"hello", bytes(1200)])
def test_a_packet_sums_to_zero_and_carries_the_bytes(payload):
    raw = packet(payload, (b"\x0a\1\0\1", 49152), (b"\xdd\xe5\xd6\xca", 5683))
    assert checksum(raw[:20]) == 0
    assert checksum(raw[12:20] + struct.pack(">BBH", 0, 17, len(raw) - 20) + raw[20:]) == 0
    assert struct.unpack(">H", raw[2:4])[0] == len(raw) and raw[28:] == payload


def test_a_udp_checksum_of_zero_is_sent_as_all_ones():
    ends = (b"\x0a\1\0\1", 49152), (b"\xdd\xe5\xd6\xca", 5683)
    plain = packet(b"\0\0", *ends)
    assert packet(plain[26:28], *ends)[26:28] == b"\xff\xff"  # RFC 768: zero would mean "no checksum"


def test_a_device_keeps_its_address_over_ports_and_a_stranger_has_its_own(tmp_path):
    rows = [
        TraceRow(1, 1.0, "up", "127.0.0.1:1", b"a", "d1"), TraceRow(2, 1.5, "up", "127.0.0.1:2", b"b", "d1"),
        TraceRow(3, 2.0, "down", "127.0.0.1:2", b"c", "d1"), TraceRow(4, 2.0, "up", "127.0.0.1:3", b"d", "d2"),
        TraceRow(5, 2.25, "up", "127.0.0.1:4", b"e", None),
    ]
    assert write_pcap(tmp_path / "t.pcap", rows) == 5
    found = records(tmp_path / "t.pcap")
    sources = [raw[12:16] for _, _, raw in found]
    assert sources[0] == sources[1] == found[2][2][16:20]
    assert len({sources[0], sources[3], sources[4]}) == 3 and sources[2] == bytes([221, 229, 214, 202])
    assert found[4][:2] == (2, 250000)


async def exchanged(world):
    aep = world.aep()
    device, wire = await world.device(aep)
    await wire.register()
    token = await wire.observed()
    aep.command(device, "helloworld ack")
    woken = await world.wire(wire.platform)
    await woken.ask(on_session(6, 2, rest=b"\x48lt=86400"))
    woken.send(answer(await woken.receive(), 0x44))
    await woken.notify(7, token)
    await woken.notify(7, token)
    await woken.ask(on_session(8, 4))
    return aep, token


def test_every_row_of_a_run_belongs_to_its_device_and_a_strangers_to_nobody(world):
    async def work():
        aep, _ = await exchanged(world)
        device = aep.devices()[0].id
        assert {row.device for row in aep.trace()} == {device}
        stranger = await world.wire((aep.trace()[0].peer.split(":")[0], world.open[1].platform[1]))
        await stranger.ask("40001234")
        assert [row.device for row in aep.trace()[-2:]] == [None, None]
        assert aep.trace(device) == aep.trace()[:-2]

    world.run(work)


def tshark(path, *names):
    if shutil.which("tshark") is None:
        text = "tshark is missing: apt-get install tshark"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    command = ["tshark", "-r", str(path), "-T", "fields"]
    for name in ("ip.check_checksum", "udp.check_checksum", "tcp.check_checksum"):
        command += ["-o", f"{name}:TRUE"]
    for name in names:
        command += ["-e", name]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split("\t") for line in lines]


def test_tshark_finds_nothing_malformed_and_reads_the_same_messages(world, tmp_path):
    rows, token = world.run(lambda: traced(world))
    count = write_pcap(tmp_path / "run.pcap", rows)
    found = tshark(tmp_path / "run.pcap", "coap.mid", "coap.token", "coap.opt.uri_path", "_ws.malformed",
                   "ip.checksum.status", "udp.checksum.status", "_ws.expert.severity")
    assert len(found) == count == len(rows) > 15
    for row, (mid, read, _, malformed, ip_sum, udp_sum, severity) in zip(rows, found, strict=True):
        assert int(mid) == mid_of(row.raw)
        assert read.replace(":", "") == token_of(row.raw).hex()
        assert (malformed, ip_sum, udp_sum) == ("", "1", "1")  # 1: good
        assert not any(int(part, 0) >= 0x600000 for part in severity.split(",") if part)  # warning or worse
    paths = [path.replace(",", "/") for _, _, path, *_ in found if path]
    assert {"rd", f"rd/{IMEI}", "3/0", "19/0/0", "4/0/8", "19/1/0"} <= set(paths)


def test_tshark_reads_streams_of_mqtt_as_they_were_and_finds_nothing_lost(tmp_path):
    async def work():
        async with Loopback() as here:
            device = here.create(protocol="mqtt")
            for _ in range(2):
                stream = await here.connect("mqtt")
                stream.send(connect(device, TOKEN) + publish("topic/data", b"{}", 1) + mqtt(0xE0, b""))
                await stream.closed()
            return here.aep.trace()

    rows = asyncio.run(work())
    assert write_pcap(tmp_path / "run.pcap", rows) == len(rows) == 10
    found = tshark(tmp_path / "run.pcap", "mqtt.msgtype", "mqtt.topic", "tcp.stream", "tcp.checksum.status",
                   "_ws.malformed", "tcp.analysis.flags")
    assert [int(kind) for kind, *_ in found] == [row.raw[0] >> 4 for row in rows]
    assert [topic for _, topic, *_ in found if topic] == ["topic/data"] * 2
    assert {stream for _, _, stream, *_ in found} == {"0", "1"}
    assert {tuple(rest) for _, _, _, *rest in found} == {("1", "", "")}


@pytest.mark.parametrize(("peer", "raw", "line"), [
    ("1.2.3.4:5 by TCP", "02000161", "uplink 1 bytes b'a'"), ("1.2.3.4:5 by TCP", "050003", "login result 3"),
    ("1.2.3.4:5 by TCP", "04", "heartbeat"), ("1.2.3.4:5 by TCP", "", "nothing"),
    ("1.2.3.4:5 by MQTT", "c000", "PINGREQ"), ("1.2.3.4:5 by TCP", "01ffff", "login: the frame is longer"),
    ("1.2.3.4:5 by MQTTS", "40020007", "PUBACK id 7"), ("1.2.3.4:5 by MQTT", "20020004", "CONNACK 4"),
    ("1.2.3.4:5 by MQTT", "32080001740001" + "7b7d7d", "PUBLISH QoS 1 id 1 t: b'{}}'"),
    ("1.2.3.4:5 by MQTT", "", "type 0"), ("1.2.3.4:5 by MQTT", "f0", "type 15"), ("1.2.3.4:5", "60001234", "ACK"),
    ("1.2.3.4:5 by DTLS", "60001234", "ACK"), ("1.2.3.4:5 by MQTT", "10", "CONNECT: "),
])
def test_a_row_is_said_in_the_words_of_its_protocol(peer, raw, line):
    assert row_line(TraceRow(1, 1.0, "up", peer, bytes.fromhex(raw), None)).startswith(line)


async def traced(world):
    aep, token = await exchanged(world)
    return aep.trace(), token
