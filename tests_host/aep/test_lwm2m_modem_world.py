"""Whole runs over the module's own LwM2M client, each image's: register, report, command, PSM, next wake."""

from dataclasses import replace

import pytest

from tools import figures
from tools.checker import check
from tools.faults import BY_NAME
from tools.faults.player import One, outcome, plan_of
from tools.module.modem import qlw
from tools.plan import Plan, quicker
from tools.scenario import play

MODEM = {"lwm2m.engine": "modem"}
CLIENTS = [("EC800E", "qlw"), ("EC800E", "ncdp"), ("EC200U", "native")]


def played(**plan):
    run = play(quicker(Plan(**plan)))
    return run, check(run)


def commands(run, prefix):
    return [event.text for event in run.events.of("at") if event.text.startswith(prefix)]


def notes(run, text):
    return [event.text for event in run.events.of("log") if text in event.text]


@pytest.mark.parametrize(("family", "client"), CLIENTS)
@pytest.mark.parametrize("mode", ["psm", "sleep"])
def test_reports_commands_and_sleep_of_every_client(family, client, mode):
    run, verdict = played(family=family, client=client, config={**MODEM, "power.mode": mode}, wakes=3)
    assert run.problem is None and verdict.problems == [] and verdict.passed() and verdict.commands_answered == 1
    assert run.module.psm_entered == (3 if mode == "psm" else 0)
    assert not notes(run, "ERROR")


@pytest.mark.parametrize(("family", "client"), CLIENTS)
def test_both_engines_are_alike_on_the_wire(family, client):
    runs = [play(Plan(family=family, client=client, config=MODEM, engine=engine)) for engine in ("vm", "cpython")]
    assert runs[0].network.trace_sha256() == runs[1].network.trace_sha256()
    assert all(check(run).passed() for run in runs)


@pytest.mark.parametrize(("client", "said"), [("qlw", "handed over"), ("ncdp", "acknowledged")])
def test_a_report_counts_as_acknowledged_only_where_the_poll_says_so(client, said):
    run, _ = played(client=client, config=MODEM)
    other = {"handed over": "acknowledged", "acknowledged": "handed over"}[said]
    assert len(notes(run, ":" + said)) >= 3 and not notes(run, ":" + other)


@pytest.mark.parametrize(("family", "client"), [("EC800E", "qlw"), ("EC200U", "native")])
def test_the_modem_speaks_dtls_with_the_devices_key(family, client):
    pytest.importorskip("mbedtls", reason="python-mbedtls has no wheel for this Python")
    run, verdict = played(family=family, client=client, protocol="lwm2m-dtls", config=MODEM)
    assert verdict.passed() and verdict.problems == [] and verdict.commands_answered == 1
    assert {event.data["identity"] for event in run.events.of("dtls")} == {run.module.identity.imei}


@pytest.mark.parametrize(("client", "prefix", "asked"), [("ncdp", "AT+NMGR", True), ("qlw", "AT+QLWREG", False),
                                                         ("none", "AT+QLWREG", False)])
def test_auto_takes_the_modem_where_it_acknowledges_else_our_own_client(client, prefix, asked):
    run, verdict = played(client=client, config={"lwm2m.engine": "auto"})
    assert verdict.passed() and bool(commands(run, prefix)) is asked
    assert len(commands(run, "AT+NCDP=?")) == 1, "probed once, in three wakes"


def test_an_image_without_a_client_says_so_and_waits():
    run, verdict = played(client="none", config=MODEM, wakes=1)
    assert verdict.readings_waiting == verdict.readings_taken > 0
    assert notes(run, "this image has no LwM2M client")


def test_a_setting_changed_by_command_is_kept_though_reports_are_only_handed_over():
    """The session under new settings is a new one: that the platform has answered its Register must do."""
    run, verdict = played(config={**MODEM, "power.mode": "sleep", "report.interval": 7200}, wakes=6)
    assert verdict.problems == [] and len(notes(run, "session registered")) == 2  # a third would be under the old ones
    assert not run.module.flash.exists("state/trial.rec") and not notes(run, ":acknowledged")


@pytest.mark.parametrize(("family", "client"), CLIENTS)
def test_a_device_the_platform_does_not_know_is_not_provisioned(family, client):
    run, verdict = played(family=family, client=client, config=MODEM, wakes=1, provisioned=False)
    assert notes(run, "NotProvisioned") and verdict.readings_waiting == verdict.readings_taken
    assert len([event for event in run.events.of("rejected")]) == 1, "one try in a wake"


