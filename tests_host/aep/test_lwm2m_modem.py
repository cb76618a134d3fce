# runs in: cpython, vm
"""AEP over the module's own LwM2M client: what is asked of it by AT commands, what is believed, what is kept
(ctwing.md §1.6; quecpython.md §3.13)."""

from aep import refusals
from aep import session as s
from device import orders
from link.fault import NoModem
from tests_host.aep import fake_modem as fake

modem_file, qlw_file, ncdp_file = fake.session_files()
ERROR, SILENT = fake.ERROR, fake.SILENT

IMEI = "868543060974334"
SETTINGS = {
    "server.host": "lwm2m.ctwing.cn", "server.port": 5683, "lwm2m.lifetime": 86400, "lwm2m.ack_timeout": 2000,
    "lwm2m.retries": 4, "report.interval": 21600, "report.type": "con", "lwm2m.update": "needed", "security": "none",
    "lwm2m.endpoint": "imei", "lwm2m.engine": "modem", "lwm2m.keepalive": 0, "psk": "", "psk_hex": "", "psk_id": "",
    "lwm2m.rai": 0,
}  # fmt: skip
OBSERVE = '+QLWRD: 0,"observe",44297,0,19,0,0'
WRITE = '+QLWRD: 0,"write",44299,19,1,0,2,14,68656C6C6F776F726C642061636B,0'


class Device:
    imei = IMEI
    address = "100.101.1.2"
    binding = "UQ"

    def __init__(self, endpoint):
        self.endpoint = endpoint


class Store:
    def __init__(self, *verdicts):
        self.kept, self.verdicts = [], list(verdicts)

    def keep(self, payload, service=0, task=None):
        self.kept.append(payload)
        return self.verdicts.pop(0) if self.verdicts else s.KEPT


def generic(**answers):
    """An image with AT+QLW…: registered, and the Observe there to be read."""
    found = {"NCDP=?": ERROR, "QLWSTATUS?": ["+QLWSTATUS: 0", "+QLWSTATUS: 12"], "QLWRD": [ERROR, OBSERVE, ERROR]}
    found.update(answers)
    return fake.Modem(**found)


def group(**answers):
    """An image with AT+NCDP."""
    found = {"NMSTATUS?": ["+NMSTATUS: UNINITIALISED", "+NMSTATUS: REGISTERED_AND_OBSERVED"],
             "QLWULDATASTATUS?": ["+QLWULDATASTATUS: 1,1", "+QLWULDATASTATUS: 4,1"]}  # fmt: skip
    found.update(answers)
    ncdp_file.Client.sequence = 0
    return fake.Modem(**found)


def session(modem, saved=None, store=None, endpoint=IMEI, **changed):
    settings = dict(SETTINGS)
    for key in changed:
        settings[key if key in SETTINGS else key.replace("_", ".", 1)] = changed[key]
    orders.pending.clear()
    return modem_file.Session(
        settings, saved or {}, modem, None, 320, Device(endpoint), (store or Store()).keep, modem.note, None
    )


def opened(modem, *args, **changed):
    made = session(modem, *args, **changed)
    made.open(modem.time + 150000)
    return made


def raised(kind, function, *args):
    try:
        function(*args)
    except kind as fault:
        return str(fault)
    raise AssertionError("nothing was raised")


# -- the guide's commands ------------------------------------------------------------------------------------------


def test_the_guides_commands_are_sent_in_the_guides_order():
    modem = generic()
    made = opened(modem)
    assert modem.sent == [
        "AT+NCDP=?", "AT+QLWCFG?", 'AT+QLWCFG="retransmit",2,4', 'AT+QLWCFG="dtls_mode",0', 'AT+QLWCFG="auto_ack",1',
        'AT+QLWCFG="lifetime_enable",0', 'AT+QLWCONFIG=0,"lwm2m.ctwing.cn",5683,"868543060974334",86400,3,0',
        "AT+QLWDELOBJ=19", "AT+QLWADDOBJ=19,0,1,0", "AT+QLWADDOBJ=19,1,1,0", "AT+QLWREG",
    ]  # fmt: skip
    assert not made.direct and not made.resumed and made.lifetime() == 86400


