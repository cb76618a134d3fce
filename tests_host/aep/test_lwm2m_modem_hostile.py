# runs in: cpython, vm
"""The module's own LwM2M client where it answers otherwise than the guide has it: lines in between, answers cut short
or refused, numbers of before (quecpython.md §3.12, §3.13)."""

from aep import session as s
from device import events, orders
from link.fault import BACK_OFF, NoModem
from tests_host.aep import fake_modem as fake
from tests_host.aep.test_lwm2m_modem import (
    ERROR,
    OBSERVE,
    SETTINGS,
    WRITE,
    Store,
    came,
    generic,
    group,
    modem_file,
    opened,
    raised,
    session,
)  # fmt: skip

URC = '+QLWURC: "write",44299,19,1,0,2,14,68656C6C6F776F726C642061636B,0'


# -- lines in between, and lines cut short --------------------------------------------------------------------------


def test_a_urc_before_or_behind_the_answer_hides_nothing():
    for lines in (URC + "\n" + WRITE, WRITE + "\n+CSCON: 1", "RDY\n" + WRITE, WRITE.replace(",", ", ")):
        payload, store, modem = came(lines)
        assert payload == b"helloworld ack" and store.kept == [payload] and modem.sent[-1] == "AT+QLWWRRSP=44299,2"
    for lines in ("+CSCON: 1\n2,6869", "2,6869\n+QLWULDATASTATUS: 4,1", '+QIND: "x",1\n+NMGR: 2,6869'):
        modem, store = group(), Store()
        made = opened(modem, None, store)
        modem.answers["AT+NMGR"] = [lines, ""]
        assert made.receive(modem.time + 500) == b"hi" and store.kept == [b"hi"]


def test_a_urc_alone_is_no_downlink():
    payload, store, modem = came(URC)
    assert payload is None and store.kept == []


def test_a_downlink_that_the_buffer_cuts_is_refused_and_the_next_one_comes():
    """atcmd gives 2,048 bytes, a command of 1,024 takes more in hex: refused, or the platform asks for ever."""
    long = ('+QLWRD: 1,"write",7,19,1,0,2,1024,' + "7B" * 1024 + ",0")[:2040]
    payload, store, modem = came(long, WRITE, verdicts=(s.MALFORMED, s.KEPT))
    assert payload == b"helloworld ack" and 512 < len(store.kept[0]) < 1024
    assert modem.sent[-2:] == ["AT+QLWWRRSP=7,11", "AT+QLWWRRSP=44299,2"]
    modem, store = group(), Store(s.MALFORMED, s.KEPT)
    made = opened(modem, None, store)
    modem.answers["AT+NMGR"] = [("1024," + "7B" * 1024)[:2040], "2,6869", ""]
    assert made.receive(modem.time + 500) == b"hi" and 512 < len(store.kept[0]) < 1024


def test_the_longest_downlink_that_fits_is_whole():
    payload, _, _ = came('+QLWRD: 0,"write",7,19,1,0,2,512,' + "7B" * 512 + ",0")
    assert payload == b"{" * 512
    payload, _, modem = came('+QLWRD: 0,"write",7,19,1,0,2,0,,0')
    assert payload == b"" and modem.sent[-1] == "AT+QLWWRRSP=7,2"


def test_nothing_that_is_garbled_hides_what_waits_behind_it_when_the_power_goes():
    modem, store = group(), Store()
    made = opened(modem, None, store)
    modem.answers["AT+NMGR"] = ["garbage", "3,6279", "3,627965", ""]
    made.close()
    assert store.kept == [b"bye"]


def test_a_buffer_that_says_ok_where_it_is_empty_is_asked_once():
    modem = generic()
    made = opened(modem)
    asked = []
    send = modem.send
    modem.send = lambda command: asked.append(command) or send(command)
    modem.answers["AT+QLWRD"] = ""
    made.receive(modem.time)
    assert asked.count("AT+QLWRD") <= 3


# -- what the platform has refused, and what was never there -----------------------------------------------------------


def test_a_refusal_may_be_that_of_a_busy_platform():
    """The modem does not tell 5.03 from 4.03: the next try is not a day away."""
    for modem in (generic(**{"QLWSTATUS?": "+QLWSTATUS: 17", "QLWRD": ERROR}),
                  group(**{"NMSTATUS?": "+NMSTATUS: REJECTED_BY_SERVER"})):  # fmt: skip
        try:
            opened(modem)
        except modem_file.s.Fault as fault:
            assert fault.code == 21 and fault.action == BACK_OFF
        else:
            raise AssertionError("nothing was raised")


