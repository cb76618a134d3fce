# runs in: cpython, vm
"""AEP over LwM2M as a session: how it opens, what it makes of refusals and silence, what it keeps for the next wake."""

from ubinascii import hexlify

from aep import session as s
from aep.shortcuts import Shortcuts
from coap import message as m
from tests_host.aep import fake_platform as fake

lwm2m = fake.session_file()

MINUTE, DAY = 60000, 86400
SETTINGS = {
    "server.host": "lwm2m.ctwing.cn", "server.port": 5683, "lwm2m.lifetime": DAY, "lwm2m.ack_timeout": 2000,
    "lwm2m.retries": 4, "report.interval": 21600, "report.type": "con", "lwm2m.update": "needed",
}  # fmt: skip
TEXTS = {(3, 0): "Quectel"}


class Device:
    """device.values.Device, as far as a session asks it."""

    def __init__(self, endpoint, binding):
        self.endpoint, self.binding, self.address = endpoint, binding, "100.101.1.2"
        self.server, self.changes = {}, 0

    def value(self, number, resource):
        return TEXTS.get((number, resource))

    def state(self, paths):
        return str(self.changes)


class Store:
    def __init__(self):
        self.kept, self.verdict = [], s.KEPT

    def keep(self, payload):
        self.kept.append(payload)
        return self.verdict


def session(platform, saved=None, store=None, name="868543060974334", binding="UQ", **changed):
    settings = dict(SETTINGS)
    for key, value in changed.items():
        settings[key.replace("_", ".", 1)] = value
    fake.Sockets.platform = platform
    keep = (store or Store()).keep
    device = Device(name, binding)
    made = lwm2m.Session(settings, saved or {}, platform, platform, 320, device, keep, platform.note, platform.persist)
    made.device = device
    return made


def opened(platform, saved=None, store=None, **changed):
    made = session(platform, saved, store, **changed)
    made.open(platform.time + 150000)
    return made


def saved_by(platform, **changed):
    """What a first wake leaves for the next, an hour later."""
    made = opened(platform, **changed)
    state = made.saved()
    made.close()
    platform.time += 3600000
    del platform.sent[:]
    return state


def fault(kind, action):
    try:
        action()
    except kind as error:
        assert type(error) is kind, error
        return error
    raise AssertionError("nothing was raised")


def options(platform, at, number):
    return m.decode(platform.sent[at][1]).all(number)


# opening


def test_a_first_wake_registers_and_waits_to_be_observed():
    platform = fake.Platform()
    made = opened(platform)
    assert platform.asked() == ["register"] and not made.resumed
    assert platform.answers == [m.CONTENT], "the Observe was answered before open returned"
    assert options(platform, 0, m.URI_QUERY) == [b"lwm2m=1.0", b"ep=868543060974334", b"b=UQ", b"lt=86400"]


def test_a_device_that_never_sleeps_registers_without_queue_mode():
    platform = fake.Platform()
    opened(platform, binding="U")
    assert b"b=U" in options(platform, 0, m.URI_QUERY)


def test_the_next_wake_resumes_by_one_update_and_reports_under_the_old_token():
    # DESIGN §4: Update, 2.04, notification, ACK
    platform = fake.Platform()
    made = opened(platform, saved_by(platform))
    assert made.send(b"flow", platform.time + MINUTE) == s.ACKNOWLEDGED
    assert made.resumed and platform.asked() == ["update", "report"] and len(platform.sent) == 2
    assert lwm2m.events.SHORT_CUT not in [code for code, _ in platform.noted]
    assert options(platform, 0, m.URI_PATH) == [b"rd", b"me"] and options(platform, 0, m.URI_QUERY) == []
    assert platform.reports[0].token == b"tokn" and platform.reports[0].payload == b"flow"


def test_what_is_saved_is_small_and_plain():
    platform = fake.Platform()
    state = saved_by(platform)
    assert state["loc"] == "rd/me" and state["tok"] == {"19/0/0": hexlify(b"tokn").decode()}
    for value in state.values():
        assert isinstance(value, (str, int, dict))
    assert opened(platform, state).saved()["at"] == platform.unix()


def test_a_changed_lifetime_is_told_by_the_update():
    platform = fake.Platform()
    made = opened(platform, saved_by(platform), lwm2m_lifetime=7200)
    assert made.resumed and options(platform, 0, m.URI_QUERY) == [b"lt=7200"]
    assert made.left() == 7200


