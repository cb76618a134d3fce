"""The platform's DTLS front: who gets in, what a session is to the message layer, bounds, what switches do. With both
engines, in virtual time and without a socket; outside clients are in test_dtls_judges.py."""

import asyncio
import random
import sys
import time

import pytest

from tests_host.ctwing.raw_device import IMEI, notification, on_session
from tests_host.ctwing.secured_device import EP, Air, SecuredDevice
from tools.ctwing import dtls, dtls_own

ENGINES = {"mbedtls": {}, "own": {"resumes": True}, "own with ids": {"connection_id": 8}}
PSK = "TYvoiTk34D3NZ6GN"
OTHER = "868543060974335"


class Platform:
    """A platform with one device of a DTLS product."""

    def __init__(self, world, engine, **product):
        self.world, self.aep = world, world.aep(**ENGINES[engine])
        settings = {"endpoint_format": "urn:imei", "encryption": "dtls", **product}
        self.product = self.aep.create_product("meter", **settings)
        self.device = self.aep.create_device(self.product, name="meter 1", imei=IMEI,
                                             psk=PSK if settings["encryption"] == "dtls" else "")
        self.air = Air(self.aep.dtls)

    def secured(self, psk=PSK, identity=IMEI, **more):
        return SecuredDevice(self.air, psk.encode(), identity=identity.encode(), **more)

    def told(self, *words):
        """The events of DTLS whose text has one of these, or all."""
        found = [event for event in self.world.events.log if event.kind in ("dtls", "dtls-refused")]
        return [event for event in found if not words or any(word in event.text for word in words)]

    def handshakes(self):
        return [event.data for event in self.told() if "how" in event.data]


@pytest.fixture
def platform(world, engine):
    return Platform(world, engine)


def code(message):
    return f"{message[1] >> 5}.{message[1] & 31:02d}"


# who gets in


def test_a_device_registers_reports_and_is_commanded_by_dtls(world, platform):
    async def work():
        meter = platform.secured().connect()
        assert code(await meter.register()) == "2.01"
        token = await meter.observed()
        number = platform.aep.command(platform.device, "close")
        assert (await meter.notify(9, token))[:4] == b"\x60\x00\x00\x09"
        write = await meter.came()
        assert write.endswith(b"\xffclose")
        meter.send(bytes([0x60 | write[0] & 15, 0x44]) + write[2:4] + write[4 : 4 + (write[0] & 15)])
        assert [up.payload for up in platform.aep.uplinks(platform.device)] == [b"helloworld"]
        assert platform.aep.commands(platform.device)[-1].status == "DELIVERED" and number

    world.run(work)


def test_the_handshake_is_told_with_its_suite_and_its_cost(world, platform):
    platform.secured().connect()
    told = platform.handshakes()[-1]
    assert (told["identity"], told["device"], told["suite"]) == (IMEI, platform.device, "TLS_PSK_WITH_AES_128_CCM_8")
    assert told["datagrams"] == 6 and 400 < told["bytes"] < 700


def test_the_trace_has_what_was_said_and_the_peer_with_its_dtls(world, platform):
    async def work():
        meter = platform.secured().connect()
        answer = await meter.register()
        up, down = platform.aep.trace(platform.device)[:2]
        assert up.raw[:2] == b"\x41\x02" and (down.direction, down.raw) == ("down", answer)
        assert up.peer == "192.0.2.1:5684 by DTLS" == platform.aep.registrations(platform.device)[0].peer

    world.run(work)


@pytest.mark.parametrize(("settings", "client", "told"), [
    ({}, {"identity": OTHER}, "no device"),
    ({"encryption": "plain"}, {}, "is plain"),
])
def test_an_identity_without_a_psk_is_refused_and_told(world, engine, settings, client, told):
    platform = Platform(world, engine, **settings)
    meter = platform.secured(**client)
    with pytest.raises((AssertionError, IndexError)):
        meter.connect()
    assert meter.said[-1][0] == 21 and meter.said[-1][-2:] == bytes([2, 115])
    refused, ended = platform.told()
    assert (refused.kind, told in refused.text) == ("dtls-refused", True) and "unknown_psk_identity" in ended.text
    assert not platform.aep.dtls._owned