def test_a_report_that_is_refused_where_nobody_observes_says_so():
    modem = generic(QLWNOTIFY=ERROR, QLWRD=ERROR)
    made = opened(modem)
    raised(s.NotObserved, made.send, b"x", modem.time + 60000)
    before = len(modem.sent)
    modem.answers["AT+QLWNOTIFY"] = ""
    made.open(modem.time + 150000)
    assert "AT+QLWREG" in modem.sent[before:], "it registers anew"


def test_the_address_of_last_time_serves_where_the_name_does_not_resolve():
    for kind in (generic, group):
        saved = opened(kind()).saved()
        assert saved["addr"] == fake.Sockets.ADDRESS
        fake.Sockets.gone = True
        try:
            modem = kind()
            opened(modem, saved)
            assert [command for command in modem.sent if fake.Sockets.ADDRESS in command]
            assert (events.NAME_KEPT, 0) in modem.noted
            raised(fake.NoName, opened, kind())
        finally:
            fake.Sockets.gone = False


def test_a_report_counts_as_handed_over_once_the_modem_has_had_time_to_send_it():
    """Until then a power cut may take it from the modem, and it is to be in the outbox still."""
    modem = generic()
    made = opened(modem)
    began = modem.time
    assert made.send(b"x", began + 60000) == s.HANDED_OVER and 1000 <= modem.time - began < 1500
    modem.answers["AT+QLWRD"] = [WRITE, ERROR]
    began = modem.time
    assert made.send(b"x", began + 60000) == s.HANDED_OVER and modem.time - began < 500, "the platform has spoken"
    assert made.receive(modem.time + 500) == b"helloworld ack"
    began = modem.time
    modem.later(began + 500, "QLWSTATUS?", "+QLWSTATUS: 13")
    assert "gone" in raised(s.SessionLost, made.send, b"x", began + 60000)
    modem = generic()
    made = opened(modem, report_type="non")
    began = modem.time
    assert made.send(b"x", began + 60000) == s.HANDED_OVER and modem.time == began, "nobody waits for a NON"


def test_what_came_with_the_registration_or_a_report_is_kept_at_once():
    """The AEP group has told the platform already: what a power cut may take is to be little."""
    modem, store = group(NMGR=["2,6869", ""]), Store()
    made = opened(modem, None, store)
    assert store.kept == [b"hi"]
    modem.answers["AT+NMGR"] = ["2,686f", "2,6875", ""]
    made.send(b"x", modem.time + 60000)
    assert store.kept == [b"hi", b"ho", b"hu"]
    assert [made.receive(modem.time + 500) for _ in range(4)] == [b"hi", b"ho", b"hu", None]


def test_release_assistance_goes_with_the_report_where_it_is_asked_for():
    """Guide §4.1.4.1: the default is 0, and is not said."""
    for rai, kind, tail in ((0, "con", '",0,1'), (1, "con", '",0,1,1'), (2, "con", '",0,1,2'), (1, "non", '",0,0,1')):
        modem = generic()
        opened(modem, lwm2m_rai=rai, report_type=kind).send(b"x", modem.time + 60000)
        assert modem.sent[-1].endswith(tail)
    modes = ((1, "con", ",0x0101,1"), (2, "con", ",0x0101,1"), (1, "non", ",0x0001"), (2, "non", ",0x0010"))
    for rai, kind, mode in modes:
        modem = group()
        opened(modem, lwm2m_rai=rai, report_type=kind).send(b"x", modem.time + 60000)
        assert modem.sent[-1].endswith(mode)


def test_a_loss_is_seen_in_light_sleep_at_the_next_look_not_at_the_next_wake():
    modem = generic()
    made = opened(modem)
    began = modem.time
    modem.later(began + 15000, "QLWSTATUS?", "+QLWSTATUS: 13")
    raised(s.SessionLost, made.receive, began + 3600000, True)
    assert modem.time - began <= 30000


def test_a_kept_session_updates_where_it_is_told_to():
    modem = generic()
    made = opened(modem)
    made.refresh = True
    made.open(modem.time + 1000)
    assert made.resumed and modem.sent[-1] == "AT+QLWUPDATE=0,86400" and not made.refresh