def test_a_changed_power_mode_is_told_by_the_update_once():
    # Otherwise the platform would go on caching commands for a device that hears it at any time (ctwing.md §2.8)
    platform = fake.Platform()
    made = opened(platform, saved_by(platform), binding="U")
    assert made.resumed and options(platform, 0, m.URI_QUERY) == [b"b=U"]
    del platform.sent[:]
    opened(platform, made.saved(), binding="U")
    assert options(platform, 0, m.URI_QUERY) == []


def test_what_a_tree_of_another_form_saved_is_not_resumed_and_harms_nothing():
    platform = fake.Platform()
    state = saved_by(platform)
    for other in ({"form": 0}, {"form": "1"}, {"tok": 5}, {"loc": None}):
        found = dict(state, **other)
        if "form" in other:
            found = dict(found, tok={"19/0/0": "no hex"}, learn={"u": 5}, marks={"3/0": 1})
        assert session(platform, found).resumable() is False
    del state["form"]
    assert not opened(platform, state).resumed and platform.asked() == ["register"]


def test_a_registration_the_platform_has_forgotten_is_made_anew():
    # ctwing.md §2.1: 4.04 or 4.01; a reset says as much
    for code in (m.NOT_FOUND, m.UNAUTHORIZED, m.UNAVAILABLE, m.EMPTY):
        platform = fake.Platform()
        state = saved_by(platform)
        platform.update = code
        made = opened(platform, state)
        assert platform.asked() == ["update", "register"] and not made.resumed
        assert made.send(b"flow", platform.time + MINUTE) == s.ACKNOWLEDGED


def test_silence_after_the_update_costs_two_tries_and_six_seconds():
    # DESIGN §4: a short cut gets at most 2 tries and about 6 s (1.6 s × 1.25, then twice that)
    platform = fake.Platform()
    state = saved_by(platform)
    platform.update = None
    began = platform.time
    opened(platform, state)
    assert platform.asked() == ["update", "update", "register"]
    assert [time - began for time, _ in platform.sent[:3]] == [0, 2000, 6000]


def test_an_update_acknowledged_but_not_answered_costs_no_more():
    platform = fake.Platform()
    state = saved_by(platform)
    platform.update = None
    began = platform.time
    platform.later(0, m.Message(m.ACK, m.EMPTY, platform.numbers["mid"] + 1))
    opened(platform, state)
    assert platform.asked() == ["update", "register"] and platform.sent[1][0] - began == 6000


def test_a_registration_whose_lifetime_is_over_is_not_tried():
    platform = fake.Platform()
    state = saved_by(platform)
    platform.time = (DAY - 61) * 1000
    assert session(platform, state).resumable()
    platform.time = (DAY - 59) * 1000  # too near: the Update could come late
    assert not session(platform, state).resumable()
    opened(platform, state)
    assert platform.asked() == ["register"]


def test_without_a_clock_the_saved_registration_is_tried():
    platform = fake.Platform()
    state = saved_by(platform)
    platform.epoch = 0
    assert opened(platform, state).resumed


def test_a_registration_of_another_server_or_endpoint_is_not_resumed():
    platform = fake.Platform()
    state = saved_by(platform)
    assert not session(platform, state, server_host="other.example").resumable()
    assert not session(platform, state, server_port=5684).resumable()
    assert not session(platform, state, name="urn:imei:868543060974334").resumable()
    assert session(platform, state, name="urn:imei:868543060974334").saved()["loc"] == ""
    assert session(platform, state).resumable()


def test_a_registration_that_was_never_observed_is_not_resumed():
    platform = fake.Platform()
    platform.observe_after = None
    made = session(platform)
    fault(s.NotObserved, lambda: made.open(platform.time + 150000))
    state = made.saved()
    platform.observe_after = 0
    assert opened(platform, state).resumed is False


# what goes wrong at Register


def test_refusals_name_their_cause_and_what_to_check():
    for code, kind, word in (
        (m.BAD_REQUEST, s.BadRequest, "lifetime"),
        (m.FORBIDDEN, s.NotProvisioned, "IMEI"),
        (m.PRECONDITION_FAILED, s.WrongVersion, "version"),
        (m.UNAUTHORIZED, s.NotProvisioned, "IMEI"),
        (m.NOT_FOUND, s.Refused, "error code"),  # no session is lost where none was: not to be tried again at once
        (m.UNAVAILABLE, s.Refused, "error code"),
    ):
        platform = fake.Platform()
        platform.register = code
        made = session(platform)
        error = fault(kind, lambda made=made, end=platform.time + 150000: made.open(end))
        assert m.dotted(code) in str(error) and word in error.hint()
        assert platform.asked() == ["register"] and made.saved()["loc"] == ""


