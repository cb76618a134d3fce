"""link.power: what is asked for, what is granted, the three tries at a release (quecpython.md §4, guide §6.1)."""

from types import SimpleNamespace

import pytest

from tests_host.device.fakes import Ticks
from tests_host.store.bench import Bench
from tools.module.flash import Flash


class Modem:
    """pm and atcmd. `answers` gives, by the command's beginning, (result, text) or a list of them, used up in turn."""

    def __init__(self, psm=None, answers=None, accepts=True, **functions):
        self.psm, self.set, self.sent, self.asleep = psm, [], [], []
        self.locks = set()
        answers = answers or {}

        def set_psm_time(*timers):
            self.set.append(timers)
            return accepts

        def send_sync(command, buffer, include, timeout):
            self.sent.append(command.strip())
            buffer[:] = bytes(len(buffer))
            for start, answer in answers.items():
                if command.startswith(start):
                    result, text = answer.pop(0) if isinstance(answer, list) else answer
                    line = b"\r\n" + text.encode() + b"\r\n\n"
                    buffer[: len(line)] = line
                    return result
            return 0

        members = {"set_psm_time": set_psm_time, "get_psm_time": lambda: self.psm}
        always = {
            "autosleep": lambda flag: self.asleep.append(flag) or 0, "create_wakelock": lambda name, size: 3,
            "wakelock_lock": lambda lock: self.locks.add(lock) or 0,
            "wakelock_unlock": lambda lock: self.locks.discard(lock) or 0,
        }  # fmt: skip
        pm = SimpleNamespace(**{**always, **(members if psm != "absent" else {}), **functions})
        bench = Bench(Flash(blocks=24), pm=pm, atcmd=SimpleNamespace(sendSync=send_sync))
        self.clock = Ticks()
        self.power = bench.load("link.power").Power(self.clock)

    def pause(self, ms):
        self.clock.sleep(ms)
        return False


def test_timers_are_asked_for_rounded_up_and_said_in_seconds():
    modem = Modem([0, 0, 0, 0, 0])
    assert modem.power.ask(21600, 2) == (21600, 2)
    assert modem.set == [(1, 6, 0, 1)]  # 6 x 1 h, 1 x 2 s (quecpython.md §3.5)
    assert modem.power.ask(21601, 61) == (25200, 62)


def test_what_is_set_already_is_not_written_again():
    """It writes the modem's NV (quecpython.md §4.2)."""
    modem = Modem([1, 1, 6, 0, 1])
    assert modem.power.ask(21600, 2) == (21600, 2)
    assert modem.set == []


@pytest.mark.parametrize("before", [None, [0, 1, 6, 0, 1], [1, 1, 6, 0, 2]])
def test_psm_that_is_off_or_otherwise_is_set(before):
    modem = Modem(before)
    modem.power.ask(21600, 2)
    assert modem.set == [(1, 6, 0, 1)]


def test_module_without_psm_says_so_and_one_that_refuses_asks_for_nothing():
    assert not Modem("absent").power.has_psm()
    assert Modem(None, accepts=False).power.has_psm()
    assert Modem(None, accepts=False).power.ask(21600, 2) is None


def test_grant_is_read_from_the_newer_call_where_there_is_one():
    assert Modem(get_psm_netinfo=lambda: (1, 21600, 2)).power.read_grant() == (21600, 2)
    assert Modem(get_psm_netinfo=lambda: (0, 0, 0)).power.read_grant() is None
    assert Modem(get_psm_netinfo=lambda: (0, 3240, 2)).power.read_grant() is None
    assert Modem(get_psm_netinfo=lambda: -1).power.read_grant() is None


@pytest.mark.parametrize(
    ("line", "grant"),
    [
        ('+CEREG: 4,1,"DF5C","5A2890B",7,,,"00000001","00100110"', (21600, 2)),
        ('+CEREG: 4,5,"DF5C","5A2890B",7,0,0,"00000101","01011111"', (1116000, 10)),
        ('+CEREG: 4,1,"DF5C","5A2890B",7,,,"11100000","00100110"', None),
        ('+CEREG: 4,1,"DF5C","5A2890B",7', None), ("+CEREG: 4,2", None),
        ('+CEREG: 4,1,"DF5C","5A2890B",7,,,"xxxxxxxx","00100110"', None),
    ],
)  # fmt: skip
def test_grant_is_read_from_cereg_elsewhere(line, grant):
    """TS 27.007 §10.1.22: the last two are T3324 and T3412."""
    modem = Modem(answers={"AT+CEREG?": (0, line)})
    assert modem.power.read_grant() == modem.power.granted == grant
    assert modem.sent == ["AT+CEREG=4", "AT+CEREG?"]


