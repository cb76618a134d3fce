"""The TCP front, asked by raw bytes over real sockets: the guide's vectors, each version, who is let in, and when it
ends."""

import asyncio
import random
import socket

import pytest

from tests_host.ctwing.stream_device import LOGIN, NUMBER, TOKEN, Loopback, login, real
from tools.ctwing import tcp, tcp_frames


@real()
async def test_the_guides_own_exchange_goes_byte_by_byte(here):
    device = here.create()
    stream = await here.connect()
    assert await stream.ask(LOGIN, 3) == "050000"
    stream.send("02000b68656c6c6f20776f726c64")
    assert await stream.ask("04", 1) == "06"
    here.aep.command(device, "receivedmessage")
    assert (await stream.get(18)).hex() == "03000f72656365697665646d657373616765"
    uplink, = here.aep.uplinks(device)
    assert (uplink.payload, uplink.acknowledged, uplink.kind) == (b"hello world", False, "TCP 1.0")
    command, = here.aep.commands(device)
    assert (command.status, command.result) == ("DELIVERED", "sent")
    assert device == "15436586863318069987727" and here.aep.device(device).online
    assert [(row.direction, row.raw.hex()) for row in here.aep.trace(device)] == [
        ("up", LOGIN.hex()), ("down", "050000"), ("up", "02000b68656c6c6f20776f726c64"), ("up", "04"),
        ("down", "06"), ("down", "03000f72656365697665646d657373616765")]


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7, 1000])
@real()
async def test_frames_split_and_merged_anywhere_are_the_same_frames(here, cut):
    device = here.create()
    stream = await here.connect()
    wire = LOGIN + b"\x04" + b"".join(b"\x02" + bytes([0, n]) + b"x" * n for n in range(5)) + b"\x04"
    for at in range(0, len(wire), cut):
        stream.send(wire[at:at + cut])
        await asyncio.sleep(0)
    assert (await stream.get(5)).hex() == "0500000606"
    assert [uplink.payload for uplink in here.aep.uplinks(device)] == [b"x" * n for n in range(5)]


@pytest.mark.parametrize(("sent", "result"), [
    (login("15436586000000000000000", TOKEN), 2), (login(f"15436586{NUMBER}", TOKEN.lower()), 3),
    (login(f"15436586{NUMBER}", ""), 3), (login("", ""), 2), (login(f"15436586{NUMBER}", TOKEN, "3.0"), 1),
    (login(f"15436586{NUMBER}", TOKEN, "1.1"), 1), (login("\xff\u6c34", TOKEN), 2),
])
@real()
async def test_a_login_that_is_refused_is_told_why_and_the_connection_closed(here, sent, result):
    device = here.create()
    stream = await here.connect()
    stream.send(sent)
    assert (await stream.closed()).hex() == f"05000{result}"
    assert f"login result {result}" in here.reasons("rejected")[0] and not here.aep.device(device).online
    assert here.aep.registrations(device) == [] and here.aep.device(device).life_cycle == "registered"


@real()
async def test_who_is_logged_in_keeps_its_connection_and_the_newcomer_gets_result_4(here):
    device = here.create()
    first, second = await here.connect(), await here.connect()
    assert await first.ask(LOGIN, 3) == "050000"
    second.send(LOGIN)
    assert (await second.closed()).hex() == "050004"
    assert await first.ask("04", 1) == "06"
    first.close()
    await here.until(lambda: not here.aep.device(device).online)
    third = await here.connect()
    assert await third.ask(LOGIN, 3) == "050000"
    assert [row.reason for row in here.aep.registrations(device)] == ["closed by the device", None]