def test_a_reset_register_is_told_at_once():
    platform = fake.Platform()
    platform.register = m.EMPTY
    made = session(platform)
    error = fault(s.Refused, lambda: made.open(150000))
    assert "reset" in str(error) and platform.time == 2 * fake.LATENCY and error.action != s.RETRY


def test_silence_after_register_ends_with_coaps_own_schedule():
    platform = fake.Platform()
    platform.register = None
    made = session(platform)
    fault(s.Silent, lambda: made.open(150000))
    assert [time for time, _ in platform.sent] == [0, 2500, 7500, 17500, 37500] and platform.time == 77500


def test_the_states_deadline_ends_the_wait():
    platform = fake.Platform()
    platform.register = None
    made = session(platform)
    fault(s.Silent, lambda: made.open(5000))
    assert platform.time == 5000 and made.exchange.deadline() is None


def test_a_late_observe_is_waited_for():
    # one lost request of the platform is repeated after 2-3 s (RFC 7252 §4.8)
    platform = fake.Platform()
    platform.observe_after = 9000
    made = opened(platform)
    assert made.send(b"x", platform.time + MINUTE) == s.ACKNOWLEDGED


def test_a_platform_that_does_not_observe_is_named():
    platform = fake.Platform()
    platform.observe_after = None
    made = session(platform)
    error = fault(s.NotObserved, lambda: made.open(150000))
    assert "subscri" in error.hint() and platform.time < 13000 and "within 12 s" in str(error)


def test_an_observe_that_overtakes_the_answer_to_register_counts():
    platform = fake.Platform()
    platform.observe_after = None
    platform.observe(-60)
    opened(platform)
    assert platform.time == 2 * fake.LATENCY


# reports


def test_a_report_carries_the_next_number():
    platform = fake.Platform()
    made = opened(platform)
    for payload in (b"one", b"two"):
        made.send(payload, platform.time + MINUTE)
    assert [report.uint(m.OBSERVE) for report in platform.reports] == [8, 9]


def test_a_reset_report_means_the_session_is_lost_and_open_registers_again():
    platform = fake.Platform()
    made = opened(platform, saved_by(platform))
    platform.report = m.RST
    fault(s.SessionLost, lambda: made.send(b"flow", platform.time + MINUTE))
    fault(s.SessionLost, lambda: made.send(b"flow", platform.time + MINUTE))  # nothing goes out under no token
    platform.report = m.ACK
    made.open(platform.time + MINUTE)
    assert made.send(b"flow", platform.time + MINUTE) == s.ACKNOWLEDGED
    assert platform.asked() == ["update", "report", "register", "report"] and not made.resumed


def test_a_report_that_nobody_acknowledges_is_told_after_coaps_schedule():
    platform = fake.Platform()
    made = opened(platform)
    platform.report = None
    began = platform.time
    fault(s.Silent, lambda: made.send(b"flow", platform.time + 120000))
    assert platform.asked().count("report") == 5 and platform.time - began == 77500
    assert made.saved()["tok"], "silence of the network is no word of the platform"


def test_a_report_given_up_at_its_deadline_does_not_block_the_next():
    platform = fake.Platform()
    made = opened(platform)
    platform.report = None
    fault(s.Silent, lambda: made.send(b"one", platform.time + 1000))
    platform.report = m.ACK
    assert made.send(b"two", platform.time + 1000) == s.ACKNOWLEDGED


# downlinks


def test_a_downlink_that_comes_during_a_report_is_given_by_receive():
    platform, store = fake.Platform(), Store()
    made = opened(platform, store=store)
    platform.downlinks = [b"first", b"second"]
    made.send(b"flow", platform.time + MINUTE)
    began = platform.time
    assert store.kept[0] == b"first"
    assert made.receive(began + 5000) == b"first" and platform.time == began, "what is there is not waited for"
    assert made.receive(began + 5000) == b"second"
    assert platform.answers == [m.CONTENT, m.CHANGED, m.CHANGED]
    assert made.receive(began + 5000) is None and platform.time == began + 5000