OF_THE_TABLE = {  # what differs from client to client, or is none of the modem's commands
    "command-longest": 0, "platform-busy": 0, "names-gone": 0, "no-names": 14, "ipv6-only-and-ipv4-platform": 14,
    "ipv6-only-address": 0, "never-observed": 27, "register-4.03": 21, "register-silent": 25, "at-errors": 0,
    "at-silent": 0, "platform-restart": 0, "new-address-in-psm": 0, "commands-repeated": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", OF_THE_TABLE)
@pytest.mark.parametrize(("family", "client"), CLIENTS)
def test_faults_of_the_table_end_over_every_client(family, client, name):
    fault = BY_NAME[name]
    plan = plan_of(fault, Plan(family=family, client=client))
    run = play(quicker(replace(plan, config={**plan.config, **MODEM})), hooks=One(fault))
    found = figures.result(run)
    assert outcome(name, fault.ends, found)["ended"] == OF_THE_TABLE[name], found["error"]
    assert check(run).readings_lost == 0


@pytest.mark.parametrize("client", ["qlw", "ncdp"])
def test_at_errors_in_the_first_wake_are_not_taken_for_an_image_without_a_client(client):
    class Broken:
        def before(self, run):
            if run.wakes:
                run.module.nv.values.pop("at", None)
            else:
                run.module.nv.values["at"] = "error"

        def after(self, run):
            pass

        def over(self, run):
            return False

    run = play(quicker(Plan(client=client, config=MODEM, wakes=4)), hooks=Broken())
    assert check(run).readings_waiting == 0 and notes(run, "session registered")


@pytest.mark.parametrize(("family", "client"), CLIENTS)
def test_the_modem_takes_reports_with_release_assistance(family, client):
    run, verdict = played(family=family, client=client, config={**MODEM, "lwm2m.rai": 2})
    assert verdict.passed() and not notes(run, "ERROR")


def test_where_the_modem_does_not_answer_the_observe_the_device_does(monkeypatch):
    """auto_ack is refused: guide §4.1.3.1 has QLWOBSRSP then."""
    monkeypatch.setitem(qlw.CFG, "auto_ack", (((0, 0),), (0,)))
    run, verdict = played(config=MODEM)
    assert verdict.passed() and not notes(run, "ERROR")
    assert len(commands(run, "AT+QLWOBSRSP=")) == len(commands(run, "AT+QLWREG"))


def test_no_fault_is_made_of_an_update_that_the_group_has_not():
    run, verdict = played(client="ncdp", config={**MODEM, "lwm2m.update": "each_exchange"})
    assert verdict.passed() and not notes(run, "ERROR")


@pytest.mark.parametrize("form", ["urn:imei", "urn:imei-imsi"])
def test_endpoint_formats(form):
    run, verdict = played(config=MODEM, endpoint_format=form, wakes=1)
    assert verdict.passed()


def test_the_guides_update_after_each_exchange():
    run, verdict = played(config={**MODEM, "lwm2m.update": "each_exchange"})
    assert verdict.passed() and len(run.events.of("update")) >= 3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_where_the_poll_tells_a_fifth_of_all_datagrams_lost_costs_no_reading(seed):
    run, verdict = played(client="ncdp", config=MODEM, wakes=6, loss=0.2, seed=seed)
    assert run.problem is None and verdict.readings_lost == 0
    assert {command.status for command in run.aep.commands(run.device)} <= {"DELIVERED", "SAVED", "SENT", "FAILED"}


def test_what_was_handed_over_and_lost_is_counted_as_lost():
    """The modem's repeats end with the power: two losses in a row are not made good (docs/hardware.md)."""
    run, verdict = played(config=MODEM, wakes=6, loss=0.1, seed=2)
    assert verdict.readings_lost > 0 and not verdict.passed()
    assert all(problem.startswith(("lost", "missing")) for problem in verdict.problems)


def test_a_platform_that_forgets_us_is_registered_with_again():
    class Amnesia:
        """Between the second wake and the third the platform forgets the registration, in light sleep."""

        def before(self, run):
            if len(run.wakes) == 2:
                run.aep.front.end(run.device, "forgotten")

        def after(self, run):
            pass

        def over(self, run):
            return False

    config = {**MODEM, "power.mode": "sleep", "lwm2m.update": "each_exchange"}
    run = play(quicker(Plan(config=config, wakes=5, commands=False)), hooks=Amnesia())
    assert len(run.events.of("register")) == 2 and run.problem is None
    lost = [problem for problem in check(run).problems if problem.startswith("lost: id")]
    assert len(lost) == 2, "the one uplink that the modem was given before it knew"
