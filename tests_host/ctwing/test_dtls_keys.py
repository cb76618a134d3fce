"""Trust and keys of the DTLS front: which key opens a session, and what a changed one ends."""

import asyncio
import sqlite3

import pytest
from aiocoap import CON, Message
from aiocoap.numbers.codes import CONTENT, DELETE, POST

from tests_host.ctwing.dtls_peer import Client
from tests_host.ctwing.raw_device import IMEI, IMSI
from tools.ctwing import dtls_own
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


# -- who may speak -----------------------------------------------------------------------------------------------------


def test_a_session_without_an_id_is_not_found_from_another_address():
    with Platform() as platform:
        wire, client = platform.connected()
        asked(wire, client, register())
        assert asked(Wire(platform, ("10.1.0.77", 50000)), client, to_registration(POST, 6)) is None


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
    db = sqlite3.connect(path)
    db.executescript(SCHEMA)
    db.execute("INSERT INTO products VALUES (1, 'old', 'lwm2m', 'imei', 'PSM', 1, 1, 0.0)")
    db.execute("INSERT INTO devices VALUES ('d', 1, 'n', ?, '', ?, 'registered', 0.0, NULL)", (IMEI, IMEI))
    db.commit()
    db.close()
    store = Store(str(path))
    assert store.product(1).encryption == "plain" and store.device("d").psk == ""
    store.close()