def test_a_wrong_psk_ends_with_an_alert_and_is_told(world, platform):
    meter = platform.secured(psk="TYvoiTk34D3NZ6GO")
    with pytest.raises((AssertionError, IndexError)):
        meter.connect()
    assert meter.said[-1][-2:] == bytes([2, 20])
    [ended] = platform.told()
    assert "alert 20 sent: bad_record_mac" in ended.text
    assert (ended.data["identity"], ended.data["device"]) == (IMEI, platform.device)


def test_a_device_of_a_dtls_product_is_refused_on_the_plain_port_and_another_ones_endpoint_by_dtls(world, platform):
    async def work():
        other = platform.aep.create_device(platform.product, name="other", imei=OTHER, psk=PSK)
        wire = await world.wire(await platform.aep.start())
        assert code(await wire.register(ep=EP)) == "4.03"
        platform.air = Air(platform.aep.dtls)
        meter = platform.secured().connect()
        assert code(await meter.register(2, "urn:imei:" + OTHER)) == "4.03"
        assert code(await meter.register(3)) == "2.01"
        token = await meter.observed()
        assert code(await wire.ask(on_session(4, 2, EP))) == "4.01" == code(await wire.ask(on_session(5, 4, EP)))
        wire.send(notification(6, token, b"x"))
        assert await wire.silent(), "the token is of another endpoint"
        thief = platform.secured(identity=OTHER, wire=("192.0.2.2", 1)).connect()
        thief.send(notification(7, token, b"x"))
        assert await thief.silent() and code(await thief.ask(on_session(8, 2, EP))) == "4.01"
        assert platform.aep.uplinks(platform.device) == platform.aep.uplinks(other) == []
        assert (await meter.notify(9, token))[0] == 0x60

    world.run(work)


# sessions


def test_a_notify_by_a_new_session_is_taken_from_its_new_address(world, platform):
    async def work():
        meter = platform.secured().connect()
        await meter.register()
        token = await meter.observed()
        later = platform.secured(wire=("192.0.2.1", 40001), seed=2).connect()
        assert (await later.notify(9, token))[0] == 0x60
        platform.aep.command(platform.device, "x")
        assert (await later.notify(10, token))[0] == 0x60 and (await later.came()).endswith(b"\xffx")

    world.run(work)


def test_the_same_mid_in_another_session_is_another_message(world, platform):
    async def work():
        assert code(await platform.secured().connect().register(1)) == "2.01"
        assert code(await platform.secured(seed=2).connect().register(1)) == "2.01"
        assert len(platform.aep.registrations(platform.device)) == 2

    world.run(work)


def test_a_client_that_restarts_at_its_address_begins_anew_only_with_a_right_cookie(world, platform):
    async def work():
        meter = platform.secured().connect()
        await meter.register()
        token = await meter.observed()
        again = platform.secured(seed=2)
        out, _ = again.receive(again.client.hello())
        assert out[0][13] == 3, "HelloVerifyRequest"
        out, _ = again.receive(again.client.hello(bytes(32)))
        assert out[0][13] == 3
        assert (await meter.notify(9, token))[0] == 0x60, "the old session lives on"
        platform.secured(seed=3).connect()
        meter.send(b"anything")
        assert await meter.silent(), "and is over now"
        assert len(platform.handshakes()) == 2

    world.run(work)


def test_a_forged_client_hello_does_not_end_a_handshake_under_way(world, platform):
    meter, forger = platform.secured(), platform.secured(seed=2)
    receive = meter.receive

    def disturbed(datagram):
        forger.receive(forger.client.hello())
        return receive(datagram)

    meter.receive = disturbed
    meter.connect()
    assert len(platform.handshakes()) == 1


def test_the_beginning_of_a_session_that_comes_again_late_changes_nothing(world, platform):
    async def work():
        meter = platform.secured()
        seen, receive = [], meter.receive
        meter.receive = lambda datagram: (seen.append(datagram), receive(datagram))[1]
        meter.connect()
        await meter.register()
        token = await meter.observed()
        for datagram in seen:
            receive(datagram)
        assert (await meter.notify(9, token))[0] == 0x60
        assert len(platform.handshakes()) == 1

    world.run(work)