def test_grant_that_is_gone_is_forgotten():
    modem = Modem(answers={"AT+CEREG?": [(0, '+CEREG: 4,1,"D","5",7,,,"00000001","00100110"'), (1, "ERROR")]})
    assert modem.power.read_grant() is not None
    assert modem.power.read_grant() is False and modem.power.granted is None, "a refused command is no refused PSM"


def test_a_network_that_grants_nothing_is_no_module_that_cannot_say():
    modem = Modem(answers={"AT+CEREG?": [(1, "ERROR"), (0, ""), (0, '+CEREG: 4,1,"D","5",7')]})
    assert [modem.power.read_grant() for _ in range(3)] == [False, False, None]


def test_enhanced_sleep_is_armed_in_autosleep():
    modem = Modem()
    assert modem.power.arm() is True
    assert (modem.asleep, modem.sent) == ([1], ["AT+QSCLKEX=1,1,30"])
    assert Modem(answers={"AT+QSCLKEX": (1, "ERROR")}).power.arm() is False


@pytest.mark.parametrize("result", [0, -1])
def test_enhanced_sleep_is_armed_by_the_call_where_there_is_one(result):
    """The same figures as the command's (quecpython.md §4.3)."""
    asked = []
    modem = Modem(sclkEx_set=lambda *figures: asked.append(figures) or result)
    assert modem.power.arm() is (result == 0)
    assert (modem.asleep, modem.sent, asked) == ([1], [], [(1, 1, 30)])


def test_hold_keeps_the_module_awake_until_it_may_doze():
    modem = Modem()
    modem.power.hold()
    modem.power.arm()
    assert modem.locks == {3}
    modem.power.doze()
    assert (modem.locks, modem.asleep[-1]) == (set(), 1)
    modem.power.hold()
    assert modem.locks == {3}


@pytest.mark.parametrize("number", [0, 3])
def test_one_wakelock_is_made_and_held_again(number):
    made = []
    modem = Modem(create_wakelock=lambda name, size: made.append((len(name), size)) or number)
    for _ in range(2):
        modem.power.hold()
        assert modem.locks == {number}
        modem.power.doze()
        assert modem.locks == set()
    assert made == [(5, 5)]


def test_module_without_a_free_wakelock_goes_on_without():
    touched = []
    modem = Modem(create_wakelock=lambda name, size: -1, wakelock_lock=touched.append, wakelock_unlock=touched.append)
    modem.power.hold()
    modem.power.doze()
    assert modem.asleep == [1] and touched == []


def test_release_that_comes_is_seen():
    modem = Modem(answers={"AT+CSCON?": [(0, "+CSCON: 0,1")] * 3 + [(0, "+CSCON: 0,0")]})
    assert modem.power.release(modem.pause) == 1
    assert modem.power.released is True
    assert modem.clock.slept == 750


def test_release_that_does_not_come_is_asked_for_three_times_and_then_left_to_the_network():
    modem = Modem(answers={"AT+CSCON?": (0, "+CSCON: 0,1")})
    assert modem.power.release(modem.pause) == 0
    assert modem.power.released is False
    assert len([command for command in modem.sent if command.startswith("AT+QSCLKEX")]) == 2
    assert modem.clock.slept == 9000


def test_release_at_the_second_try_is_told():
    modem = Modem(answers={"AT+CSCON?": [(0, "+CSCON: 0,1")] * 13 + [(0, "+CSCON: 0,0")]})
    assert modem.power.release(modem.pause) == 2


def test_release_is_broken_off_by_what_has_to_be_done_first():
    modem = Modem(answers={"AT+CSCON?": (0, "+CSCON: 0,1")})
    assert modem.power.release(lambda ms: modem.pause(ms) or modem.clock.slept >= 1000) == -1
    assert modem.clock.slept == 1000


@pytest.mark.parametrize("answer", [(1, "ERROR"), (0, ""), (0, "+CSCON: 1")])
def test_module_that_cannot_say_is_not_polled(answer):
    modem = Modem(answers={"AT+CSCON?": answer})
    assert modem.power.release(modem.pause) == 0
    assert modem.power.released is None
    assert modem.clock.slept == 0


def test_module_without_enhanced_sleep_waits_once():
    modem = Modem(answers={"AT+CSCON?": (0, "+CSCON: 0,1"), "AT+QSCLKEX": (1, "ERROR")})
    assert modem.power.release(modem.pause) == 0
    assert modem.clock.slept == 3000
