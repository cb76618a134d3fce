"""Device management on the wire: what each request looks like, blocks both ways, what becomes of the answer."""

import asyncio

import pytest

from tests_host.ctwing.raw_device import answer, notification, on_session, payload_of, token_of
from tools.ctwing.checks import AepError

CONTENT, CHANGED, CONTINUE, TOO_LARGE = 0x45, 0x44, 0x5F, 0x8D
TLV = b"\xc2\x2d\x16"  # Content-Format 11542


async def resumed(world, **product):
    aep = world.aep()
    return aep, *await world.registered(aep, **product)


def last(aep, device):
    request = aep.requests(device)[-1]
    return request.status, request.result, request.answer_format, request.answer


def options_of(message):
    """[(number, value)], RFC 7252 §3.1, read by hand."""
    at, number, out = 4 + (message[0] & 15), 0, []
    while at < len(message) and message[at] != 0xFF:
        delta, size = message[at] >> 4, message[at] & 15
        at += 1
        if delta == 13:
            delta, at = 13 + message[at], at + 1
        if size == 13:
            size, at = 13 + message[at], at + 1
        number += delta
        out.append((number, message[at : at + size]))
        at += size
    return out


def block(number, more, size):
    value = number << 4 | more << 3 | size
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


# what goes down


@pytest.mark.parametrize(("kind", "path", "settings", "code", "options", "body"), [
    ("read", "/3", {}, 1, [(11, b"3")], b""),
    ("read", "/3/0/0", {"accept": 0}, 1, [(11, b"3"), (11, b"0"), (11, b"0"), (17, b"")], b""),
    ("discover", "/3/0", {}, 1, [(11, b"3"), (11, b"0"), (17, b"\x28")], b""),
    ("write", "/1/0/1", {"payload": "600"}, 3, [(11, b"1"), (11, b"0"), (11, b"1"), (12, b"")], b"600"),
    ("write", "/19/1/0", {"payload": b"\0\1"}, 3, [(11, b"19"), (11, b"1"), (11, b"0"), (12, b"\x2a")], b"\0\1"),
    ("write", "/1/0", {"payload": b"\xc1\1\5"}, 3, [(11, b"1"), (11, b"0"), (12, b"\x2d\x16")], b"\xc1\1\5"),
    ("write-partial", "/1/0", {"payload": b"\xc1\1\5"}, 2, [(11, b"1"), (11, b"0"), (12, b"\x2d\x16")], b"\xc1\1\5"),
    ("write-attributes", "/3/0/9", {"query": "pmin=10&pmax=60"}, 3,
     [(11, b"3"), (11, b"0"), (11, b"9"), (15, b"pmin=10"), (15, b"pmax=60")], b""),
    ("execute", "/3/0/4", {}, 2, [(11, b"3"), (11, b"0"), (11, b"4")], b""),
    ("execute", "/1/0/8", {"payload": "0='x'"}, 2, [(11, b"1"), (11, b"0"), (11, b"8"), (12, b"")], b"0='x'"),
    ("create", "/19", {"payload": b"\0"}, 2, [(11, b"19"), (12, b"\x2d\x16")], b"\0"),
    ("delete", "/19/1", {}, 4, [(11, b"19"), (11, b"1")], b""),
    ("observe", "/3/0/9", {}, 1, [(6, b""), (11, b"3"), (11, b"0"), (11, b"9")], b""),
])
def test_a_request_waits_for_an_uplink_and_goes_as_the_specification_says(world, kind, path, settings, code, options,
                                                                          body):
    async def work():
        aep, device, wire, token = await resumed(world)
        aep.ask(device, kind, path, **settings)
        assert await wire.silent(600) and last(aep, device)[0] == "SAVED"
        await wire.notify(7, token)
        request = await wire.receive()
        assert (request[0] >> 4 & 3, request[1]) == (0, code) and options_of(request) == options
        assert (payload_of(request) if body else b"") == body
        assert last(aep, device)[0] == "SENT"
        wire.send(answer(request, 0x84))
        assert await wire.silent()
        assert last(aep, device) == ("ANSWERED", "4.04", None, b"")

    world.run(work)


