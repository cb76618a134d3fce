"""The guide's MQTT and TCP transcripts against the modem's stand-in, and what each command causes at the platform
(guide §4.2.3, §4.3.3). Device number, token, payload and ports are drawn for each seed. Scripts are those of
qlw_scripts.py; `> …` types data at the prompt."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests_host.module.at_port import Desk
from tests_host.module.qlw_scripts import IN_SERVICE, Replay
from tools.module.modem.usocket import ports_of
from tools.world.network import MUTE, OPEN

MQTT = IN_SERVICE + """
AT+QIDNSCFG=1
< +QIDNSCFG: 1,"61.132.163.68","202.102.213.68"
< OK
AT+QMTCFG="version",0,4
< OK
AT+QMTCFG="will",0,0
< OK
AT+QMTCFG="session",0,0
< OK
AT+QMTCFG="ssl",0,0
< OK
AT+QMTCFG="keepalive",0,3600
< OK
AT+QMTOPEN=0,"2000033383.non-nb.ctwing.cn",1883
< OK
! +QMTOPEN: 0,0
AT+QMTCONN=0,"{id}","device001","{token}"
< OK
! +QMTCONN: 0,0,0
AT+QMTSUB=0,1,"topic/event",0
< OK
! +QMTSUB: 0,1,0,0
AT+QMTPUBEX=0,0,0,0,"topic/data",{length}
> {report}
< OK
! +QMTPUBEX: 0,0,0
"""

CLOSE_MQTT = """
AT+QMTCLOSE=0
< OK
! +QMTCLOSE: 0,0
"""

TCP = IN_SERVICE + """
AT+QICFG="dataformat",1,1
< OK
AT+QIOPEN=0,0,"TCP","tcp.ctwing.cn",8996,0,1
< OK
! +QIOPEN: 0,0
"""

LOGIN = """
AT+QISEND=0,{login_size}
> {login}
< SEND OK
! +QIURC: "recv",0,3,
! 050000
"""

LOGIN_EX = """
AT+QISENDEX=0,{login}
< SEND OK
! +QIURC: "recv",0,3,
! 050000
"""

EXCHANGE = """
AT+QISEND=0,{frame_size},"{frame}"
< OK
! SEND OK
@ stream command
! +QIURC: "recv",0,{down_frame_size},
! {down_frame}
AT+QICLOSE=0
< OK
! CLOSE OK
"""

SEEDS = (1, 2, 3)


class StreamReplay(Replay):
    """A device of the protocol beside the LwM2M one of the desk."""

    def __init__(self, desk: Desk, protocol: str) -> None:
        super().__init__(desk)
        number, token = str(desk.rng.randrange(10**14, 10**15)), f"{desk.rng.getrandbits(170):043x}"
        product = desk.aep.create_product("meters", protocol=protocol)
        self.device = desk.aep.create_device(product, name="meter", number=number, token=token)
        report = json.dumps({"temp": desk.rng.randint(-40, 80) / 2, "humi": desk.rng.randint(0, 100)})
        data, down = desk.rng.randbytes(desk.rng.randint(1, 200)), desk.rng.randbytes(desk.rng.randint(1, 60))
        login = b"\1" + b"".join(len(part).to_bytes(2, "big") + part
                                 for part in (self.device.encode(), token.encode(), b"1.0"))
        frames = {"login": login, "frame": b"\2" + len(data).to_bytes(2, "big") + data}
        frame_down = b"\3" + len(down).to_bytes(2, "big") + down
        self.report, self.data, self.command = report, data, down
        self.known.update({"id": self.device, "token": token, "report": report, "length": str(len(report)),
                           "down_frame": frame_down.hex().upper(), "down_frame_size": str(len(frame_down))})
        for name, frame in frames.items():
            self.known.update({name: frame.hex(), name + "_size": str(len(frame))})

    def _type(self, line: str) -> None:
        if line.startswith("> "):
            assert self.answer == [">"], "no prompt"
            self.answer = self.desk.enter(line[2:].format(**self.known).encode())
        else:
            super()._type(line)

    def _platform(self, what: str) -> None:
        if what == "stream command":
            self.desk.aep.command(self.device, self.command.hex(), data_type="hex")
        else:
            super()._platform(what)


@pytest.mark.parametrize("seed", SEEDS)
def test_mqtt_connects_subscribes_publishes_and_closes(desk, seed):
    """Guide §4.2.3."""
    port = desk(seed)
    port.run(port.board.wait(5))
    port.shown.clear()
    replay = StreamReplay(port, "mqtt").play(MQTT)
    assert port.aep.device(replay.device).online
    assert [uplink.payload.decode() for uplink in port.aep.uplinks(replay.device)] == [replay.report]
    replay.play(CLOSE_MQTT)
    port.wait(2)
    assert not port.aep.device(replay.device).online
    assert [raw[0] >> 4 for raw in port.up()] == [1, 8, 3, 14], "CONNECT, SUBSCRIBE, PUBLISH, DISCONNECT (MQTT §2.2.1)"
    assert [raw[0] >> 4 for raw in port.down()] == [2, 9], "CONNACK, SUBACK"


@pytest.mark.parametrize("login", [LOGIN, LOGIN_EX])
@pytest.mark.parametrize("seed", SEEDS)
def test_tcp_logs_in_reports_and_takes_a_command(desk, seed, login):
    """Guide §4.3.3, with either way of sending."""
    port = desk(seed)
    port.run(port.board.wait(5))
    port.shown.clear()
    replay = StreamReplay(port, "tcp").play(TCP + login + EXCHANGE)
    assert [uplink.payload for uplink in port.aep.uplinks(replay.device)] == [replay.data]
    port.wait(2)
    assert not port.aep.device(replay.device).online
    assert [raw.hex() for raw in port.up()] == [replay.known["login"], replay.known["frame"]]
    assert [raw.hex().upper() for raw in port.down()] == ["050000", replay.known["down_frame"]]


def test_a_wrong_token_is_told_by_its_number(desk):
    port = desk(4).ready()
    StreamReplay(port, "mqtt").play(MQTT.replace("{token}", "wrong").split("! +QMTCONN")[0] + "! +QMTCONN: 0,0,4\n")


def test_a_command_over_mqtt_is_a_urc(desk):
    port = desk(5).ready()
    replay = StreamReplay(port, "mqtt").play(MQTT)
    port.aep.command(replay.device, "hello")
    port.expect(r'\+QMTRECV: 0,\d+,"device_control",\d+,".*hello.*"')


@pytest.mark.parametrize(("protocol", "script", "close"), [
    ("mqtt", MQTT, "AT+QMTCLOSE=0"), ("tcp", TCP + LOGIN, "AT+QICLOSE=0"),
])
def test_what_comes_after_the_close_is_not_told(desk, protocol, script, close):
    port = desk(13).ready()
    replay = StreamReplay(port, protocol).play(script)
    before = len(port.down())
    port.aep.command(replay.device, "hello")
    while len(port.down()) == before:
        port.wait(0.001)
    assert port.type(close) == ["OK"]
    port.wait(2)
    assert len(port.shown) == 1 and port.shown[0].endswith(("+QMTCLOSE: 0,0", "CLOSE OK"))


def test_qos_1_waits_for_its_puback(desk):
    port = desk(6).ready()
    replay = StreamReplay(port, "mqtt").play(MQTT)
    assert port.type('AT+QMTPUBEX=0,7,1,0,"topic/data",2') == [">"] and port.enter(b"{}") == ["OK"]
    port.expect(r"\+QMTPUBEX: 0,7,0")
    assert port.aep.uplinks(replay.device)[-1].acknowledged


def test_what_does_not_resolve_or_answer_says_so(desk):
    port = desk(7).ready()
    port.type('AT+QMTOPEN=0,"nowhere.invalid",1883')
    port.type('AT+QIOPEN=0,0,"TCP","nowhere.invalid",8996,0,1')
    assert sorted([port.urc(), port.urc()]) == ["+QIOPEN: 0,566", "+QMTOPEN: 0,-1"]
    port.type('AT+QIOPEN=0,1,"TCP","180.106.148.146",9,0,1')
    assert port.urc(120) == "+QIOPEN: 1,566"


def test_no_port_stays_taken_by_a_connection_that_failed_or_ended(desk):
    port = desk(12).ready()
    for host in ("nowhere.invalid", "180.106.148.146"):
        port.type(f'AT+QIOPEN=0,0,"TCP","{host}",9,0,1')
        assert port.urc(120) == "+QIOPEN: 0,566"
    port.network.ports = MUTE
    port.type('AT+QIOPEN=0,0,"TCP","180.106.148.146",8996,0,1')
    port.wait(5)
    assert len(ports_of(port.board)) == 1
    assert port.type("AT+QICLOSE=0") == ["OK"] and port.urc() == "CLOSE OK"
    port.network.ports = OPEN
    StreamReplay(port, "tcp").play(TCP + LOGIN)
    port.network.blackout_until = port.board.loop.time() + 3600
    port.wait(1800)  # nobody acknowledges FIN
    assert port.type("AT+QICLOSE=0") == ["OK"]
    port.wait(1800)
    assert ports_of(port.board) == set() and port.network.flows.legs == {}


def test_the_peers_end_is_told(desk):
    port = desk(8).ready()
    StreamReplay(port, "tcp").play(TCP + LOGIN)
    port.wait(400)  # no heartbeat: the platform ends it (ctwing.md §4.2)
    assert port.shown == ['+QIURC: "closed",0']


def test_send_sync_has_no_data_mode(desk):
    """quecpython.md §3.12: a prompt is never answered."""
    port = desk(9).ready()
    StreamReplay(port, "tcp").play(TCP)
    room = bytearray(64)
    assert port.run(port.board.call("atcmd.sendSync", ["AT+QISEND=0,3\r\n", room, "", 2])) == 5
    assert port.type("AT") == ["OK"]


BAD = ["AT+QICFG=", 'AT+QICFG="dataformat",2,1', 'AT+QIOPEN=0,0,"UDP","a",1,0,1', 'AT+QIOPEN=0,0,"TCP","",1,0,1',
       'AT+QIOPEN=0,12,"TCP","a",1,0,1', 'AT+QIOPEN=0,0,"TCP","a",1,0,0', "AT+QISEND=0,1", "AT+QISENDEX=0,00",
       "AT+QICLOSE=0", 'AT+QMTCFG="version",0,5', 'AT+QMTCFG="will",0,1', 'AT+QMTCFG="moon",0', 'AT+QMTOPEN=0,"",1',
       'AT+QMTOPEN=6,"a",1', 'AT+QMTCONN=0,"a"', 'AT+QMTSUB=0,1,"a",0', 'AT+QMTPUBEX=0,0,0,0,"a",1', "AT+QMTCLOSE=0"]


def test_what_is_malformed_or_out_of_turn_is_an_error_and_sends_nothing(desk):
    port = desk(10).ready()
    for command in BAD:
        assert port.type(command) == ["ERROR"], command
    port.wait(1)
    assert port.network.trace == []


@pytest.fixture(scope="module")
def steady():
    port = Desk(11).ready()
    StreamReplay(port, "mqtt").play(MQTT)
    yield port
    port.close()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40))
def test_no_bytes_of_a_broker_break_the_client(steady, raw):
    group = next(group for group in steady.board.firmware["atcmd"].groups if type(group).__name__ == "Qmt")
    group._open[0].data.clear()
    group._came(0, raw)