def test_the_server_is_given_as_a_name_or_by_either_address():
    """Guide §7."""
    for host in ("lwm2m.ctwing.cn", "221.229.214.202", "240E:980:8120:28:84F4:C0C2:4A95:85F9"):
        modem = generic()
        opened(modem, server_host=host)
        start = 'AT+QLWCONFIG=0,"' + host + '",5683,'
        assert [command for command in modem.sent if command.startswith(start)]


def test_a_key_is_given_in_hex_with_the_imei_for_identity():
    modem = generic()
    opened(modem, security="psk", psk="TYvoiTk34D3NZ6GN", server_port=5684, endpoint="urn:imei:" + IMEI)
    assert (
        'AT+QLWCONFIG=0,"lwm2m.ctwing.cn",5684,"urn:imei:868543060974334",86400,0,"868543060974334",'
        '"5459766f69546b333444334e5a36474e"'
    ) in modem.sent  # guide §4.1.3.2
    modem = generic()
    opened(modem, security="psk", psk_hex="00ff", psk_id="me")
    assert '"me","00ff"' in [command for command in modem.sent if "QLWCONFIG" in command][0]


def test_the_observe_says_that_all_is_well_whatever_number_the_state_has():
    for state in ("+QLWSTATUS: 2", ERROR, "+QLWSTATUS: registered", "garbage"):
        opened(generic(**{"QLWSTATUS?": state}))


def test_without_a_sight_of_the_observe_registration_and_some_time_must_do():
    modem = generic(QLWRD=ERROR)
    opened(modem)
    assert 3000 <= modem.time < 4000


def test_a_refusal_is_not_provisioned_and_silence_is_silence():
    for number, kind in ((17, refusals.NotProvisioned), (13, s.Silent)):
        modem = generic(**{"QLWSTATUS?": "+QLWSTATUS: " + str(number), "QLWRD": ERROR})
        raised(kind, opened, modem)
        assert 1000 <= modem.time < 2000, "what it says at once may be of the registration before"
    modem = generic(**{"QLWSTATUS?": "+QLWSTATUS: 11", "QLWRD": ERROR})
    raised(s.Silent, opened, modem)
    assert 90000 < modem.time <= 101000, "the modem's own repeats take 93 s"


def test_a_client_that_is_registered_still_is_let_go_first():
    modem = generic(**{"QLWSTATUS?": ["+QLWSTATUS: 12", "+QLWSTATUS: 15", "+QLWSTATUS: 16", "+QLWSTATUS: 12"]})
    opened(modem)
    assert modem.sent[2] == "AT+QLWDEREG" and modem.sent[-1] == "AT+QLWREG"


def test_a_modem_that_says_nothing_at_all_is_its_own_fault():
    assert "timeout" in raised(NoModem, opened, generic(**{"NCDP=?": SILENT}))
    raised(NoModem, opened, generic(QLWREG=SILENT))
    raised(NoModem, opened, generic(QLWRD=SILENT))


def test_an_image_without_a_client_says_so():
    text = raised(NoModem, opened, fake.Modem(**{"NCDP=?": ERROR, "QLWCFG?": ERROR}))
    assert "no LwM2M client" in text


def test_a_report_is_handed_over_confirmed_where_it_must_be():
    modem = generic()
    made = opened(modem)
    assert made.send(b"helloworld", modem.time + 60000) == s.HANDED_OVER
    assert modem.sent[-1] == 'AT+QLWNOTIFY=19,0,0,2,10,"68656c6c6f776f726c64",0,1'
    made = opened(generic(), report_type="non")
    made.send(b"x", 60000)
    assert fake.At.modem.sent[-1].endswith(',"78",0,0')
    made.send(b"x", 60000, True)
    assert fake.At.modem.sent[-1].endswith(',"78",0,1'), "an answer is always confirmed"