def test_a_drx_device_is_asked_at_once(world):
    async def work():
        aep, device, wire, _ = await resumed(world, power_mode="DRX")
        await asyncio.sleep(100)
        aep.ask(device, "read", "/3/0/0")
        assert options_of(await wire.receive(0.1))[0] == (11, b"3")

    world.run(work)


def test_requests_go_one_at_a_time_after_the_commands(world):
    async def work():
        aep, device, wire, _ = await resumed(world)
        aep.ask(device, "read", "/3/0/0")
        aep.ask(device, "read", "/3/0/1")
        aep.command(device, "open")
        await wire.ask(on_session(7, 2))
        ends = []
        for _ in range(3):
            request = await wire.receive()
            assert await wire.silent(1.5)
            ends.append(request[-4:])
            wire.send(answer(request, CONTENT if request[1] == 1 else CHANGED))
        assert ends == [b"open", b"0\x010\x010"[-4:], b"0\x010\x011"[-4:]]

    world.run(work)


def test_an_answer_is_kept_with_its_format_and_what_it_says(world):
    async def work():
        aep, device, wire, token = await resumed(world)
        number = aep.ask(device, "read", "/3/0")
        await wire.notify(7, token)
        wire.send(answer(await wire.receive(), CONTENT, TLV + b"\xff\xc1\x09\x64\xc1\x0b\x00"))
        assert await wire.silent()
        assert last(aep, device) == ("ANSWERED", "2.05", 11542, b"\xc1\x09\x64\xc1\x0b\x00")
        event = world.events.of("request-answered")[0]
        assert (event.data["request"], event.data["value"]) == (number, {"9": 100, "11": 0})

    world.run(work)


@pytest.mark.parametrize(("reply", "status", "result"), [("rst", "FAILED", "RST"), ("silence", "SAVED", "no answer")])
def test_a_request_reset_fails_and_one_not_answered_waits_for_the_next_uplink(world, reply, status, result):
    async def work():
        aep, device, wire, token = await resumed(world)
        aep.ask(device, "read", "/3/0")
        await wire.notify(7, token)
        request = await wire.receive()
        if reply == "rst":
            wire.send(b"\x70\0" + request[2:4])
        await asyncio.sleep(100)
        assert last(aep, device)[:2] == (status, result)
        while not wire.came.empty():
            wire.came.get_nowait()
        await wire.notify(8, token)
        if reply == "silence":
            wire.send(answer(await wire.receive(), CONTENT, b"\xffx"))
        assert await wire.silent()
        assert last(aep, device)[0] == ("FAILED" if reply == "rst" else "ANSWERED")

    world.run(work)


def test_a_request_waits_no_longer_than_its_ttl(world):
    async def work():
        aep, device, wire, token = await resumed(world)
        aep.ask(device, "read", "/3/0", ttl=60)
        await asyncio.sleep(61)
        await wire.notify(7, token)
        assert await wire.silent()
        assert last(aep, device)[:2] == ("EXPIRED", "ttl over")

    world.run(work)


def test_a_request_under_way_when_the_session_ends_waits_for_the_next(world):
    async def work():
        aep, device, wire, token = await resumed(world)
        aep.ask(device, "read", "/3/0")
        await wire.notify(7, token)
        await wire.receive()
        await wire.ask(on_session(8, 4))
        assert last(aep, device)[:2] == ("SAVED", "deregistered")

    world.run(work)


# blocks


def test_a_large_answer_is_read_block_by_block(world):
    async def work():
        aep, device, wire, token = await resumed(world)
        body = bytes(range(256)) * 2 + b"end"
        aep.ask(device, "read", "/3/0")
        await wire.notify(7, token)
        asked = []
        for number in range(9):
            request = await wire.receive()
            asked.append([value for option, value in options_of(request) if option == 23])
            more = number < 8
            head = TLV + b"\xb1" + block(number, more, 2)
            wire.send(answer(request, CONTENT, head + b"\xff" + body[64 * number : 64 * number + 64]))
        assert await wire.silent()
        assert asked == [[]] + [[block(number, False, 2)] for number in range(1, 9)]
        assert last(aep, device) == ("ANSWERED", "2.05", 11542, body)

    world.run(work)