def test_a_downlink_that_comes_while_listening_ends_the_wait():
    platform = fake.Platform()
    made = opened(platform)
    began = platform.time
    platform.write(b"valve", 6000, 1000)
    assert made.receive(began + 5000) == b"valve" and platform.time == began + 1000 + 2 * fake.LATENCY


def test_what_is_not_kept_is_refused_and_not_given():
    for verdict, code in ((s.MALFORMED, m.BAD_REQUEST), (s.BUSY, m.UNAVAILABLE)):
        platform, store = fake.Platform(), Store()
        made = opened(platform, store=store)
        store.verdict = verdict
        platform.write(b"valve", 6000)
        assert made.receive(platform.time + 5000) is None and platform.answers[-1] == code


def test_reads_are_answered_while_listening():
    platform = fake.Platform()
    made = opened(platform)
    platform.later(0, m.Message(m.CON, m.GET, 7000, b"rd", m.path_options(m.URI_PATH, "3/0/0")))
    platform.later(1, m.Message(m.CON, m.GET, 7001, b"rd", m.path_options(m.URI_PATH, "5/0/3")))
    assert made.receive(platform.time + 5000) is None
    assert platform.answers[-2:] == [m.CONTENT, m.NOT_FOUND]


# short cuts, learned


def asleep(platform, seconds):
    """Time passes in light sleep; the socket stays."""
    platform.time += 1000 * seconds
    del platform.sent[:]


def test_a_kept_session_reports_without_an_update():
    # DESIGN §4: two datagrams
    platform = fake.Platform()
    made = opened(platform)
    asleep(platform, 20)
    made.open(platform.time + MINUTE)
    assert made.direct and made.send(b"flow", platform.time + MINUTE) == s.ACKNOWLEDGED
    assert platform.asked() == ["report"] and made.resumed


def test_a_short_cut_that_failed_is_taken_where_the_platform_was_heard_just_now():
    for seconds, asked in ((20, []), (60, ["update"])):
        platform = fake.Platform()
        made = opened(platform)
        platform.time += 3600000
        made.open(platform.time + MINUTE)
        made.send(b"flow", platform.time + MINUTE)
        made.shortcuts.learned[lwm2m.DIRECT] = [6, 0]
        asleep(platform, seconds)
        made.open(platform.time + MINUTE)
        assert platform.asked() == asked and made.direct == (not asked)


def test_a_kept_session_that_is_opened_anew_is_no_short_cut_any_more():
    platform = fake.Platform()
    made = opened(platform)
    asleep(platform, 20)
    made.open(platform.time + MINUTE)
    made.close()
    assert [path.closed for path in platform.paths] == [1]
    made.open(platform.time + MINUTE)
    assert platform.asked() == ["update"] and made.resumed and not made.direct


def test_a_kept_session_tells_a_changed_binding_before_it_reports():
    platform = fake.Platform()
    made = opened(platform)
    asleep(platform, 20)
    made.device.binding = "U"
    made.open(platform.time + MINUTE)
    assert platform.asked() == ["update"] and options(platform, 0, m.URI_QUERY) == [b"b=U"]


def test_the_datagrams_of_many_openings_are_no_flood():
    platform = fake.Platform()
    made = opened(platform)
    for _ in range(300):
        asleep(platform, 20)
        platform.reports.clear()  # the heap is a module's
        made.open(platform.time + MINUTE)
        assert made.direct and made.send(b"flow", platform.time + MINUTE) == s.ACKNOWLEDGED
    assert platform.asked() == ["report"]


def test_a_report_that_a_platform_elsewhere_does_not_acknowledge_follows_an_update_after_six_seconds():
    platform = fake.Platform()
    made = opened(platform)
    asleep(platform, 3600)
    made.open(platform.time + MINUTE)
    platform.strict = True  # it answers to where the last Update came from
    began = platform.time
    assert made.send(b"flow", platform.time + MINUTE) == s.ACKNOWLEDGED
    assert platform.asked() == ["report", "report", "update", "report"]
    assert platform.time - began < 6500
    assert (lwm2m.events.SHORT_CUT, 1) in platform.noted and made.saved()["learn"] == {lwm2m.DIRECT: [1, 0]}


