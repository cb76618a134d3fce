# runs in: cpython, vm
"""AEP over LwM2M as a session: how it opens, what it makes of refusals and silence, what it keeps for the next wake."""

from ubinascii import hexlify

from aep import session as s
from coap import message as m
from tests_host.aep import fake_platform as fake

lwm2m = fake.session_file()

MINUTE, DAY = 60000, 86400
SETTINGS = {
    "server.host": "lwm2m.ctwing.cn", "server.port": 5683, "lwm2m.lifetime": DAY, "lwm2m.ack_timeout": 2000,
    "lwm2m.retries": 4, "power.mode": "psm",
}  # fmt: skip
TEXTS = {(3, 0): "Quectel"}


class Store:
    def __init__(self):
        self.kept, self.verdict = [], s.KEPT

    def keep(self, payload):
        self.kept.append(payload)
        return self.verdict


def session(platform, saved=None, store=None, name="868543060974334", **changed):
    settings = dict(SETTINGS)
    for key, value in changed.items():
        settings[key.replace("_", ".", 1)] = value
    fake.Sockets.platform = platform
    keep = (store or Store()).keep
    return lwm2m.Session(
        settings, saved or {}, name, platform, platform, 320, lambda *path: TEXTS.get(path), keep
    )  # fmt: skip


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
    opened(platform, power_mode="awake")
    assert b"b=U" in options(platform, 0, m.URI_QUERY)


def test_the_next_wake_resumes_by_one_update_and_reports_under_the_old_token():
    # DESIGN §4: Update, 2.04, notification, ACK
    platform = fake.Platform()
    made = opened(platform, saved_by(platform))
    assert made.send(b"flow", platform.time + MINUTE) == s.ACKNOWLEDGED
    assert made.resumed and platform.asked() == ["update", "report"] and len(platform.sent) == 2
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
    assert made.expires() == platform.unix() + 7200


def test_a_changed_power_mode_is_told_by_the_update_once():
    # Otherwise the platform would go on caching commands for a device that hears it at any time (ctwing.md §2.8)
    platform = fake.Platform()
    made = opened(platform, saved_by(platform), power_mode="awake")
    assert made.resumed and options(platform, 0, m.URI_QUERY) == [b"b=U"]
    del platform.sent[:]
    opened(platform, made.saved(), power_mode="awake")
    assert options(platform, 0, m.URI_QUERY) == []


def test_what_an_older_tree_saved_is_resumed():
    platform = fake.Platform()
    state = saved_by(platform)
    del state["b"]
    assert opened(platform, state).resumed and options(platform, 0, m.URI_QUERY) == [b"b=UQ"]


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
    assert session(platform, state, name="urn:imei:868543060974334").saved() == {}
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
        assert m.dotted(code) in str(error) and word in error.hint
        assert platform.asked() == ["register"] and made.saved() == {}


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
    assert "subscri" in error.hint and platform.time < 13000


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
    assert made.receive(began + 5000) == b"first" and made.receive(began + 5000) == b"second"
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
    assert lwm2m.endpoint("imei", "8685", "4601") == "8685"
    assert lwm2m.endpoint("urn:imei", "8685", "4601") == "urn:imei:8685"
    assert lwm2m.endpoint("urn:imei-imsi", "8685", "4601") == "urn:imei-imsi:8685-4601"