@pytest.mark.parametrize(("second", "why"), [
    (b"\xd1\x0a" + block(2, 0, 2) + b"\xff" + b"x", "block 2 came"),
    (b"\xffx", "without its block number"),
    (b"\x41e\xd1\x06" + block(1, 0, 2) + b"\xff" + b"x", "changed"),
    (b"\xd1\x0a" + block(1, 1, 2) + b"\xff" + b"x", "a block of 1 bytes"),
])
def test_blocks_that_do_not_fit_end_the_request(world, second, why):
    async def work():
        aep, device, wire, token = await resumed(world)
        aep.ask(device, "read", "/3/0")
        await wire.notify(7, token)
        wire.send(answer(await wire.receive(), CONTENT, b"\xd1\x0a" + block(0, 1, 2) + b"\xff" + bytes(64)))
        wire.send(answer(await wire.receive(), CONTENT, second))
        assert await wire.silent()
        assert last(aep, device)[0] == "FAILED" and why in last(aep, device)[1]

    world.run(work)


@pytest.mark.parametrize("size", [5, 3])
def test_a_large_write_goes_block_by_block_of_the_size_the_device_wants(world, size):
    async def work():
        aep, device, wire, token = await resumed(world)
        body = bytes(range(256)) * 5
        aep.ask(device, "write", "/19/1/0", body)
        await wire.notify(7, token)
        got = b""
        while len(got) < len(body):
            request = await wire.receive()
            option = int.from_bytes(dict(options_of(request))[27], "big")
            number, more, exponent = option >> 4, option >> 3 & 1, option & 7
            assert number * (16 << exponent) == len(got)
            got += payload_of(request)
            assert bool(more) == (len(got) < len(body))
            reply = b"\xd1\x0e" + block(number, more, min(size, exponent))
            wire.send(answer(request, CONTINUE if more else CHANGED, reply))
        assert await wire.silent()
        assert got == body and last(aep, device)[:2] == ("ANSWERED", "2.04")

    world.run(work)


def test_a_device_that_takes_only_smaller_blocks_says_so_at_the_first(world):
    async def work():
        aep, device, wire, token = await resumed(world)
        aep.ask(device, "write", "/19/1/0", bytes(1100))
        await wire.notify(7, token)
        wire.send(answer(await wire.receive(), TOO_LARGE, b"\xd1\x0e" + block(0, 1, 2)))
        request = await wire.receive()
        assert dict(options_of(request))[27] == block(0, 1, 2) and len(payload_of(request)) == 64
        wire.send(answer(request, TOO_LARGE))
        assert await wire.silent()
        assert last(aep, device)[:2] == ("ANSWERED", "4.13")

    world.run(work)


# observations


async def observed(aep, device, wire, token, path):
    aep.ask(device, "observe", path)
    await wire.notify(100, token)
    request = await wire.receive()
    wire.send(answer(request, CONTENT, b"\x60\x60\xff80"))
    assert await wire.silent()
    return token_of(request)


def test_notifications_of_another_path_are_kept_and_are_no_uplinks(world):
    async def work():
        aep, device, wire, token = await resumed(world)
        battery = await observed(aep, device, wire, token, "/3/0/9")
        assert last(aep, device) == ("ANSWERED", "2.05", 0, b"80")
        assert (await wire.ask(notification(101, battery, b"79", options=b"\x61\x02\x60")))[0] == 0x60
        assert [(n.path, n.format, n.payload) for n in aep.notifications(device)][-2:] == [
            ("/3/0/9", 0, b"80"), ("/3/0/9", 0, b"79")]
        assert len(aep.uplinks(device)) == 1

    world.run(work)