def test_a_short_cut_that_keeps_failing_is_tried_rarely_and_one_success_restores_it():
    learning = Shortcuts({})
    tried = []
    for wake in range(200):
        if learning.worth("x"):
            tried.append(wake)
            learning.outcome("x", False)
    gaps = [tried[at + 1] - tried[at] for at in range(len(tried) - 1)]
    assert gaps == [1, 2, 4, 8, 16, 32, 64, 64]
    learning.outcome("x", True)
    assert [learning.worth("x") for _ in range(3)] == [True] * 3 and learning.learned == {}


def test_an_update_that_never_works_is_left_out_most_of_the_time():
    platform = fake.Platform()
    state = saved_by(platform)
    updates = []
    for _ in range(12):
        platform.update = m.NOT_FOUND
        made = opened(platform, state)
        updates.append("update" in platform.asked())
        assert platform.asked()[-1] == "register" and not made.resumed
        state = made.saved()
        asleep(platform, 3600)
    assert updates == [True, True, False, True, False, False, False, True] + [False] * 4
    assert made.send(b"x", platform.time + MINUTE) == s.ACKNOWLEDGED


def test_a_kept_session_is_updated_in_time_before_its_lifetime_ends():
    platform = fake.Platform()
    made = opened(platform, report_interval=3600)
    for _ in range(40):
        asleep(platform, 3600)
        made.open(platform.time + MINUTE)
        assert made.send(b"x", platform.time + MINUTE) == s.ACKNOWLEDGED
        assert made.left() > 3600
    assert made.direct is False


def test_a_sign_of_life_that_is_due_is_an_update():
    platform = fake.Platform()
    made = opened(platform)
    asleep(platform, 10)
    made.refresh = True
    made.open(platform.time + MINUTE)
    assert platform.asked() == ["update"] and not made.direct and not made.refresh


# lifetimes and wakes


def test_a_daily_meter_registers_on_each_wake_and_asks_once_for_more():
    # AEP's lifetime ends at 86,400 s (ctwing.md §2.1)
    platform = fake.Platform()
    platform.longest = DAY
    state = {}
    for day in range(5):
        made = opened(platform, state, report_interval=DAY)
        assert platform.asked() == (["register", "register"] if day == 0 else ["register"])
        assert made.send(b"flow", platform.time + MINUTE) == s.ACKNOWLEDGED
        state = made.saved()
        asleep(platform, DAY)
    assert state["learn"]["lt"] == 0


def test_a_platform_that_takes_a_longer_lifetime_is_spared_the_registrations():
    platform = fake.Platform()
    platform.longest = 30 * DAY
    state = opened(platform, report_interval=DAY).saved()
    for _ in range(20):
        asleep(platform, DAY)
        made = opened(platform, state, report_interval=DAY)
        assert platform.asked() == ["update"] and options(platform, 0, m.URI_QUERY) == []
        state = made.saved()


def test_a_registration_lost_within_a_day_says_nothing_of_the_longer_lifetime():
    platform = fake.Platform()
    platform.longest = 30 * DAY
    state = saved_by(platform, report_interval=DAY)
    platform.update = m.NOT_FOUND
    learned = opened(platform, state, report_interval=DAY).saved()["learn"]
    assert learned["lt"] > DAY and (lwm2m.events.SHORT_CUT, 2) in platform.noted
    assert (lwm2m.events.SHORT_CUT, 3) not in platform.noted


def test_an_update_that_fails_in_the_documented_lifetime_teaches_nothing_about_a_longer_one():
    platform = fake.Platform()
    state = saved_by(platform)
    platform.time += 12 * 3600000
    platform.update = m.NOT_FOUND
    assert "lt" not in opened(platform, state).saved()["learn"]


def test_a_longer_lifetime_that_is_taken_but_not_kept_is_not_asked_for_again():
    platform = fake.Platform()
    platform.longest = 30 * DAY
    state = opened(platform, report_interval=DAY).saved()
    asleep(platform, DAY)
    platform.update = m.NOT_FOUND
    made = opened(platform, state, report_interval=DAY)
    assert platform.asked() == ["update", "register"] and (lwm2m.events.SHORT_CUT, 3) in platform.noted
    assert b"lt=86400" in options(platform, 1, m.URI_QUERY) and made.saved()["learn"]["lt"] == 0