def test_the_longest_payload_fits_the_command():
    modem = generic()
    opened(modem).send(b"\xff" * 512, 60000)
    assert len(modem.sent[-1]) < 2048


def test_a_report_that_is_refused_is_tried_again_until_the_answer_to_register_is_there():
    modem = generic(QLWNOTIFY=[ERROR, ERROR, ""])
    assert opened(modem).send(b"x", modem.time + 60000) == s.HANDED_OVER
    modem = generic(QLWNOTIFY=ERROR)
    made = opened(modem)
    raised(s.SessionLost, made.send, b"x", modem.time + 60000)
    assert modem.time < 20000
    modem.answers["AT+QLWNOTIFY"] = ""
    before = len(modem.sent)
    made.open(modem.time + 150000)
    assert "AT+QLWREG" in modem.sent[before:] and not made.direct, "it registers anew"


def test_a_kept_session_reports_at_once_and_updates_before_its_lifetime_ends():
    modem = generic()
    made = opened(modem)
    before = len(modem.sent)
    made.open(modem.time + 1000)
    assert made.direct and modem.sent[before:] == []
    modem.time += 50000 * 1000
    made.open(modem.time + 1000)
    assert made.resumed and not made.direct and modem.sent[-1] == "AT+QLWUPDATE=0,86400" and made.left() == 86400


def test_a_registration_that_the_modem_calls_gone_is_lost():
    modem = generic()
    made = opened(modem)
    modem.answers["AT+QLWSTATUS?"] = "+QLWSTATUS: 13"
    raised(s.SessionLost, made.receive, modem.time + 2000)
    modem.answers.update({"AT+QLWSTATUS?": ["+QLWSTATUS: 13", "+QLWSTATUS: 12"], "AT+QLWRD": [ERROR, OBSERVE, ERROR]})
    made.open(modem.time + 150000)
    assert modem.sent[-1] == "AT+QLWREG"


def test_the_guides_update_after_each_exchange_and_one_by_order():
    modem = generic()
    made = opened(modem)
    each = dict(SETTINGS)
    each["lwm2m.update"] = "each_exchange"
    assert not made.due(each)
    made.send(b"x", 60000)
    assert made.due(each) and not made.due(SETTINGS)
    made.settle(60000, each)
    assert modem.sent[-1] == "AT+QLWUPDATE=0,86400" and not made.due(each)
    orders.ask(orders.UPDATE)
    assert made.due(SETTINGS)
    modem.answers["AT+QLWUPDATE"] = ERROR
    raised(s.SessionLost, made.settle, 60000, SETTINGS)


# -- downlinks -----------------------------------------------------------------------------------------------------


def came(*lines, **changed):
    """(what receive gives, store, modem)."""
    modem = generic()
    store = Store(*changed.get("verdicts", ()))
    made = opened(modem, store=store)
    modem.answers["AT+QLWRD"] = list(lines) + [ERROR]
    return made.receive(modem.time + changed.get("wait", 1000)), store, modem


def test_a_write_is_kept_before_it_is_answered():
    modem = generic()
    order = []

    class Watching:
        def keep(self, payload):
            order.append((payload, modem.sent[-1]))
            return s.KEPT

    made = opened(modem, store=Watching())
    modem.answers["AT+QLWRD"] = [WRITE, ERROR]
    assert made.receive(modem.time + 1000) == b"helloworld ack"
    assert order == [(b"helloworld ack", "AT+QLWREG")] and modem.sent[-1] == "AT+QLWWRRSP=44299,2"