def test_a_task_that_was_answered_before_is_answered_again():
    payload, _, modem = came(WRITE, verdicts=(s.DONE,))
    assert payload == b"helloworld ack" and modem.sent[-1] == "AT+QLWWRRSP=44299,2"


def test_what_was_deregistered_is_no_registration_of_the_next_wake():
    modem = generic()
    made = opened(modem)
    made.deregister(modem.time + 5000)
    assert modem.sent[-1] == "AT+QLWDEREG" and (events.DEREGISTERED, 0) in modem.noted
    assert made.saved()["loc"] == "" and made.left() is None


# -- a group without Update ----------------------------------------------------------------------------------------


def test_a_group_without_update_owes_none_and_registers_where_one_is_ordered():
    modem = group()
    made = opened(modem)
    each = dict(SETTINGS)
    each["lwm2m.update"] = "each_exchange"
    made.send(b"hi", modem.time + 60000)
    assert not made.due(each), "nothing that could be done"
    orders.ask(orders.UPDATE)
    assert made.due(each)
    before = len(modem.sent)
    modem.answers["AT+NMSTATUS?"] = ["+NMSTATUS: REGISTERED_AND_OBSERVED", "+NMSTATUS: DEREGISTERED",
                                     "+NMSTATUS: REGISTERED_AND_OBSERVED"]  # fmt: skip
    made.settle(modem.time + 60000, each)
    assert "AT+QLWSREGIND=0" in modem.sent[before:] and not made.due(each)


# -- what is remembered --------------------------------------------------------------------------------------------


def test_a_modem_that_refuses_everything_for_a_while_is_asked_again_what_it_has():
    modem = fake.Modem()
    modem.answers["AT"] = ERROR
    assert "no LwM2M client" not in raised(NoModem, opened, modem)
    modem = fake.Modem(**{"NCDP=?": ERROR, "QLWCFG?": ERROR})
    made = session(modem)
    raised(NoModem, made.open, 150000)
    opened(generic(), made.saved())


def test_auto_does_not_take_a_modem_that_refuses_everything_for_one_without_a_client():
    broken = fake.Modem()
    broken.answers["AT"] = ERROR
    saved = dict(modem_file.SAVED)
    assert not modem_file.suits(SETTINGS, saved)
    fake.At.modem = group()
    assert modem_file.suits(SETTINGS, saved)


def test_an_image_that_has_lost_its_client_is_asked_again():
    saved = opened(generic()).saved()
    made = session(fake.Modem(QLWCFG=ERROR, QLWCONFIG=ERROR), saved)
    raised(NoModem, made.open, 150000)
    modem = group()
    opened(modem, made.saved())
    assert "AT+NCDP=?" in modem.sent


def test_the_number_of_a_report_goes_on_over_registrations():
    """Or what the modem says of the last report before counts for the first one after."""
    modem = group(**{"QLWULDATASTATUS?": "+QLWULDATASTATUS: 4,1"})
    made = opened(modem)
    assert made.send(b"hi", modem.time + 60000) == s.ACKNOWLEDGED
    made.close()
    made.open(modem.time + 150000)
    raised(s.Silent, made.send, b"ho", modem.time + 60000)


def test_a_registration_begins_when_the_one_before_has_ended():
    """A datagram of the deregistration is lost: until it is over the modem takes no other."""
    registered, gone = "+NMSTATUS: REGISTERED_AND_OBSERVED", "+NMSTATUS: DEREGISTERED"
    modem = group(**{"NMSTATUS?": [registered] * 24 + [gone, registered], "QLWSREGIND=0": [ERROR, ERROR, ""]})
    opened(modem)
    assert modem.sent[-3:] == ["AT+QLWSREGIND=0"] * 3
    raised(s.Silent, opened, group(**{"QLWSREGIND=0": ERROR}))


def test_what_waited_for_room_is_not_answered_under_a_registration_that_has_ended():
    modem, store = generic(), Store(s.BUSY)
    made = opened(modem, store=store)
    modem.answers["AT+QLWRD"] = [WRITE, ERROR]
    assert made.receive(modem.time) is None
    modem.answers.update({"AT+QLWSTATUS?": ["+QLWSTATUS: 13", "+QLWSTATUS: 12"], "AT+QLWRD": [ERROR, OBSERVE, ERROR]})
    made.open(modem.time + 150000)
    assert made.receive(modem.time + 500) is None and len(store.kept) == 1, "the platform gives it again"
