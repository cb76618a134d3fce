"""AT+QLW… beside the guide's transcripts: lost, refused, reset, malformed or out of turn (ctwing.md §1.6, §2)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests_host.module.at_port import Desk
from tests_host.module.qlw_scripts import CON, OBSERVED, REGISTER, Replay, said

AUTO = REGISTER.replace("AT+QLWREG", 'AT+QLWCFG="auto_ack",1\n< OK\nAT+QLWREG')


def test_with_auto_ack_the_observe_is_answered_empty_by_the_stack(desk):
    port = desk(6).ready()
    replay = Replay(port).play(AUTO + '! +QLWURC: "observe",<observe>,0,19,0,0\n~ ACK 2.05 mid {observe}\n' + CON)
    assert [uplink.payload for uplink in port.aep.uplinks(port.device)] == [replay.up]
    assert port.type(f"AT+QLWOBSRSP={replay.known['observe']},1,19,0,0,2,0,\"\",0") == ["ERROR"], "it was answered"


def test_an_observe_and_a_write_that_nobody_answers_stay_unanswered(desk):
    port = desk(7).ready()
    replay = Replay(port).play(REGISTER + '! +QLWURC: "observe",<observe>,0,19,0,0')
    assert port.type('AT+QLWNOTIFY=19,0,0,2,1,"00",0,1') == ["ERROR"], "no token, no report (ctwing.md §2.3)"
    port.wait(150)
    assert port.type(f"AT+QLWOBSRSP={replay.known['observe']},1,19,0,0,2,0,\"\",0") == ["ERROR"], "too late"


def test_a_report_is_repeated_until_it_is_acknowledged_and_reported_lost_otherwise(desk):
    port = desk(8).ready()
    replay = Replay(port).play(REGISTER + OBSERVED)
    port.network.blackout_until = port.loop.time() + 1000
    replay.play('AT+QLWNOTIFY=19,0,0,2,1,"00",0,1\n< OK\n! +QLWURC: "report",<report>\n! +QLWNOTIFY: 0')
    port.wait(100)
    assert port.shown == [f'+QLWURC: "report_ack",1,{replay.known["report"]}']
    tries = [d for d in port.network.trace if d.lost and d.direction == "up"]
    assert len(tries) == 5, "retransmit 2,4: once and four times more"
    gaps = [b.t_us - a.t_us for a, b in zip(tries, tries[1:], strict=False)]
    doubled = all(1.7 < later / sooner < 2.3 for sooner, later in zip(gaps, gaps[1:], strict=False))
    assert 2e6 <= gaps[0] <= 3.2e6 and doubled, "2-3 s, doubled each time, and what the radio takes to connect"


def test_a_report_that_is_reset_says_so_and_ends_the_observation(desk):
    port = desk(9).ready()
    replay = Replay(port).play(REGISTER + OBSERVED)
    port.aep.fault("reset-report", strikes=1)
    replay.play('AT+QLWNOTIFY=19,0,0,2,1,"00",0,1\n< OK\n! +QLWURC: "report",<report>\n! +QLWNOTIFY: 0\n'
                '! +QLWURC: "report_ack",9,{report}\nAT+QLWNOTIFY=19,0,0,2,1,"00",0,1\n< ERROR')


@pytest.mark.parametrize(("spoil", "status"), [("unknown", 17), ("silent", 13)])
def test_a_registration_that_comes_to_nothing_is_minus_nine(desk, spoil, status):
    port = desk(10).ready()
    if spoil == "silent":
        port.network.blackout_until = port.loop.time() + 1000
    script = REGISTER.replace("! +QLWREG: 0", "").split("~")[0]
    Replay(port).play(script.replace("{imei}", "8" * 15) if spoil == "unknown" else script)
    assert port.urc(120) == "+QLWREG: -9"
    assert port.type("AT+QLWSTATUS?") == [f"+QLWSTATUS: {status}", "OK"]


def test_an_update_that_the_platform_refuses_ends_the_registration(desk):
    port = desk(11).ready()
    Replay(port).play(REGISTER + OBSERVED)
    assert port.type("AT+QLWSTATUS?") == ["+QLWSTATUS: 12", "OK"]
    port.aep.front.end(port.device, "forgotten")
    port.type("AT+QLWUPDATE=0,86400")
    port.expect(r"\+QLWUPDATE: -9,\d+")
    assert port.type("AT+QLWSTATUS?") == ["+QLWSTATUS: 13", "OK"]


def test_lifetime_enable_updates_by_itself(desk):
    port = desk(12).ready()
    script = REGISTER.replace('AT+QLWCFG="lifetime_enable",0\n< OK\n', "").replace("86400", "900")
    Replay(port).play(script + OBSERVED)
    port.wait(2000)
    assert sum("POST /rd/" in said(raw) for raw in port.up()) == 2 and port.aep.device(port.device).online


BAD = [
    "AT+QLWCFG=", 'AT+QLWCFG="auto_ack",2', 'AT+QLWCFG="retransmit",2', 'AT+QLWCFG="retransmit",1,4',
    'AT+QLWCFG="moon",1',
    "AT+QLWCONFIG=", 'AT+QLWCONFIG=1,"a",5683,"b",86400,3', 'AT+QLWCONFIG=0,"a",0,"b",86400,3',
    'AT+QLWCONFIG=0,"",5683,"b",86400,3', 'AT+QLWCONFIG=0,"a",5683,"b",19,3', 'AT+QLWCONFIG=0,"a",5683,"b",86400,2',
    'AT+QLWCONFIG=0,"a",5684,"b",86400,0', 'AT+QLWCONFIG=0,"a",5684,"b",86400,0,"id","0g"',
    'AT+QLWCONFIG=0,"a",5684,"b",86400,0,"id","123"', 'AT+QLWCONFIG=0,"a",5683,"b",86400,3,2',
    "AT+QLWADDOBJ=19,0,1", "AT+QLWADDOBJ=19,0,2,0", "AT+QLWADDOBJ=3,0,1,0", "AT+QLWADDOBJ=", "AT+QLWDELOBJ=19",
    "AT+QLWREG", "AT+QLWDEREG", "AT+QLWUPDATE=0,86400", "AT+QLWRD", "AT+QLWWRRSP=1,2", "AT+QLWOBSRSP=1,1",
    "AT+QLWRDRSP=1,1", "AT+QLWEXERSP=1,2", 'AT+QLWNOTIFY=19,0,0,2,1,"00",0,1', "AT+QLWCONFIG?", "AT+NCDP=?",
    "AT+NMSTATUS?",
]


def test_what_is_malformed_or_out_of_turn_is_an_error_and_sends_nothing(desk):
    port = desk(13).ready()
    for command in BAD:
        assert port.type(command) == ["ERROR"], command
    assert port.up() == [] and port.type("AT+QLWSTATUS?") == ["+QLWSTATUS: 0", "OK"]


def test_probes_answer_with_ranges(desk):
    port = desk(14).ready()
    assert port.type("AT+QLWCFG=?")[0] == '+QLWCFG: "retransmit",(2-20),(0-8)'
    assert port.type("AT+QLWCONFIG=?")[-1] == "OK"


@pytest.fixture(scope="module")
def registered():
    port = Desk(15).ready()
    Replay(port).play(REGISTER + OBSERVED)
    yield port
    port.close()


@settings(max_examples=200, deadline=None)
@given(st.builds(
    lambda name, tail: f"AT+{name}={tail}",
    st.sampled_from(["QLWCFG", "QLWCONFIG", "QLWADDOBJ", "QLWDELOBJ", "QLWUPDATE", "QLWOBSRSP", "QLWWRRSP",
                     "QLWNOTIFY"]),
    st.one_of(st.text(alphabet='0123456789,"abc-+é٣ ', max_size=30),
              st.lists(st.sampled_from(["0", "1", "19", "2", '"00"', '""', "65536", "x"]), max_size=10).map(",".join))))
def test_no_text_breaks_the_commands(registered, text):
    assert registered.type(text)[-1] in ("OK", "ERROR")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_no_datagram_of_the_platform_breaks_the_client(registered, raw):
    registered.board.firmware["atcmd"].groups[0].client()._heard(raw)