def test_what_cannot_be_kept_is_refused_or_asked_again():
    payload, store, modem = came(WRITE, verdicts=(s.MALFORMED,))
    assert payload is None and modem.sent[-1] == "AT+QLWWRRSP=44299,11"
    payload, store, modem = came(WRITE, verdicts=(s.BUSY, s.BUSY))
    assert payload == b"helloworld ack" and len(store.kept) == 3 and modem.sent[-1] == "AT+QLWWRRSP=44299,2"
    payload, store, modem = came(WRITE, verdicts=[s.BUSY] * 100, wait=500)
    assert payload is None and "QLWWRRSP" not in modem.sent[-1], "not answered: the platform asks again"


def test_two_writes_come_one_after_the_other():
    modem = generic()
    made = opened(modem)
    modem.answers["AT+QLWRD"] = [WRITE, WRITE.replace("44299", "44300").replace("68656C", "48656C"), ERROR]
    assert made.receive(modem.time + 1000) == b"helloworld ack"
    assert made.receive(modem.time + 1000) == b"Helloworld ack"
    assert made.receive(modem.time + 1000) is None


def test_lines_that_are_no_write_to_19_1_0_are_passed_over():
    bad = [
        "", ":", "+QLWRD: 1", '+QLWRD: 0,"write"', '+QLWRD: 0,"write",x,19,1,0,2,1,00,0',
        '+QLWRD: 0,"write",1,19,1,0,2,2,00,0', '+QLWRD: 0,"write",1,19,1,0,2,1,0,0',
        '+QLWRD: 0,"write",1,19,1,0,2,1,zz,0',
        '+QLWRD: 0,"write",1,19,0,0,2,1,00,0', '+QLWRD: 0,"write",1,19,1,0,1,1,00,0', '+QLWRD: 0,"execute",1,19,1,0',
        '+QLWRD: 0,"write",1,19,1,0,2,-1,,0', "+QLWRD: 0," + "," * 100, '+QLWRD: 0,"write",1,19,1,0,2,1,00,0,0',
    ]  # fmt: skip
    payload, store, modem = came(*bad)
    assert payload is None and store.kept == [] and "QLWWRRSP" not in modem.sent[-1]


def test_a_buffer_that_never_ends_does_not_hold_the_session():
    modem = generic()
    made = opened(modem)
    modem.answers["AT+QLWRD"] = OBSERVE
    assert made.receive(modem.time + 1000) is None


def test_a_modem_that_gives_the_same_for_ever_holds_nobody_and_takes_no_memory():
    for verdict, wanted in ((s.BUSY, None), (s.KEPT, b"hi"), (s.MALFORMED, None)):
        modem, store = group(), Store(*[verdict] * 1000)
        made = opened(modem, None, store)
        modem.answers["AT+NMGR"] = "2,6869"
        assert made.receive(modem.time + 1000) == wanted
        made.close()
        assert 1 <= len(store.kept) <= 200
    modem = generic()
    made = opened(modem, store=Store(*[s.BUSY] * 1000))
    modem.answers["AT+QLWRD"] = WRITE
    assert made.receive(modem.time + 1000) is None


def test_what_comes_while_there_is_no_room_waits_in_order_and_what_is_too_much_in_the_modem():
    modem, store = group(), Store(*[s.BUSY] * 3)
    made = opened(modem, None, store)
    modem.answers["AT+NMGR"] = [f"1,{n:02x}" for n in range(40)] + [""]
    got = [made.receive(modem.time + 5000) for _ in range(40)]
    assert got == [bytes([n]) for n in range(40)]


def test_reports_and_commands_do_not_renew_a_registration_updates_do():
    """Without an Update the platform forgets us, whatever else it hears (ctwing.md §2.8)."""
    modem = group()
    made = opened(modem)
    modem.time += 80000 * 1000
    modem.answers["AT+QLWULDATASTATUS?"] = "+QLWULDATASTATUS: 4,1"
    assert made.send(b"hi", modem.time + 60000) == s.ACKNOWLEDGED
    modem.answers["AT+NMGR"] = ["2,6869", ""]
    assert made.receive(modem.time + 1000) == b"hi" and made.left() <= 6400
    assert made.renewal(modem.time, SETTINGS) <= modem.time
    modem = generic()
    made = opened(modem)
    modem.time += 80000 * 1000
    made.refresh = True
    made.open(modem.time + 1000)
    assert made.left() == 86400


