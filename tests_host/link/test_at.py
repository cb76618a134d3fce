"""link.at: one lock, one parser, and every way `atcmd.sendSync` can fail (quecpython.md §3.12)."""

from types import SimpleNamespace

import pytest

from tests_host.store.bench import Bench
from tools.module.flash import Flash


def modem(answer=b"", result=0, asked=None):
    """(link.at, link.fault.NoModem) over an atcmd that answers this to everything."""

    def send_sync(command, buffer, include, timeout):
        if asked is not None:
            asked.append((command, include, timeout))
        if answer is not None:
            buffer[:] = answer[: len(buffer)].ljust(len(buffer), b"\0")
        return result

    bench = Bench(Flash(blocks=24), atcmd=SimpleNamespace(sendSync=send_sync))
    return bench.load("link.at"), bench.load("link.fault").NoModem


def test_command_goes_with_its_line_end_and_a_time_out():
    asked = []
    at, _ = modem(asked=asked)
    at.send("AT+CSCON?")
    assert asked == [("AT+CSCON?\r\n", "", 5)]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"\r\n+CPIN: READY\r\n\n", "+CPIN: READY"),
        (b"\r\n+CPIN: READY\r\n\r\nOK\r\n", "+CPIN: READY"),
        (b"\r\n+A: 1\r\n\r\n+A: 2\r\n\n", "+A: 1\n+A: 2"),
        (b"", ""), (b"\r\nOK\r\n", ""), (b"x" * 256, "x" * 256), (b"x" * 300, "x" * 256),
    ],
)  # fmt: skip
def test_answer_is_its_lines_without_padding_and_result(answer, text):
    at, _ = modem(answer)
    assert at.send("AT") == text


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (1, "ERROR"), (2, "+CME ERROR"), (3, "+CMS ERROR"), (4, "invalid parameter"), (5, "timeout"),
        (6, "system error"), (-1, "-1"), (7, "7"),
    ],
)  # fmt: skip
def test_result_other_than_ok_is_a_fault_that_names_the_command_without_its_values(result, text):
    at, no_modem = modem(b"\r\nERROR\r\n\n", result)
    with pytest.raises(no_modem, match="^AT.QSCLKEX: " + text.replace("+", ".")):
        at.send("AT+QSCLKEX=1,1,30")


def test_failed_command_leaves_the_lock_free():
    at, no_modem = modem(result=1)
    for _ in range(2):
        with pytest.raises(no_modem):
            at.send("AT")


def test_answer_of_the_command_before_is_not_read_again():
    at, _ = modem(b"\r\n+CSQ: 20,99\r\n\n")
    assert at.send("AT+CSQ") == "+CSQ: 20,99"
    at._buffer[:] = b"stale" * 51 + b"x"
    at.atcmd.sendSync = lambda command, buffer, include, timeout: 0
    assert at.send("AT") == ""


def test_garbled_answer_is_a_fault():
    at, no_modem = modem(b"\r\n+A: \xff\xfe\r\n")
    with pytest.raises(no_modem, match="AT.A: garbled"):
        at.send("AT+A=5")


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        (b'\r\n+QENG: "servingcell","NOCONN",1\r\n', ["servingcell", "NOCONN", "1"]),
        (b"\r\n+QENG: 1,,3\r\n", ["1", "", "3"]),
        (b"\r\n+OTHER: 5\r\n\r\n+QENG:7\r\n", ["7"]),
    ],
)
def test_values_are_the_fields_of_the_first_line_with_the_prefix(answer, fields):
    at, _ = modem(answer)
    assert at.values("AT+QENG?", "+QENG:") == fields


@pytest.mark.parametrize("answer", [b"", b"\r\n+OTHER: 1\r\n"])
def test_answer_without_the_prefix_is_a_fault(answer):
    at, no_modem = modem(answer)
    with pytest.raises(no_modem, match="without .QENG"):
        at.values("AT+QENG?", "+QENG:")