def test_the_rest_of_a_large_notification_is_read(world):
    async def work():
        aep, device, wire, token = await resumed(world)
        whole = await observed(aep, device, wire, token, "/3/0")
        first = b"\x61\x02\x62\x2d\x16\xb1" + block(0, 1, 2)
        assert (await wire.ask(notification(101, whole, bytes(64), options=first)))[0] == 0x60
        request = await wire.receive()
        assert options_of(request) == [(11, b"3"), (11, b"0"), (23, block(1, 0, 2))]
        wire.send(answer(request, CONTENT, TLV + b"\xb1" + block(1, 0, 2) + b"\xffend"))
        assert await wire.silent()
        assert aep.notifications(device)[-1].payload == bytes(64) + b"end"

    world.run(work)


def test_cancel_is_a_get_with_the_observations_token(world):
    async def work():
        aep, device, wire, token = await resumed(world)
        battery = await observed(aep, device, wire, token, "/3/0/9")
        aep.ask(device, "cancel", "/3/0/9")
        await wire.notify(101, token)
        request = await wire.receive()
        assert token_of(request) == battery and options_of(request)[0] == (6, b"\1")
        wire.send(answer(request, CONTENT, b"\xff80"))
        assert await wire.silent()
        assert (await wire.ask(notification(102, battery, b"79")))[0] == 0x70
        assert last(aep, device)[:2] == ("ANSWERED", "2.05")

    world.run(work)


def test_cancel_by_reset_is_a_rst_to_the_next_notification(world):
    async def work():
        aep, device, wire, token = await resumed(world)
        battery = await observed(aep, device, wire, token, "/3/0/9")
        aep.ask(device, "cancel-by-reset", "/3/0/9")
        await wire.notify(101, token)
        assert await wire.silent() and last(aep, device)[0] == "ANSWERED"
        assert (await wire.ask(notification(102, battery, b"79")))[0] == 0x70
        assert (await wire.ask(notification(103, battery, b"78")))[0] == 0x70
        assert (await wire.notify(104, token))[0] == 0x60

    world.run(work)


@pytest.mark.parametrize("kind", ["cancel", "cancel-by-reset"])
def test_what_is_not_observed_cannot_be_cancelled(world, kind):
    async def work():
        aep, device, wire, token = await resumed(world)
        aep.ask(device, kind, "/4/0")
        await wire.notify(7, token)
        assert await wire.silent()
        assert last(aep, device)[:2] == ("FAILED", "not observed")

    world.run(work)


# what is refused


@pytest.mark.parametrize(("kind", "path", "settings", "text"), [
    ("reboot", "/3/0/4", {}, "is one of"), (["read"], "/3", {}, "is one of"), ("read", "3/0", {}, "path"),
    ("read", "/", {}, "path"), ("read", "/3/0/0/0/0", {}, "path"), ("read", "/3/x", {}, "path"),
    ("read", 3, {}, "path"),
    ("execute", "/3/0", {}, "path"), ("delete", "/19", {}, "path"), ("create", "/19/1", {}, "path"),
    ("write-partial", "/1/0/1", {}, "path"), ("read", "/3", {"payload": "x"}, "no payload"),
    ("write", "/1/0/1", {"payload": 5}, "text or bytes"), ("write", "/1/0/1", {"payload": bytes(65537)}, "65536"),
    ("read", "/3", {"query": "pmin=1"}, "query"), ("write-attributes", "/3", {}, "query"),
    ("write-attributes", "/3", {"query": "pmin= 1"}, "query"), ("read", "/3", {"accept": -1}, "65535"),
    ("write", "/1/0/1", {"payload": "1", "content_format": 70000}, "65535"), ("read", "/3", {"ttl": 0}, "ttl"),
    ("read", "/3", {"ttl": 1.5}, "ttl"), ("read", "/3", {"device": "0" * 32}, "no device"),
])
def test_a_request_that_cannot_be_is_refused_and_nothing_is_saved(world, kind, path, settings, text):
    aep = world.aep()
    device = aep.create_device(aep.create_product("meter"), name="m", imei="868543060974334")
    with pytest.raises(AepError, match=text):
        aep.ask(settings.pop("device", device), kind, path, **settings)
    assert aep.requests(device) == []