def test_asleep_the_modem_is_looked_at_seldom():
    modem = generic()
    made = opened(modem)
    began = modem.time
    modem.later(began + 25000, "QLWRD", [WRITE, ERROR])
    assert made.receive(began + 120000, True) == b"helloworld ack" and modem.time - began == 30000


# -- the AEP group -------------------------------------------------------------------------------------------------


def test_the_group_registers_with_the_servers_address():
    modem = group()
    opened(modem)
    assert modem.sent == [
        "AT+NCDP=?", "AT+QREGSWT=0", "AT+NNMI=0", 'AT+QCFG="LWM2M/Lifetime",86400', "AT+NCDP=221.229.214.202,5683",
        "AT+QLWSREGIND=0",
    ]  # fmt: skip


def test_a_report_is_acknowledged_where_the_poll_says_so():
    modem = group()
    made = opened(modem)
    assert made.send(b"hi", modem.time + 60000) == s.ACKNOWLEDGED
    assert modem.sent[-1] == "AT+QLWULDATAEX=2,6869,0x0100,1"
    modem.answers["AT+QLWULDATASTATUS?"] = "+QLWULDATASTATUS: 4,2"
    assert made.send(b"hi", modem.time + 60000) == s.ACKNOWLEDGED and modem.sent[-1].endswith("0x0100,2")


def test_an_acknowledgement_of_the_report_before_is_none_of_this_one():
    modem = group(**{"QLWULDATASTATUS?": "+QLWULDATASTATUS: 4,1"})
    made = opened(modem)
    assert made.send(b"hi", modem.time + 60000) == s.ACKNOWLEDGED
    raised(s.Silent, made.send, b"ho", modem.time + 60000)
    modem.answers["AT+QLWULDATASTATUS?"] = ["+QLWULDATASTATUS: 4,2", "+QLWULDATASTATUS: 1,3", "+QLWULDATASTATUS: 4,3"]
    assert made.send(b"hu", modem.time + 60000) == s.ACKNOWLEDGED and modem.sent[-1].endswith(",3")
    modem.answers["AT+QLWULDATASTATUS?"] = "+QLWULDATASTATUS: 4"
    assert made.send(b"he", modem.time + 60000) == s.ACKNOWLEDGED, "an image that does not say whose it is"


def test_a_report_that_the_poll_calls_lost_is_lost():
    ends = (("5,1", s.SessionLost), ("3,1", s.Silent), ("2,1", s.Silent), ("1,1", s.Silent), ("x", s.Silent))
    for status, kind in ends:
        modem = group(**{"QLWULDATASTATUS?": "+QLWULDATASTATUS: " + status})
        made = opened(modem)
        raised(kind, made.send, b"hi", modem.time + 60000)
    raised(s.SessionLost, opened(group(QLWULDATAEX=ERROR)).send, b"hi", 60000)


def test_states_of_the_group():
    ends = (("REJECTED_BY_SERVER", refusals.NotProvisioned), ("TIMEOUT", s.Silent), ("REGISTERED", s.NotObserved))
    for state, kind in ends:
        raised(kind, opened, group(**{"NMSTATUS?": ["+NMSTATUS: UNINITIALISED", "+NMSTATUS: " + state]}))


def test_the_group_has_no_key_and_no_other_endpoint():
    raised(NoModem, opened, group(), None, None, "urn:imei:" + IMEI)
    modem = group()
    made = session(modem, security="psk", psk="x" * 16)
    raised(NoModem, made.open, 150000)


