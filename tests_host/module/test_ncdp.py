"""AT+NCDP and its group on the wire: registration, reports whose end can be polled, downlinks in a buffer
(quecpython.md §3.13, ctwing.md §2.9)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests_host.module.at_port import Desk
from tools.module.profiles import FAMILIES

NCDP = FAMILIES["EC800E"].with_client("ncdp")


@pytest.fixture
def port(desk):
    return registered(desk(1, family=NCDP).ready())


def registered(port: Desk) -> Desk:
    assert port.type("AT+NCDP=221.229.214.202,5683") == ["OK"]
    assert port.type("AT+QLWEVTIND=1") == ["OK"]
    assert port.type("AT+QLWSREGIND=0") == ["OK"]
    port.expect(r"\+QLWEVTIND: 0", r"\+QLWEVTIND: 3")
    assert port.type("AT+NMSTATUS?") == ["+NMSTATUS: REGISTERED_AND_OBSERVED", "OK"]
    return port


def test_the_probe_and_the_servers_address(port):
    assert port.type("AT+NCDP=?") == ["OK"] and port.type("AT+NCDP?") == ["+NCDP: 221.229.214.202,5683", "OK"]
    assert port.type("AT+QLWCFG?") == ["ERROR"], "one group or the other"


def test_a_con_is_acknowledged_by_poll_and_urc(port):
    assert port.type("AT+QLWULDATASTATUS?") == ["+QLWULDATASTATUS: 0", "OK"]
    assert port.type("AT+QLWULDATAEX=2,6869,0x0100,7") == ["OK"]
    assert port.type("AT+QLWULDATASTATUS?") == ["+QLWULDATASTATUS: 1,7", "OK"]
    assert port.type("AT+QLWULDATAEX=2,6869,0x0100,8") == ["ERROR"], "one at a time"
    port.expect(r"\+QLWULDATASTATUS: 4,7")
    assert port.type("AT+QLWULDATASTATUS?") == ["+QLWULDATASTATUS: 4,7", "OK"]
    assert [(u.payload, u.kind, u.acknowledged) for u in port.aep.uplinks(port.device)] == [(b"hi", "CON", True)]


def test_a_non_is_only_sent(port):
    for command in ("AT+NMGS=2,6869", "AT+QLWULDATA=2,6869", "AT+QLWULDATAEX=2,6869,0x0001"):
        assert port.type(command) == ["OK"]
    port.wait(1)
    assert [u.kind for u in port.aep.uplinks(port.device)] == ["NON"] * 3
    assert port.type("AT+NQMGS") == ["PENDING=0,SENT=3,ERROR=0", "OK"]


@pytest.mark.parametrize(("spoil", "status"), [("reset", "5,1"), ("silent", "3,1")])
def test_a_con_that_is_reset_or_not_answered_says_so(port, spoil, status):
    if spoil == "reset":
        port.aep.fault("reset-report", strikes=1)
    else:
        port.network.blackout_until = port.loop.time() + 1000
    port.type("AT+QLWULDATAEX=2,6869,0x0100,1")
    port.wait(100)
    assert port.type("AT+QLWULDATASTATUS?") == [f"+QLWULDATASTATUS: {status}", "OK"]


def test_downlinks_are_answered_at_once_and_wait_to_be_read(port):
    for text in ("one", "two"):
        port.aep.command(port.device, text)
    port.type("AT+NMGS=2,6869")
    port.wait(2)
    assert [command.status for command in port.aep.commands(port.device)] == ["DELIVERED"] * 2
    assert port.type("AT+NQMGR") == ["BUFFERED=2,RECEIVED=2,DROPPED=0", "OK"]
    assert [port.type("AT+NMGR") for _ in range(3)] == [["3,6F6E65", "OK"], ["3,74776F", "OK"], ["OK"]]


def test_it_deregisters_and_the_platform_knows(port):
    assert port.type("AT+QLWSREGIND=1") == ["OK"]
    port.wait(1)
    assert port.type("AT+NMSTATUS?") == ["+NMSTATUS: DEREGISTERED", "OK"]
    assert not port.aep.device(port.device).online
    assert port.type("AT+QLWULDATAEX=2,6869,0x0100,7") == ["ERROR"]


def test_a_device_that_the_platform_does_not_know_is_rejected(desk):
    port = desk(2, family=NCDP, form="urn:imei").ready()
    port.type("AT+NCDP=lwm2m.ctwing.cn")
    port.type("AT+QLWSREGIND=0")
    assert port.type("AT+NMSTATUS?") == ["+NMSTATUS: REGISTERING", "OK"]
    port.wait(3)
    assert port.type("AT+NMSTATUS?") == ["+NMSTATUS: REJECTED_BY_SERVER", "OK"]


BAD = ["AT+NCDP=", "AT+NCDP=a,0", "AT+NCDP=a,1,2", "AT+QLWSREGIND=2", "AT+QLWSREGIND=", "AT+QREGSWT=3", "AT+NNMI=3",
       "AT+NSMI=2", "AT+NMGS=1", "AT+NMGS=1,0", "AT+NMGS=1,zz", "AT+NMGS=2,00", "AT+NMGS=0,", "AT+NMGS=1,00,256",
       "AT+QLWULDATAEX=1,00", "AT+QLWULDATAEX=1,00,0x0200", "AT+QLWULDATAEX=1,00,1", 'AT+QCFG="LWM2M/Lifetime",1',
       'AT+QCFG="LWM2M/Lifetime",900,1']


def test_what_is_malformed_is_an_error_and_sends_nothing(port):
    before = len(port.up())
    for command in BAD:
        assert port.type(command) == ["ERROR"], command
    assert len(port.up()) == before


@pytest.fixture(scope="module")
def steady():
    port = registered(Desk(3, family=NCDP).ready())
    yield port
    port.close()


@settings(max_examples=150, deadline=None)
@given(st.builds(
    lambda name, tail: f"AT+{name}={tail}",
    st.sampled_from(["NCDP", "NMGS", "QLWULDATAEX", "QLWSREGIND", "NNMI", "QREGSWT"]),
    st.lists(st.sampled_from(["0", "1", "2", "00", "0x0100", "x", '""', "é"]), max_size=5).map(",".join)))
def test_no_text_breaks_the_group(steady, text):
    assert steady.type(text)[-1] in ("OK", "ERROR")