@real()
async def test_version_1_1_acknowledges_uplinks_and_commands_one_after_another(here):
    device = here.create(transparent=False)
    here.aep.command(device, "one")
    here.aep.command(device, "two")
    stream = await here.connect()
    assert await stream.ask(login(device, TOKEN, "1.1"), 3) == "050000"
    assert (await stream.get(10)).hex() == "0300070001" + "0000" + b"one".hex()
    assert await stream.ask("0200080001000141023d71", 7) == "82000400010000"  # ctwing.md §7.1
    uplink, = here.aep.uplinks(device)
    assert (uplink.payload.hex(), uplink.mid, uplink.service) == ("41023d71", 1, 1)
    assert uplink.acknowledged and await stream.silent()
    stream.send("83000400090000")  # of no task under way
    assert await stream.ask("83000400010000", 10) == "0300070002" + "0000" + b"two".hex()
    stream.send("83000900020001" + "2329" + "000000")
    await here.until(lambda: here.aep.commands(device)[1].status == "DELIVERED")
    assert [(c.result, c.answer.hex()) for c in here.aep.commands(device)] == [("0", ""), ("1", "2329000000")]
    here.aep.command(device, "three")
    assert await stream.get(12)
    stream.send("83000400030002")
    await here.until(lambda: here.aep.commands(device)[2].status == "FAILED")
    assert len(here.reasons("stray")) == 1


@real()
async def test_version_2_0_has_six_strings_more(here):
    device = here.create()
    stream = await here.connect()
    wire = login(device, TOKEN, "2.0", "EC800E", "EC718", "1.0", "868543060974334", "89860320845515190439", "")
    stream.send(wire[:-1])
    assert await stream.silent(0.1)
    assert await stream.ask(wire[-1:], 3) == "050000"
    assert here.aep.registrations(device)[0].binding == "TCP 2.0"


@real()
async def test_a_command_waits_for_the_login_and_goes_back_to_the_cache_when_the_connection_ends(here):
    device = here.create(transparent=False)
    here.aep.command(device, "now or never", ttl=0)
    number = here.aep.command(device, "waits", ttl=60)
    for _ in range(2):  # the first time it is not acknowledged
        stream = await here.connect()
        assert await stream.ask(login(device, TOKEN, "1.1"), 3) == "050000"
        assert (await stream.get(12))[7:] == b"waits"
        stream.close()
        await here.until(lambda: not here.aep.device(device).online)
    assert [c.status for c in here.aep.commands(device)] == ["FAILED", "SAVED"]
    assert here.aep.commands(device)[1].id == number


# in the world's time


@pytest.mark.parametrize(("any_frame", "lives"), [(False, False), (True, True)])
def test_only_heartbeats_count_unless_any_frame_does(monkeypatch, any_frame, lives):
    monkeypatch.setattr(tcp, "HEARTBEAT_TIME", 0.3)

    async def main():
        async with Loopback(tcp_any_frame=any_frame) as here:
            device = here.create()
            stream = await here.connect()
            assert await stream.ask(LOGIN, 3) == "050000"
            for _ in range(5):
                await asyncio.sleep(0.1)
                stream.send("02000161")
            assert here.aep.device(device).online == lives
            if not lives:
                assert await stream.closed() == b""
                assert "no heartbeat" in here.aep.registrations(device)[0].reason
            else:
                assert await stream.ask("04", 1) == "06"

    asyncio.run(main())


@real()
async def test_a_connection_that_never_logs_in_is_closed(here, monkeypatch):
    monkeypatch.setattr(tcp, "HEARTBEAT_TIME", 0.1)

    here.create()
    assert await (await here.connect()).closed() == b""
    assert "no login" in here.reasons("malformed")[0]


def test_more_than_30_connections_in_a_minute_are_a_ban_of_two_hours():
    gate = tcp.Gate()
    assert [gate.connects("10.0.0.1", n * 1.9) for n in range(30)] == [""] * 30
    assert "7200" in gate.connects("10.0.0.1", 58.0) and gate.connects("10.0.0.2", 58.0) == ""
    assert gate.connects("10.0.0.1", 7257.9) and not gate.connects("10.0.0.1", 7258.1)
    assert [gate.connects("10.0.0.3", 9000 + n * 2.01) for n in range(200)] == [""] * 200