def test_downlinks_of_the_group_are_read_and_it_leaves_before_the_power_goes():
    modem, store = group(), Store()
    made = opened(modem, None, store)
    modem.answers["AT+NMGR"] = ["2,6869", ""]
    assert made.receive(modem.time + 1000) == b"hi"
    for bad in ("x", "3,6869", "2,686", ",", "2,zz", "-1,"):
        modem.answers["AT+NMGR"] = [bad, ""]
        assert made.receive(modem.time + 500) is None
    modem.answers["AT+NMGR"] = ["3,627965", ""]
    assert made.closes
    made.close()
    assert modem.sent[-1] == "AT+QLWSREGIND=1" and store.kept == [b"hi", b"bye"]
    before = len(modem.sent)
    made.close()
    assert modem.sent[before:] == []


# -- what is kept, and auto ----------------------------------------------------------------------------------------


def test_saved_state_is_of_one_form_for_both_sessions():
    from aep import registration

    assert modem_file.SAVED == registration.SAVED
    made = opened(generic())
    assert sorted(made.saved()) == sorted(registration.SAVED) and made.saved()["lt"] == 86400
    for name in made.saved():
        assert type(made.saved()[name]) is type(registration.SAVED[name]), name


def test_which_client_there_is_is_asked_for_once():
    modem = generic()
    saved = opened(modem).saved()
    modem = generic()
    opened(modem, saved)
    assert "AT+NCDP=?" not in modem.sent and "AT+QLWCFG?" not in modem.sent


def test_another_version_of_the_firmware_may_have_another_client():
    saved = dict(modem_file.SAVED)
    usual = fake.Cell.version
    for version, image, taken in (("1", generic, 0), ("1", group, 0), ("2", group, 1), ("3", generic, 0)):
        fake.Cell.version = version
        image()
        assert modem_file.suits(SETTINGS, saved) == bool(taken), version
    fake.Cell.version = usual

def test_auto_takes_the_client_that_acknowledges_and_does_not_fail():
    def choice(modem, saved, **changed):
        settings = dict(SETTINGS)
        settings.update(changed)
        return modem_file.suits(settings, saved)

    saved = dict(modem_file.SAVED)
    assert choice(group(), saved) and not choice(generic(), dict(modem_file.SAVED))
    assert not choice(group(), dict(modem_file.SAVED), security="psk")
    assert not choice(group(), dict(modem_file.SAVED), **{"lwm2m.endpoint": "urn:imei"})
    assert not choice(group(**{"NCDP=?": SILENT}), dict(modem_file.SAVED)), "our own client needs no AT command"
    assert modem_file.SAVED["learn"] == {}, "nothing is noted in the table itself"
    for _ in range(2):
        made = session(group(**{"NMSTATUS?": "+NMSTATUS: TIMEOUT"}), saved)
        raised(s.Silent, made.open, 150000)
        saved = made.saved()
    assert [choice(group(), saved) for _ in range(2)] == [False, True], "tried more rarely"


def test_auto_begins_anew_on_what_another_protocol_has_saved():
    settings = dict(SETTINGS)
    settings["lwm2m.engine"] = "auto"
    modem = group()
    saved = {"server": "mqtt.ctwing.cn:1883", "addr": "180.106.148.146", "honest": 1}
    made = modem_file.session(settings, saved)(
        settings, saved, modem, None, 320, Device(IMEI), Store().keep, modem.note, None
    )
    made.open(150000)
    assert made.lifetime() == 86400 and sorted(made.saved()) == sorted(modem_file.SAVED)


def test_endpoints_are_those_of_our_own_client():
    for form, wanted in (("imei", "1"), ("urn:imei", "urn:imei:1"), ("urn:imei-imsi", "urn:imei-imsi:1-2")):
        assert modem_file.endpoint({"lwm2m.endpoint": form}, "1", "2") == wanted
