"""quecpython.md §3.12 (sendSync), §4.4 (commands); guide §6.1; ctwing.md §7.3, §7.7."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests_host.module.modem_rig import Rig, profile


@pytest.fixture(scope="module")
def ready() -> Rig:
    """A module in service; for commands that change nothing."""
    return Rig().until_ready()


def send(rig: Rig, cmd: object, size: int = 64, include: str = "", timeout: int = 5) -> tuple[int, bytearray]:
    buffer = bytearray(b"\xaa" * size)
    return rig.ask("atcmd.sendSync", cmd, buffer, include, timeout), buffer


def test_the_documented_sample(ready):
    assert send(ready, "at+cpin?\r\n", 30) == (0, bytearray(b"\r\n+CPIN: READY\r\n\n".ljust(30, b"\0")))


def test_error_leaves_its_line_in_the_buffer(ready):
    assert send(ready, "AT+NOSUCH\r\n", 20) == (1, bytearray(b"\r\nERROR\r\n\n".ljust(20, b"\0")))


def test_cme_error_without_a_card():
    rig = Rig()
    rig.nv.values["sim"] = {"status": 0}
    rig.wait(5)
    result, buffer = send(rig, "AT+CPIN?\r\n")
    assert (result, buffer.rstrip(b"\0")) == (2, b"\r\n+CME ERROR: 10\r\n\n")


def test_answer_is_cut_to_the_buffer_and_an_empty_one_is_allowed(ready):
    assert send(ready, "AT+CPIN?\r\n", 6) == (0, bytearray(b"\r\n+CPI"))
    assert send(ready, "AT+CPIN?\r\n", 0) == (0, bytearray())


def test_include_str_keeps_only_lines_that_contain_it(ready):
    assert send(ready, "ATI\r\n", 60, "EC8")[1].rstrip(b"\0").startswith(b"\r\nEC800E\r\n")
    assert send(ready, "AT+CPIN?\r\n", 8, "nothing") == (0, bytearray(8))


@pytest.mark.parametrize("timeout", [0, -1])
def test_timeout_of_nothing_is_minus_one(ready, timeout):
    assert send(ready, "AT\r\n", 8, "", timeout)[0] == -1


def test_longer_than_ten_minutes_and_a_missing_line_end_are_invalid(ready):
    assert send(ready, "AT\r\n", 8, "", 601)[0] == 4
    assert send(ready, "AT", 8)[0] == 4


def test_no_answer_in_time_is_5_after_that_time():
    rig = Rig()
    rig.board.firmware["atcmd"]._scripted["AT+COPS=?"] = (60.0, ["+COPS: ()"], 0)
    began = rig.loop.time()
    assert send(rig, "AT+COPS=?\r\n", 8, "", 3) == (5, bytearray(8))
    assert rig.loop.time() - began == pytest.approx(3.0)


def test_a_command_takes_a_few_milliseconds(ready):
    began = ready.loop.time()
    send(ready, "AT\r\n")
    assert 0.001 <= ready.loop.time() - began <= 0.02


@pytest.mark.parametrize(("command", "answer"), [
    ("AT", ""),
    ("ATI", "Quectel\r\n\r\nEC800E\r\n\r\nRevision: EC800ECNLCR01A01M04_OCPU_QPY"),
    ("AT+CGSN", "868543060974334"),
    ("AT+CIMI", "460115472446714"),
    ("AT+QCCID", "+QCCID: 89860320845515190439"),
    ("AT+CEREG?", "+CEREG: 0,1"),
    ("AT+CFUN?", "+CFUN: 1"),
    ('AT+QIDNSCFG=1', '+QIDNSCFG: 1,"61.132.163.68","202.102.213.68"'),
    ("AT+QSCLKEX=?", "+QSCLKEX: (0,1),(1-50),(1-600)"),
    ("AT+QSCLKEX?", "+QSCLKEX: 0"),
    ("AT+QSCLK?", "+QSCLK: 0"),
    ('AT+QCFG="URC/PSM"', '+QCFG: "urc/psm",0'),
])
def test_answers_of_the_guide(ready, command, answer):
    text = f"\r\n{answer}\r\n\n" if answer else ""
    assert ready.at(command) == (0, text)


def test_serving_cell_is_the_guides_line_but_for_the_drift_of_the_signal(ready):
    """ctwing.md §7.7."""
    ready.until_idle()
    result, text = ready.at('AT+QENG="SERVINGCELL"')
    name, state, rat, duplex, *rest = text.strip().removeprefix("+QENG: ").split(",")
    assert (result, name, state, rat, duplex) == (0, '"servingcell"', '"NOCONN"', '"LTE"', '"FDD"')
    assert rest[:9] == ["460", "11", "5A2890B", "475", "1650", "3", "5", "5", "DF5C"]
    assert abs(int(rest[9]) + 102) <= 3
    assert abs(int(rest[11]) + 73) <= 3
    assert ready.events.of("sensor")[-1].data == {"field": "rsrp", "value": int(rest[9])}


def test_rrc_state_can_be_asked_for():
    rig = Rig().until_ready()
    assert rig.at("AT+CSCON=1") == (0, "")
    assert rig.at("AT+CSCON?")[1].strip() == "+CSCON: 1,1"
    assert '"CONNECT"' in rig.at('AT+QENG="servingcell"')[1]
    rig.until_idle()
    assert rig.at("AT+CSCON?")[1].strip() == "+CSCON: 1,0"


def test_cereg_4_ends_with_the_granted_t3324_and_t3412():
    rig = Rig().until_ready()
    assert rig.at('AT+CPSMS=1,,,"00100100","00000101"') == (0, "")  # 4 h, 10 s (quecpython.md §4.4)
    rig.wait(1)
    assert rig.at("AT+CEREG=4") == (0, "")
    assert rig.at("AT+CEREG?")[1].strip() == '+CEREG: 4,1,"DF5C","5A2890B",7,,,"00000101","00100100"'
    assert rig.at("AT+CPSMS?")[1].strip() == '+CPSMS: 1,,,"00100100","00000101"'
    assert rig.ask("pm.get_psm_time") == [1, 1, 4, 0, 5]


def test_cereg_4_without_a_grant_has_no_timers():
    rig = Rig(profile(psm=False)).until_ready()
    rig.at('AT+CPSMS=1,,,"00100100","00000101"')
    rig.wait(1)
    rig.at("AT+CEREG=4")
    assert rig.at("AT+CEREG?")[1].strip() == '+CEREG: 4,1,"DF5C","5A2890B",7'


def test_qsclk_3_takes_t3412_before_t3324():
    """ctwing.md §7.3: read the other way round the guide's line would ask for 186 min active and 10 min TAU."""
    rig = Rig().until_ready()
    assert rig.at('AT+QSCLK=3,2,"01011111","00000001"') == (0, "")
    rig.wait(1)
    assert (rig.board.radio.granted.tau_s, rig.board.radio.granted.active_s) == (1_116_000, 2)
    assert rig.board.radio.autosleep == 1


