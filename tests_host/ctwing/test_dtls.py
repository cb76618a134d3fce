"""The DTLS front before the LwM2M front: who gets in, by which session, what is kept. OpenSSL and libcoap judge on
real sockets in real time; the rest is datagram by datagram."""

import asyncio
import random
import sqlite3

import pytest
from aiocoap import CON, Message
from aiocoap.numbers.codes import CONTENT, DELETE, POST

from tests_host.conftest import judge
from tests_host.ctwing.dtls_peer import Client
from tests_host.ctwing.raw_device import IMEI, IMSI
from tools.ctwing import dtls, dtls_own
from tools.ctwing.aep import Aep
from tools.ctwing.checks import AepError
from tools.ctwing.draws import Draws
from tools.ctwing.store import SCHEMA, Store
from tools.world.events import Events

PSK = "TYvoiTk34D3NZ6GN"
OTHER = "868543060000000"
LIMIT_S = 20
BY_ID = {"connection_id": 8}
ENGINES = pytest.mark.parametrize("how", [{}, {"resumes": True}, BY_ID], ids=["mbedtls", "own", "own-by-id"])


class Capture:
    """A transport that keeps what is sent."""

    def __init__(self):
        self.sent = []

    def sendto(self, data, address):
        self.sent.append((data, address))

    def close(self):
        pass


class Wire:
    """One device's way to the front."""

    def __init__(self, platform, address=("10.1.0.1", 40000)):
        self.platform, self.address = platform, address

    def receive(self, datagram):
        """What comes back to a datagram, as tests_host/ctwing/dtls_peer.py asks a server."""
        sent = self.platform.out.sent
        sent.clear()
        self.platform.aep.dtls.datagram_received(datagram, self.address)
        return [data for data, address in sent if address == self.address], []


class Platform:
    """An AEP whose fronts send into the test's hands."""

    def __init__(self, encryption="dtls", psk=PSK, **how):
        self.loop = asyncio.new_event_loop()
        self.events = Events(self.loop.time)
        self.aep = Aep(self.loop, self.events, **how)
        self.out, self.plain = Capture(), Capture()
        self.aep.dtls.connection_made(self.out)
        self.aep.front.connection_made(self.plain)
        product = self.aep.create_product("meters", encryption=encryption)
        self.device = self.aep.create_device(product, name="meter", imei=IMEI, imsi=IMSI, psk=psk)

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self.aep.stop()
        self.loop.close()

    def connected(self, address=("10.1.0.1", 40000), **client):
        """(way, client) of a session; the client asks for a connection id where the server has them."""
        wire = Wire(self, address)
        cid = b"" if isinstance(self.aep.dtls.engine, dtls_own.Engine) else None
        return wire, Client(**{"psk": PSK.encode(), "identity": IMEI.encode(), "cid": cid, **client}).connect(wire)

    def kinds(self, kind):
        return [event.text for event in self.events.of(kind)]

    def sessions(self):
        return len(self.aep.dtls._peers)


def register(mid=1, endpoint=IMEI):
    message = Message(code=POST, uri_path=["rd"], uri_query=[f"ep={endpoint}", "lt=300", "lwm2m=1.0", "b=U"],
                      payload=b"</19/0>,</19/1>", content_format=40)
    message.mid, message.mtype, message.token = mid, CON, b"t"
    return message.encode()


def to_registration(code, mid=2, endpoint=IMEI):
    message = Message(code=code, uri_path=["rd", endpoint])
    message.mid, message.mtype, message.token = mid, CON, b"u"
    return message.encode()


def asked(wire, client, data):
    """The code that answers a request through a session."""
    out, _ = wire.receive(client.send(data))
    answers = [content for datagram in out for kind, _, content in client.open(datagram) if kind == 23]
    return Message.decode(answers[0]).code.dotted if answers else None


def asked_in_plain(platform, data, address=("10.1.0.9", 5000)):
    platform.plain.sent.clear()
    platform.aep.front.datagram_received(data, address)
    return Message.decode(platform.plain.sent[0][0]).code.dotted if platform.plain.sent else None


# -- outside clients ---------------------------------------------------------------------------------------------------


async def _with(work, encryption="dtls", **how):
    loop = asyncio.get_running_loop()
    aep = Aep(loop, Events(loop.time), **how)
    product = aep.create_product("meters", encryption=encryption)
    device = aep.create_device(product, name="meter", imei=IMEI, psk=PSK if encryption == "dtls" else "")
    _, port = await aep.start_dtls()
    try:
        return await asyncio.wait_for(work(aep, device, port), LIMIT_S)
    finally:
        aep.stop()