def test_a_lost_flight_comes_again_when_the_client_sends_its_own_again(world, platform):
    meter = platform.secured()
    lost, receive = {"hello", "finished"}, meter.receive

    def lossy(datagram):
        out, plain = receive(datagram)
        kind = {2: "hello"}.get(out[0][13], "finished" if out[0][0] == 20 else "") if out else ""
        if kind in lost:
            lost.discard(kind)
            again = meter.client.record(22, 0, datagram[13:]) if kind == "hello" else meter.client.again(datagram)
            out, plain = receive(again)
        return out, plain

    meter.receive = lossy
    meter.connect()
    assert not lost and len(platform.handshakes()) == 1


def test_close_notify_ends_the_session_and_not_the_registration(world, platform):
    async def work():
        meter = platform.secured().connect()
        await meter.register()
        meter.air.front.datagram_received(meter.client.record(21, 1, b"\1\0"), meter.wire)
        assert "close_notify" in platform.told()[-1].text
        assert platform.aep.device(platform.device).online and not platform.aep.dtls._numbered

    world.run(work)


def test_what_is_to_be_sent_by_a_session_that_is_over_is_not_in_the_trace(world, platform):
    async def work():
        meter = platform.secured().connect()
        await meter.register()
        platform.aep.fault("forget-dtls")
        before = len(platform.aep.trace())
        await asyncio.sleep(200)
        assert len(platform.aep.trace()) == before and platform.aep.front.counters["unsent"] > 0

    world.run(work)


def test_a_session_with_a_connection_id_moves_with_its_device_and_no_forged_record_moves_it(world):
    async def work():
        platform = Platform(world, "own with ids")
        meter = platform.secured(cid=b"").connect()
        await meter.register()
        token = await meter.observed()
        old, meter.wire = meter.wire, ("192.0.2.77", 7)
        assert (await meter.notify(9, token))[0] == 0x60
        session = platform.aep.front.session(platform.device)
        assert session.address[:2] == ("192.0.2.77", 7)
        forged = bytearray(meter.client.send(notification(10, token, b"forged")))
        forged[-1] ^= 1
        platform.aep.dtls.datagram_received(bytes(forged), old)
        assert platform.aep.front.session(platform.device).address == session.address
        platform.aep.command(platform.device, "x")
        assert (await meter.notify(11, token))[0] == 0x60 and (await meter.came()).endswith(b"\xffx")
        assert len(platform.handshakes()) == 1

    world.run(work)


def test_sessions_with_connection_ids_may_change_places(world):
    """As a NAT may deal out its ports again: one moves to where another was, which speaks later from elsewhere."""

    async def work():
        platform = Platform(world, "own with ids")
        platform.aep.create_device(platform.product, name="other", imei=OTHER, psk=PSK)
        one = platform.secured(cid=b"").connect()
        other = platform.secured(cid=b"", identity=OTHER, wire=("192.0.2.2", 2), seed=2).connect()
        await one.register()
        await other.register(1, "urn:imei:" + OTHER)
        one.wire = other.wire
        assert code(await one.register(2)) == "2.01"
        other.wire = ("192.0.2.3", 3)
        assert code(await other.register(3, "urn:imei:" + OTHER)) == "2.01", "the place is taken, the session is not"
        one.wire = ("192.0.2.4", 4)
        assert code(await one.register(4)) == "2.01"
        assert len(platform.handshakes()) == 2

    world.run(work)


def test_a_handshake_where_a_session_with_a_connection_id_was_heard_is_somebody_elses(world):
    async def work():
        platform = Platform(world, "own with ids")
        meter = platform.secured(cid=b"").connect()
        await meter.register()
        token = await meter.observed()
        platform.secured(cid=b"", seed=2).connect()
        meter.wire = ("192.0.2.3", 3)
        assert (await meter.notify(9, token))[0] == 0x60 and len(platform.aep.dtls._numbered) == 2

    world.run(work)