@real()
async def test_a_banned_address_is_closed_at_once(here):
    device = here.create()
    for _ in range(30):
        stream = await here.connect()
        assert await stream.ask(LOGIN, 3) == "050000"
        stream.close()
        await here.until(lambda: not here.aep.device(device).online)
    assert await (await here.connect()).closed() == b""
    assert "banned" in here.reasons("rejected")[0] and len(here.aep.registrations(device)) == 30


# hostile bytes


@pytest.mark.parametrize(("wire", "reason"), [
    ("04", "before the login"), ("02000161", "before the login"), ("83000400010000", "before the login"),
    ("ff", "0xff"), ("06", "0x06"), ("05", "0x05"), ("030000", "0x03"), ("01ffff", "longer than"),
    ("010001610fff", "longer than"), ("00", "0x00"), ("474554202f20", "0x47"),
])
@real()
async def test_what_no_device_may_send_first_closes_the_connection_with_a_reason(here, wire, reason):
    here.create()
    stream = await here.connect()
    stream.send(wire)
    assert await stream.closed() == b""
    assert reason in here.reasons("malformed")[0] and here.aep.trace()[0].raw.hex() == wire


@pytest.mark.parametrize(("transparent", "wire", "reason"), [
    (True, "ff", "0xff"), (True, "02ffff", "longer than"), (True, "83000400010000", "1.0 has none"),
    (False, "020003000100", "without message id"), (False, "830003000100", "cut short"), (True, "821234", "0x82"),
    (True, LOGIN.hex(), "logged in"),
])
@real()
async def test_what_it_may_not_send_later_ends_its_session(here, transparent, wire, reason):
    device = here.create(transparent=transparent)
    stream = await here.connect()
    assert await stream.ask(login(device, TOKEN, "1.0" if transparent else "1.1"), 3) == "050000"
    stream.send(wire)
    assert await stream.closed() == b"" and not here.aep.device(device).online
    assert reason in here.reasons("malformed")[0] and reason in here.aep.registrations(device)[0].reason


def test_any_bytes_are_cut_or_refused_and_never_kept():
    draw = random.Random(5)
    kinds = [1, 2, 4, 0x83, 5, 0]
    refused = 0
    for _ in range(3000):
        data = bytearray(draw.randbytes(draw.randint(1, 60)))
        data[0] = draw.choice(kinds)
        if draw.random() < 0.7:
            data[1:3] = draw.randint(0, 30).to_bytes(2, "big")
        try:
            while (raw := tcp_frames.next_frame(data)) is not None:
                assert 0 < len(raw) <= len(data) and data.startswith(raw) and tcp_frames.one_line(raw)
                del data[:len(raw)]
        except tcp_frames.BadFrame:
            refused += 1
    assert 500 < refused < 2900


@pytest.mark.parametrize("seed", range(4))
@real()
async def test_a_storm_of_random_bytes_leaves_the_front_serving(here, seed):
    device = here.create(transparent=seed % 2 == 0)
    draw = random.Random(seed)
    enter = login(device, TOKEN, "1.0" if seed % 2 == 0 else "1.1")
    for n in range(20):
        stream = await here.connect()
        if n % 2:
            assert await stream.ask(enter, 3) == "050000"
        stream.send(bytes([draw.choice((1, 2, 4, 0x83))]) + draw.randbytes(draw.randint(1, 5000)))
        stream.writer.write_eof()
        await stream.closed()
        await here.until(lambda: not here.aep.device(device).online)
    stream = await here.connect()
    assert await stream.ask(enter, 3) == "050000"


@real()
async def test_a_device_that_asks_and_never_reads_is_cut_off(here):
    device = here.create()
    stream = await here.connect()
    assert await stream.ask(LOGIN, 3) == "050000"
    served = here.aep.tcp.session(device).connection.transport
    served.set_write_buffer_limits(high=0)
    served.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    stream.writer.transport.pause_reading()
    stream.send(b"\x04" * 20_000)
    await here.until(lambda: not here.aep.device(device).online)
    assert "does not read" in here.aep.registrations(device)[0].reason