def test_a_platform_that_says_nothing_to_a_longer_lifetime_is_asked_twice_at_most():
    platform = fake.Platform()
    state = {}
    for _ in range(2):
        platform.register = None
        made = session(platform, state, report_interval=DAY)
        fault(s.Silent, lambda made=made: made.open(platform.time + 150000))
        state = made.saved()
    platform.register = m.CREATED
    del platform.sent[:]
    opened(platform, state, report_interval=DAY)
    assert b"lt=86400" in options(platform, 0, m.URI_QUERY)


def test_an_hourly_meter_asks_for_no_more_than_is_documented():
    platform = fake.Platform()
    opened(platform, report_interval=3600)
    assert b"lt=86400" in options(platform, 0, m.URI_QUERY) and len(platform.asked()) == 1


# what the platform does otherwise


def test_an_observe_that_comes_late_is_waited_for_again_before_registering_again():
    platform = fake.Platform()
    platform.observe_after = 20000
    made = session(platform)
    fault(s.NotObserved, lambda: made.open(150000))
    made.open(platform.time + 150000)
    assert platform.asked() == ["register"] and made.send(b"x", platform.time + MINUTE) == s.ACKNOWLEDGED


def test_an_observe_that_never_comes_is_asked_for_by_registering_again():
    platform = fake.Platform()
    platform.observe_after = None
    made = session(platform)
    for _ in range(3):
        error = fault(s.NotObserved, lambda: made.open(platform.time + 150000))
    assert platform.asked() == ["register", "register"] and error.action == s.RETRY


def test_the_wait_for_a_late_observe_is_learned():
    platform = fake.Platform()
    platform.observe_after = 20000
    made = session(platform)
    fault(s.NotObserved, lambda: made.open(150000))
    again = session(platform, made.saved())
    again.client.location = ""
    del platform.queue[:]
    again.open(platform.time + 150000)
    assert again.send(b"x", platform.time + MINUTE) == s.ACKNOWLEDGED


def test_a_new_token_is_used_from_then_on():
    platform = fake.Platform()
    made = opened(platform)
    platform.token = b"new!"
    platform.observe(0)
    assert made.receive(platform.time + 1000) is None
    made.send(b"x", platform.time + MINUTE)
    assert platform.reports[-1].token == b"new!"


def test_a_name_that_does_not_resolve_is_replaced_by_the_address_of_last_time():
    platform = fake.Platform()
    state = saved_by(platform)
    platform.unnamed = True
    assert opened(platform, state).resumed and lwm2m.events.NAME_KEPT in [code for code, _ in platform.noted]
    platform.unnamed = False
    state["addr"] = ""
    platform.unnamed = True
    fault(fake.NoName, lambda: opened(platform, state))


def test_an_address_of_the_other_ip_version_is_no_help():
    platform = fake.Platform()
    state = saved_by(platform)
    platform.unnamed = True
    made = session(platform, state)
    made.device.address = "240e::1"
    fault(fake.NoName, lambda: made.open(platform.time + MINUTE))


def test_a_flood_ends_the_wake():
    platform = fake.Platform()
    made = opened(platform)
    for n in range(300):
        platform.later(n, m.Message(m.CON, m.GET, n, b"f", m.path_options(m.URI_PATH, "3/0/0")))
    error = fault(s.Flooded, lambda: made.receive(platform.time + MINUTE))
    assert len(platform.answers) < 280 and error.action == s.BACK_OFF


# signs of life, reports without confirmation, leaving


def test_the_guides_way_updates_after_each_exchange():
    platform = fake.Platform()
    made = opened(platform, saved_by(platform), lwm2m_update="each_exchange")
    values = dict(SETTINGS, **{"lwm2m.update": "each_exchange"})
    assert not made.due(values)
    made.send(b"flow", platform.time + MINUTE)
    assert made.due(values)
    made.settle(platform.time + MINUTE, values)
    assert platform.asked() == ["update", "report", "update"] and not made.due(values)


def test_the_guides_way_updates_after_a_report_without_confirmation_too():
    platform = fake.Platform()
    made = opened(platform, report_type="non")
    values = dict(SETTINGS, **{"lwm2m.update": "each_exchange"})
    assert not made.due(values)
    made.send(b"flow", platform.time + MINUTE)
    assert made.due(values)


def test_an_update_by_order_carries_a_lifetime_that_was_changed():
    platform = fake.Platform()
    made = opened(platform)
    lwm2m.orders.ask(lwm2m.orders.UPDATE)
    values = dict(SETTINGS, **{"lwm2m.lifetime": 7200})
    assert made.due(values)
    made.settle(platform.time + MINUTE, values)
    assert b"lt=7200" in options(platform, -1, m.URI_QUERY) and made.lifetime() == 7200
    assert not made.due(values) and not lwm2m.orders.pending