async def _ran(*command, stdin=b""):
    import subprocess

    def run():
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=LIMIT_S)
        return (done.stdout + done.stderr).decode(errors="replace")

    return await asyncio.get_running_loop().run_in_executor(None, run)


@ENGINES
@pytest.mark.parametrize("name", ["libcoap-openssl", "libcoap-gnutls"])
def test_libcoap_registers_a_device(name, how):
    client = judge(name)

    async def work(aep, device, port):
        said = await _ran(client, "-m", "post", "-k", PSK, "-u", IMEI, "-B", "4", "-e", "</19/0>,</19/1>", "-t", "40",
                          f"coaps://127.0.0.1:{port}/rd?ep={IMEI}&lt=300&lwm2m=1.0&b=U")
        assert len(aep.registrations(device)) == 1, said
        assert aep.registrations(device)[0].peer.endswith(" by DTLS")
        assert "POST" in [Message.decode(row.raw).code.name for row in aep.trace(device)]

    asyncio.run(_with(work, **how))


@ENGINES
@pytest.mark.parametrize("key, identity", [("WRONGwrongWRONG0", IMEI), (PSK, OTHER)])
def test_openssl_is_refused_with_another_key_or_identity(key, identity, how):
    openssl = judge("openssl")

    async def work(aep, device, port):
        said = await _ran(openssl, "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{port}", "-psk", key.encode().hex(),
                          "-psk_identity", identity, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0", "-quiet")
        assert "alert" in said and not aep.events.of("register")
        assert not [event for event in aep.events.of("dtls") if "how" in event.data]

    asyncio.run(_with(work, **how))


def test_openssl_is_refused_by_a_plain_product():
    openssl = judge("openssl")

    async def work(aep, device, port):
        said = await _ran(openssl, "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{port}", "-psk", PSK.encode().hex(),
                          "-psk_identity", IMEI, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0", "-quiet")
        assert "alert" in said

    asyncio.run(_with(work, encryption="plain"))


# -- sessions ----------------------------------------------------------------------------------------------------------


@ENGINES
def test_a_request_is_answered_through_its_session(how):
    with Platform(**how) as platform:
        wire, client = platform.connected()
        assert asked(wire, client, register()) == "2.01"
        assert platform.aep.device(platform.device).online
        assert platform.aep.dtls.identity((*wire.address, "dtls", 1)) == IMEI
        assert [text for text in platform.kinds("dtls") if "new session, handshake of 6 datagrams" in text]


@ENGINES
def test_a_client_hello_alone_leaves_nothing_behind(how):
    with Platform(**how) as platform:
        for seed in range(20):
            out, _ = Wire(platform, ("10.1.0.1", 1000 + seed)).receive(Client(seed=seed).hello())
            assert len(out) == 1 and out[0][13] == 3  # HelloVerifyRequest
        assert platform.sessions() == 0


def test_greetings_are_counted_for_a_bounded_number_of_strangers():
    with Platform() as platform:
        hello = Client().hello()
        for number in range(dtls.PEERS + 50):
            platform.aep.dtls.datagram_received(hello, ("10.9.0.1", number))
        assert len(platform.aep.dtls._greeted) <= dtls.PEERS


@ENGINES
def test_no_bytes_from_anybody_raise_or_end_a_session(how):
    draws = random.Random(3)
    with Platform(**how) as platform:
        wire, client = platform.connected()
        assert asked(wire, client, register()) == "2.01"
        good = client.send(to_registration(POST))
        for number in range(1500):
            data = bytearray(draws.choice([good, Client(seed=number).hello(), draws.randbytes(draws.randint(0, 200))]))
            for _ in range(draws.randint(1, 4)):
                if data:
                    data[draws.randrange(len(data))] = draws.randrange(256)
            if bytes(data) != good:
                Wire(platform, draws.choice([wire.address, ("10.9.0.9", 7)])).receive(bytes(data))
        assert asked(wire, client, to_registration(POST, 3)) == "2.04"


def test_a_session_that_is_gone_is_not_sent_to():
    with Platform() as platform:
        wire, client = platform.connected()
        asked(wire, client, register())
        name = (*wire.address, "dtls", 1)
        platform.aep.fault("forget-dtls", platform.device)
        platform.out.sent.clear()
        platform.aep.dtls.sendto(b"x", name)
        assert platform.out.sent == [] and platform.aep.dtls.identity(name) == "" and platform.sessions() == 0
        assert wire.receive(client.send(to_registration(POST)))[0] == []  # of a session it does not know any more
        again = Client(PSK.encode(), IMEI.encode(), seed=9).connect(wire)
        assert asked(wire, again, to_registration(POST)) == "2.04"
        platform.aep.dtls.sendto(b"x", name)  # that of before stays gone
        assert platform.aep.dtls.identity((*wire.address, "dtls", 2)) == IMEI


@ENGINES
def test_a_client_begins_anew_from_the_same_port(how):
    """RFC 6347 §4.2.8: only with a cookie, and the session of before is no more."""
    with Platform(**how) as platform:
        wire, client = platform.connected()
        asked(wire, client, register())
        wire.receive(Client(PSK.encode(), IMEI.encode(), seed=5).hello())
        assert asked(wire, client, to_registration(POST, 7)) == "2.04"  # the first hello has no cookie
        anew = Client(PSK.encode(), IMEI.encode(), cid=b"" if how == BY_ID else None, seed=6).connect(wire)
        assert asked(wire, anew, to_registration(POST, 8)) == "2.04"


def test_a_session_with_an_id_is_found_from_another_address_and_answered_there():
    with Platform(**BY_ID) as platform:
        wire, client = platform.connected()
        asked(wire, client, register())
        before = client.send(to_registration(POST, 3))
        wire.receive(before)
        other = Wire(platform, ("10.1.0.77", 50000))
        assert other.receive(before)[0] == []  # an old record moves nobody
        forged = bytearray(client.send(to_registration(POST, 4)))
        forged[-1] ^= 1
        assert other.receive(bytes(forged))[0] == []
        assert asked(wire, client, to_registration(POST, 5)) == "2.04"
        assert asked(other, client, to_registration(POST, 6)) == "2.04"
        assert platform.aep.registrations(platform.device)[-1].peer == "10.1.0.77:50000 by DTLS"


def test_a_session_without_an_id_is_not_found_from_another_address():
    with Platform() as platform:
        wire, client = platform.connected()
        asked(wire, client, register())
        assert asked(Wire(platform, ("10.1.0.77", 50000)), client, to_registration(POST, 6)) is None


def test_a_platform_that_restarts_knows_no_session():
    with Platform(**BY_ID) as platform:
        wire, client = platform.connected()
        asked(wire, client, register())
        platform.aep.fault("restart")
        assert platform.sessions() == 0 and asked(wire, client, to_registration(POST, 6)) is None


def test_a_session_that_is_ended_is_ended_by_close_notify():
    with Platform() as platform:
        wire, client = platform.connected()
        platform.out.sent.clear()
        platform.aep.fault("end-dtls", platform.device)
        assert client.open(platform.out.sent[0][0]) == [(21, 1, b"\1\0")] and platform.sessions() == 0


# -- who may speak -----------------------------------------------------------------------------------------------------


def test_a_device_with_a_key_may_not_register_in_plain():
    with Platform() as platform:
        assert asked_in_plain(platform, register()) == "4.03"
        assert not platform.aep.device(platform.device).online


def test_a_device_without_a_key_registers_in_plain():
    with Platform(encryption="plain", psk="") as platform:
        assert asked_in_plain(platform, register()) == "2.01"


def test_a_session_speaks_for_its_own_device_alone():
    with Platform() as platform:
        product = platform.aep.device(platform.device).product
        platform.aep.create_device(product, name="other", imei=OTHER, psk="ANOTHERkeyANOTHE")
        wire, client = platform.connected()
        assert asked(wire, client, register(endpoint=OTHER)) == "4.03"
        mine, its = Wire(platform, ("10.1.0.2", 2)), Client(b"ANOTHERkeyANOTHE", OTHER.encode(), seed=4)
        its.connect(mine)
        assert asked(mine, its, register(endpoint=OTHER)) == "2.01"
        assert asked(wire, client, to_registration(POST, 4, OTHER)) == "4.01"
        assert asked(wire, client, to_registration(DELETE, 5, OTHER)) == "4.01"


def test_what_others_send_under_a_registration_has_no_effect():
    with Platform() as platform:
        wire, client = platform.connected()
        assert asked(wire, client, register()) == "2.01"
        for code, mid in ((POST, 10), (DELETE, 11)):
            assert asked_in_plain(platform, to_registration(code, mid)) == "4.01"
        platform.loop.run_until_complete(asyncio.sleep(0.3))
        wire.receive(b"")
        tokens = [one for one in platform.aep.front._by_token]
        for token in tokens:
            notice = Message(code=CONTENT, payload=b"forged", observe=9)
            notice.mid, notice.mtype, notice.token = 77, CON, token
            assert asked_in_plain(platform, notice.encode()) is None
        assert tokens and platform.aep.uplinks(platform.device) == []
        assert platform.aep.device(platform.device).online


# -- fault switches ----------------------------------------------------------------------------------------------------


def test_a_handshake_may_be_ignored():
    with Platform() as platform:
        platform.aep.fault("silent-handshake")
        assert Wire(platform).receive(Client().hello())[0] == []
        platform.aep.heal("silent-handshake")
        assert len(Wire(platform).receive(Client().hello())[0]) == 1


@ENGINES
def test_the_platform_may_have_another_key(how):
    with Platform(**how) as platform:
        platform.aep.fault("wrong-psk", platform.device, strikes=1)
        with pytest.raises(Exception):  # noqa: B017 - an alert comes where a Finished is looked for
            platform.connected()
        assert not [event for event in platform.events.of("dtls") if "how" in event.data]
        platform.connected(seed=8)


def test_the_keys_may_be_met_by_silence():
    with Platform() as platform:
        platform.aep.fault("silent-keys", platform.device)
        with pytest.raises(ValueError, match="unpack"):  # nothing came
            platform.connected()
        assert platform.sessions() == 0


def test_the_servers_finished_may_be_lost_once():
    with Platform(resumes=True) as platform:
        platform.aep.fault("lost-finished", platform.device, strikes=1)
        wire, client = Wire(platform), Client(PSK.encode(), IMEI.encode())
        with pytest.raises(ValueError, match="unpack"):
            client.connect(wire)
        assert platform.sessions() == 1


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_is_given_as_text_or_in_hex_or_drawn():
    with Platform() as platform:
        aep, product = platform.aep, platform.aep.device(platform.device).product
        assert aep.device(platform.device).psk == PSK.encode().hex()
        in_hex = aep.create_device(product, name="hex", imei=OTHER, psk_hex="0A0b")
        assert aep.device(in_hex).psk == "0a0b"
        drawn = aep.device(aep.create_device(product, name="drawn", imei="868543060000001"))
        text = bytes.fromhex(drawn.psk).decode()
        assert len(text) == 16 and text.isalnum() and Draws(1).psk() == text
        for wrong in ({"psk": "a", "psk_hex": "00"}, {"psk_hex": "0"}, {"psk_hex": "zz"}, {"psk": "x" * 65}):
            with pytest.raises(AepError, match="PSK"):
                aep.create_device(product, name="wrong", imei="868543060000002", **wrong)


def test_a_plain_product_takes_no_key():
    with Platform(encryption="plain", psk="") as platform:
        product = platform.aep.device(platform.device).product
        with pytest.raises(AepError, match="encryption dtls"):
            platform.aep.create_device(product, name="x", imei=OTHER, psk=PSK)
        with pytest.raises(AepError, match="encryption"):
            platform.aep.create_product("x", encryption="sm4")


def test_a_device_that_is_created_anew_has_its_key():
    with Platform() as platform:
        again = platform.aep.recreate(platform.device)
        assert platform.aep.device(again).psk == PSK.encode().hex()


@ENGINES
def test_a_session_of_a_key_that_was_replaced_is_over(how):
    with Platform(**how) as platform:
        wire, client = platform.connected()
        assert asked(wire, client, register()) == "2.01"
        again = platform.aep.recreate(platform.device)
        assert asked(wire, client, register(2)) == "2.01"  # the same key
        product = platform.aep.device(again).product
        platform.aep.create_device(product, name="meter", imei=IMEI, psk="ANOTHERkeyANOTHE")
        assert asked(wire, client, register(3)) is None


def test_a_file_of_a_version_before_dtls_still_opens(tmp_path):
    path = tmp_path / "old.db"
    old = SCHEMA.replace(",\n    encryption TEXT NOT NULL DEFAULT 'plain'", "").replace(
        ",\n    psk TEXT NOT NULL DEFAULT ''", "")
    db = sqlite3.connect(path)
    db.executescript(old)
    db.execute("INSERT INTO products VALUES (1, 'old', 'lwm2m', 'imei', 'PSM', 1, 1, 0.0)")
    db.execute("INSERT INTO devices VALUES ('d', 1, 'n', ?, '', ?, 'registered', 0.0, NULL)", (IMEI, IMEI))
    db.commit()
    db.close()
    store = Store(str(path))
    assert store.product(1).encryption == "plain" and store.device("d").psk == ""
    store.close()


def test_without_mbed_tls_our_own_server_speaks(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tools.ctwing.dtls_mbedtls", None)
    monkeypatch.delattr("tools.ctwing.dtls_mbedtls", raising=False)
    with Platform() as platform:
        assert isinstance(platform.aep.dtls.engine, dtls_own.Engine)
        wire, client = platform.connected(cid=None)
        assert asked(wire, client, register()) == "2.01"