def test_two_messages_in_one_datagram_are_two(world, platform):
    async def work():
        meter = platform.secured().connect()
        await meter.register()
        token = await meter.observed()
        both = [meter.client.send(notification(mid, token, b"%d" % mid)) for mid in (9, 10)]
        platform.aep.dtls.datagram_received(b"".join(both), meter.wire)
        assert [up.payload for up in platform.aep.uplinks(platform.device)] == [b"9", b"10"]

    world.run(work)


def test_real_time_between_two_flights_changes_nothing(world, engine):
    """The world's clock says how long a device took; how long a computer took to work it out must not matter."""
    platform = Platform(world, engine)
    meter, flights = platform.secured(), []
    receive = meter.receive

    def slow(datagram):
        time.sleep(1.1)  # more than the first time-out of Mbed TLS, 1 s
        out, plain = receive(datagram)
        flights.append(len(out))
        return out, plain

    meter.receive = slow
    meter.connect()
    assert flights == [1, 1, 1] and platform.handshakes()[0]["datagrams"] == 6


# bounds and noise


def test_who_has_shown_no_cookie_is_not_kept_and_handshakes_are_bounded_in_number_and_age(world, platform):
    async def work():
        front = platform.aep.dtls
        for number in range(200):
            one = platform.secured(wire=("192.0.2.9", number + 1))
            one.receive(one.client.hello())
        assert not front._owned and not front._peers and len(front._greeted) <= dtls.HALF_OPEN
        kept = platform.secured().connect()
        await kept.register()
        for number in range(200):
            one = platform.secured(wire=("192.0.2.8", number + 1))
            one.client.begin(one)
        assert len(front._coming) <= dtls.HALF_OPEN
        assert code(await kept.register(5)) == "2.01", "who is established stays"
        await asyncio.sleep(dtls.HALF_OPEN_S)
        platform.secured(wire=("192.0.2.7", 1)).connect()
        assert len(front._owned) == len(front._numbered) == 2 and not front._coming

    world.run(work)


def test_sessions_are_bounded_and_the_one_unheard_longest_goes_first(world, platform, monkeypatch):
    monkeypatch.setattr(dtls, "PEERS", 3)

    async def work():
        first, *rest = [platform.secured(wire=("192.0.2.1", 1 + n), seed=n).connect() for n in range(3)]
        assert code(await first.register()) == "2.01"
        platform.secured(wire=("192.0.2.1", 9), seed=9).connect()
        assert len(platform.aep.dtls._numbered) == 3
        assert code(await first.register(2)) == "2.01"
        rest[0].send(b"x")
        assert await rest[0].silent()

    world.run(work)


def test_a_session_that_had_to_go_is_gone_for_its_connection_id_too(world, monkeypatch):
    monkeypatch.setattr(dtls, "PEERS", 2)

    async def work():
        platform = Platform(world, "own with ids")
        platform.aep.fault("alert-unknown-session")
        first, *_ = [platform.secured(cid=b"", wire=("192.0.2.1", n + 1), seed=n).connect() for n in range(3)]
        assert await first.ask(b"anything") == (2, 20) and len(platform.aep.dtls.engine.by_cid) == 2

    world.run(work)


def test_noise_and_spoilt_datagrams_never_leave_the_front(world, platform):
    async def work():
        draws = random.Random(5)
        meter = platform.secured()
        seen, receive = [b"\x16\xfe\xff" + bytes(20)], meter.receive
        meter.receive = lambda datagram: (seen.append(datagram), receive(datagram))[1]
        meter.connect()
        await meter.register()
        seen.append(meter.client.send(b"last"))
        front = platform.aep.dtls
        for number in range(3000):
            data = bytearray(draws.choice(seen))
            for _ in range(draws.randint(0, 3)):
                data[draws.randrange(len(data))] = draws.randrange(256)
            data = bytes(data[: draws.randint(0, len(data))]) if draws.random() < 0.3 else bytes(data)
            front.datagram_received(data, draws.choice((meter.wire, ("192.0.2.5", number % 50 + 1))))
        for size in (0, 1, 12, 13, 14, 5000, 40000, 65507):
            for first in (0x16, 0x17, 0x19, 0x14, 0x15, 0):
                front.datagram_received((bytes([first]) + draws.randbytes(size))[:size], ("192.0.2.6", 1))
                front.datagram_received((bytes([first, 0xFE, 0xFD]) + bytes(size))[:size], meter.wire)
        while not platform.air.at(meter.wire).empty():
            platform.air.at(meter.wire).get_nowait()
        assert code(await meter.register(5)) == "2.01", "the session has outlived it all"

    world.run(work)
    assert len(platform.aep.dtls._coming) <= dtls.HALF_OPEN