def test_an_update_by_order_that_is_refused_means_the_session_is_lost():
    platform = fake.Platform()
    made = opened(platform)
    lwm2m.orders.ask(lwm2m.orders.UPDATE)
    platform.update = m.NOT_FOUND
    fault(s.SessionLost, lambda: made.settle(platform.time + MINUTE, SETTINGS))


def test_reports_without_confirmation_are_handed_over():
    # guide §4.1.4.1
    platform = fake.Platform()
    made = opened(platform, report_type="non")
    before = platform.time
    assert made.send(b"flow", platform.time + MINUTE) == s.HANDED_OVER
    assert platform.time == before and m.decode(platform.sent[-1][1]).kind == m.NON


def test_a_reset_of_a_report_without_confirmation_is_known_at_the_next():
    platform = fake.Platform()
    made = opened(platform, report_type="non")
    made.send(b"flow", platform.time + MINUTE)
    platform.later(0, m.Message(m.RST, m.EMPTY, m.decode(platform.sent[-1][1]).mid))
    made.receive(platform.time + 1000)
    made.open(platform.time + MINUTE)
    assert platform.asked()[-1] == "register"


def test_deregistering_ends_the_registration_whether_it_is_heard_or_not():
    for answer in (m.DELETED, None):
        platform = fake.Platform()
        platform.update = answer
        made = opened(platform)
        made.deregister(platform.time + MINUTE)
        assert m.decode(platform.sent[-1][1]).code == m.DELETE
        assert made.saved()["loc"] == "" and made.saved()["tok"] == {} and not made.resumable()
        assert lwm2m.events.DEREGISTERED in [code for code, _ in platform.noted]


def test_without_a_registration_there_is_nothing_to_end_and_nobody_was_heard():
    platform = fake.Platform()
    made = session(platform)
    made.deregister(platform.time + MINUTE)
    assert platform.sent == [] and made.strangers() == opened(platform).strangers() == 0


# observers of other paths


def watched(**changed):
    """A session whose server observes 3/0."""
    platform = fake.Platform()
    made = opened(platform, **changed)
    platform.later(0, m.Message(m.CON, m.GET, 7000, b"dev", [(m.OBSERVE, b"")] + m.path_options(m.URI_PATH, "3/0")))
    made.receive(platform.time + 1000)
    assert not made.due(SETTINGS)  # told by the answer
    return platform, made


def test_an_observer_is_told_a_state_that_changed_once():
    platform, made = watched()
    TEXTS[3, 11] = [25]
    made.device.changes = 1
    try:
        assert made.due(SETTINGS)
        made.settle(platform.time + MINUTE, SETTINGS)
    finally:
        del TEXTS[3, 11]
    told = m.decode(platform.sent[-1][1])
    assert told.token == b"dev" and told.kind == m.CON and told.uint(m.CONTENT_FORMAT) == m.TLV
    TEXTS[3, 11] = [25]
    try:
        assert not made.due(SETTINGS)
    finally:
        del TEXTS[3, 11]


def told_in(accept):
    """Content-Format of what an observer of 3/0/16 is told, by a session that was saved after it had asked with
    `accept`."""
    platform = fake.Platform()
    made = opened(platform)
    TEXTS[3, 16] = "U"
    options = [(m.OBSERVE, b"")] + m.path_options(m.URI_PATH, "3/0/16") + accept
    platform.later(0, m.Message(m.CON, m.GET, 7000, b"bin", options))
    try:
        made.receive(platform.time + 1000)
        assert not made.due(SETTINGS)
        made = session(platform, made.saved())
        made.open(platform.time + MINUTE)
        TEXTS[3, 16] = "UQ"
        made.device.changes = 1
        assert made.due(SETTINGS)
        made.settle(platform.time + MINUTE, SETTINGS)
    finally:
        del TEXTS[3, 16]
    told = m.decode(platform.sent[-1][1])
    assert told.token == b"bin"
    return told.uint(m.CONTENT_FORMAT)


def test_an_observer_is_told_in_the_format_asked_for_and_a_wake_later_too():
    # RFC 7641 §4.2
    assert told_in([(m.ACCEPT, m.uint(m.TLV))]) == m.TLV
    assert told_in([]) == m.TEXT