def test_cpsms_0_switches_psm_off_and_keeps_the_timers():
    rig = Rig().until_ready()
    rig.at('AT+CPSMS=1,,,"00100100","00000101"')
    rig.wait(1)
    rig.at("AT+CPSMS=0")
    rig.wait(1)
    assert rig.board.radio.granted is None
    assert rig.ask("pm.get_psm_time") == [0, 1, 4, 0, 5]


BAD = [
    "AT+QSCLKEX=2,1,30", "AT+QSCLKEX=1,0,30", "AT+QSCLKEX=1,51,30", "AT+QSCLKEX=1,1,601", "AT+QSCLKEX=1,1,30,1",
    "AT+QSCLKEX=", "AT+QSCLKEX=x", "AT+QSCLKEX=-1", "AT+QSCLK=4", "AT+QSCLK=1,1", 'AT+QSCLK=3,2,"01011111"',
    'AT+QSCLK=3,2,"0101111","00000001"', 'AT+QSCLK=3,2,"01011112","00000001"', 'AT+QSCLK=3,0,"01011111","00000001"',
    'AT+CPSMS=1,,,"00100100"', "AT+CPSMS=3", "AT+CEREG=6", "AT+CEREG=", "AT+CSCON=2", 'AT+QCFG="urc/port","moon"',
    'AT+QCFG="URC/PSM",2', "AT+QCFG=", 'AT+QENG="neighbourcell"', 'AT+QENG="servingcell', "AT+QIDNSCFG=4",
    'AT+QIDNSCFG=1,"nowhere"', "AT+", "XT", "", "AT;AT", "ATAT", "AT+NOSUCH=1",
    'AT+CPSMS=1,,,"00100100","00000101",1',
]


@pytest.mark.parametrize("command", BAD)
def test_malformed_and_unknown_commands_are_errors_and_change_nothing(command):
    rig = Rig()
    before = (repr(rig.nv.values.get("psm")), rig.board.radio.autosleep, rig.board.radio.release)
    assert rig.at(command) == (1, "\r\nERROR\r\n\n")
    assert (repr(rig.nv.values.get("psm")), rig.board.radio.autosleep, rig.board.radio.release) == before
    assert rig.at("AT+CEREG?")[1].startswith("\r\n+CEREG: 0,")


@settings(max_examples=200, deadline=None)
@given(st.one_of(
    st.text(max_size=40),
    st.builds(lambda name, tail: f"AT+{name}={tail}",
              st.sampled_from(["QSCLK", "QSCLKEX", "CPSMS", "CEREG", "QCFG", "QENG", "CSCON", "QIDNSCFG"]),
              st.text(alphabet='0123456789,"abc-+é٣ ', max_size=30)),
))
def test_no_text_breaks_the_interpreter(ready, text):
    assert ready.at(text)[0] in (0, 1, 2)


def test_ten_minutes_are_still_a_timeout(ready):
    assert send(ready, "AT\r\n", 8, "", 600)[0] == 0


@pytest.mark.parametrize(("n", "answer"), [
    (1, "1,1"), (2, '2,1,"DF5C","5A2890B",7'), (3, '3,1,"DF5C","5A2890B",7'),
])
def test_cereg_below_4_has_no_timers_and_below_2_no_cell(n, answer):
    """TS 27.007 §10.1.22."""
    rig = Rig().until_ready()
    rig.at('AT+CPSMS=1,,,"00100100","00000101"')
    rig.wait(1)
    rig.at(f"AT+CEREG={n}")
    assert rig.at("AT+CEREG?")[1].strip() == "+CEREG: " + answer


def test_cpsms_2_resets_the_timers():
    """TS 27.007 §7.38."""
    rig = Rig()
    rig.at('AT+CPSMS=1,,,"00100100","00000101"')
    assert rig.at("AT+CPSMS=2")[0] == 0
    assert rig.at("AT+CPSMS?")[1].strip() == '+CPSMS: 0,,,"00000000","00000000"'