# switches


def test_a_silent_handshake_is_for_all_and_ends_when_it_is_healed(world, platform):
    platform.aep.fault("silent-handshake")
    meter = platform.secured()
    assert meter.receive(meter.client.hello()) == ([], [])
    assert platform.aep.heal("silent-handshake")
    platform.secured(seed=2).connect()


def test_a_lost_last_flight_is_lost_as_often_as_the_switch_says(world, platform):
    platform.aep.fault("lost-finished", platform.device, strikes=1)
    meter = platform.secured()
    receive, sent = meter.receive, []
    meter.receive = lambda datagram: (sent.append(datagram), receive(datagram))[1]
    with pytest.raises(ValueError, match="unpack"):
        meter.connect()
    [last], _ = receive(meter.client.again(sent[-1]))
    meter.client.check_finished(last[14:])


def test_another_psk_at_the_platform_looks_like_a_wrong_one(world, platform):
    platform.aep.fault("wrong-psk", platform.device)
    meter = platform.secured()
    with pytest.raises((AssertionError, IndexError)):
        meter.connect()
    assert meter.said[-1][-2:] == bytes([2, 20])


@pytest.mark.parametrize("alerted", [False, True])
def test_records_of_a_forgotten_session_get_nothing_or_an_alert(world, platform, alerted):
    async def work():
        meter = platform.secured().connect()
        await meter.register()
        token = await meter.observed()
        if alerted:
            platform.aep.fault("alert-unknown-session")
        platform.aep.fault("forget-dtls", platform.device)
        if alerted:
            assert await meter.ask(notification(9, token, b"x")) == (2, 20)
        else:
            meter.send(notification(9, token, b"x"))
            assert await meter.silent(10)
        assert platform.aep.device(platform.device).online
        assert (await platform.secured(seed=2).connect().notify(10, token))[0] == 0x60, "the registration was kept"

    world.run(work)


def test_a_session_is_ended_with_close_notify(world, platform):
    async def work():
        meter = platform.secured().connect()
        platform.aep.fault("end-dtls", platform.device)
        assert await meter.came() == (1, 0) and not platform.aep.dtls._owned

    world.run(work)


def test_a_restart_forgets_dtls_too(world, platform):
    platform.secured().connect()
    platform.aep.fault("restart")
    assert not platform.aep.dtls._owned


@pytest.mark.parametrize(("switch", "answered"), [("reset-new-address", True), ("ignore-new-address", False)])
def test_a_platform_that_wants_an_update_after_a_handshake(world, platform, switch, answered):
    async def work():
        meter = platform.secured().connect()
        await meter.register()
        token = await meter.observed()
        platform.aep.fault(switch, platform.device)
        assert (await meter.notify(9, token))[0] == 0x60, "the session that registered"
        later = platform.secured(wire=("192.0.2.1", 40001), seed=2).connect()
        later.send(notification(10, token, b"x"))
        assert (await later.came())[0] == 0x70 if answered else await later.silent()
        assert code(await later.ask(on_session(11, 2, EP))) == "2.04"
        assert (await later.notify(12, token))[0] == 0x60

    world.run(work)


# the engine


@pytest.mark.parametrize("there", [True, False])
def test_where_python_mbedtls_is_missing_our_own_server_stands_in_and_it_is_said(world, monkeypatch, there):
    if there:
        pytest.importorskip("mbedtls", reason="python-mbedtls has no wheel for this Python")
    else:
        monkeypatch.setitem(sys.modules, "tools.ctwing.dtls_mbedtls", None)
        monkeypatch.delattr("tools.ctwing.dtls_mbedtls", raising=False)

    async def work():
        aep = world.aep()
        await aep.start_dtls()
        assert isinstance(aep.dtls.engine, dtls_own.Engine) != there
        assert len(world.events.of("dtls-engine")) == (not there)

    world.run(work)