def test_a_longest_period_that_the_server_wrote_into_object_1_makes_due_what_has_not_changed():
    platform, made = watched()
    made.device.server = {"pmax": 600}
    TEXTS[1, 3] = 600
    try:
        asleep(platform, 500)
        assert not made.due(SETTINGS)
        asleep(platform, 200)
        assert made.due(SETTINGS)
    finally:
        del TEXTS[1, 3]


def test_what_is_there_no_more_is_not_observed_any_more():
    platform = fake.Platform()
    made = opened(platform)
    TEXTS[3, 11] = [25]
    options = [(m.OBSERVE, b"")] + m.path_options(m.URI_PATH, "3/0/11")
    platform.later(0, m.Message(m.CON, m.GET, 7000, b"err", options))
    made.receive(platform.time + 1000)
    assert not made.due(SETTINGS) and made.client.tokens["3/0/11"] == b"err"
    del TEXTS[3, 11]
    made.device.changes = 1
    before = len(platform.sent)
    made.settle(platform.time + MINUTE, SETTINGS)
    assert sorted(made.client.tokens) == ["19/0/0"] and len(platform.sent) == before


def test_an_observer_who_asks_again_was_told_by_the_answer():
    platform, made = watched()
    path = m.path_options(m.URI_PATH, "3/0")
    TEXTS[3, 11] = [25]
    made.device.changes = 1
    try:
        platform.later(0, m.Message(m.CON, m.GET, 7005, b"new", [(m.OBSERVE, b"")] + path))
        made.receive(platform.time + 1000)
        assert made.client.tokens["3/0"] == b"new" and not made.due(SETTINGS)
    finally:
        del TEXTS[3, 11]


def test_an_observer_who_does_not_answer_is_told_at_the_next_wake():
    platform, made = watched()
    platform.report = None
    TEXTS[3, 11] = [25]
    made.device.changes = 1
    try:
        made.settle(platform.time + MINUTE, SETTINGS)
        assert not made.due(SETTINGS), "once a minute at most, whatever the server has set"
        platform.report = m.ACK
        again = opened(platform, made.saved())
        again.device.changes = 1
        assert again.due(SETTINGS)
        again.settle(platform.time + MINUTE, SETTINGS)
        assert not again.due(SETTINGS)
    finally:
        del TEXTS[3, 11]


def test_an_observer_who_resets_is_told_nothing_more_and_reports_go_on():
    platform, made = watched()
    platform.report = m.RST
    made.device.changes = 1
    TEXTS[3, 11] = [25]
    try:
        made.settle(platform.time + MINUTE, SETTINGS)
    finally:
        del TEXTS[3, 11]
    assert sorted(made.client.tokens) == ["19/0/0"]
    platform.report = m.ACK
    assert made.send(b"x", platform.time + MINUTE) == s.ACKNOWLEDGED


def test_a_longest_period_makes_due_what_has_not_changed():
    platform, made = watched()
    options = m.path_options(m.URI_PATH, "3/0") + [(m.URI_QUERY, b"pmax=600")]
    platform.later(0, m.Message(m.CON, m.PUT, 7001, b"att", options))
    made.receive(platform.time + 1000)
    assert platform.answers[-1] == m.CHANGED and not made.due(SETTINGS)
    platform.time += 600_000
    assert made.due(SETTINGS)
    again = opened(platform, made.saved())
    assert again.due(SETTINGS), "attributes and marks outlive power-off"


# the rest


def test_the_name_is_resolved_once_for_a_session():
    platform = fake.Platform()
    del fake.Sockets.resolved[:]
    made = opened(platform)
    made.open(platform.time + MINUTE)
    assert fake.Sockets.resolved == [("lwm2m.ctwing.cn", 5683)]
    made.close()
    made.close()
    made.open(platform.time + MINUTE)
    assert len(fake.Sockets.resolved) == 2


def test_endpoint_names_are_the_products():
    # ctwing.md §2.1
    assert lwm2m.endpoint({"lwm2m.endpoint": "imei"}, "8685", "4601") == "8685"
    assert lwm2m.endpoint({"lwm2m.endpoint": "urn:imei"}, "8685", "4601") == "urn:imei:8685"
    assert lwm2m.endpoint({"lwm2m.endpoint": "urn:imei-imsi"}, "8685", "4601") == "urn:imei-imsi:8685-4601"
