"""The session on the simulated module against the local AEP, whose codec is not ours: what the platform does to it
between wakes, and that nothing is lost by it."""

import pytest

from tools import scenario
from tools.checker import check
from tools.plan import Plan, quicker
from tools.scenario import play


class Watched:
    """A run whose platform can be interfered with whenever the module has powered down."""

    def __init__(self, monkeypatch, asleep=None, **plan):
        self.sleeps = 0
        self.asleep = asleep
        monkeypatch.setattr(scenario, "Aep", self._made)
        self.run = play(quicker(Plan(**plan)), self._heard)
        self.verdict = check(self.run)

    def _made(self, *args, **named):
        self.aep = aep = REAL_AEP(*args, **named)
        return aep

    def _heard(self, event):
        if event.who == "module" and event.kind == "power" and event.text == "psm":
            self.sleeps += 1
            if self.asleep is not None:
                self.asleep(self)

    def device(self):
        (device,) = self.aep.devices()
        return device.id

    def aep_events(self, *kinds):
        return [event for event in self.run.events.of(*kinds) if event.who == "aep"]

    def log(self):
        return [event.text for event in self.run.events.of("log")]


REAL_AEP = scenario.Aep


@pytest.fixture
def world(monkeypatch):
    return lambda *args, **plan: Watched(monkeypatch, *args, **plan)


def whole(run):
    assert run.run.problem is None and run.verdict.problems == [] and run.verdict.passed()


def test_wakes_after_the_first_resume_by_update_without_register(world):
    run = world(wakes=4)
    whole(run)
    assert len(run.aep_events("register")) == 1 and len(run.aep_events("update")) == 3


def test_a_platform_that_forgets_the_registration_while_the_device_sleeps_is_registered_with_again(world):
    def forget(run):
        if run.sleeps == 1:
            run.aep.front.end(run.device(), "amnesia")

    run = world(forget, wakes=3)
    whole(run)
    assert [event.data["code"] for event in run.aep_events("rejected")] == ["4.04"]
    assert len(run.aep_events("register")) == 2 and len(run.aep_events("update")) == 1


def test_a_platform_that_forgets_the_observation_resets_the_report_which_then_goes_up_once(world):
    def forget(run):
        if run.sleeps == 1:
            session = run.aep.front.session(run.device())
            for token in list(session.observed):
                del session.observed[token], run.aep.front._tokens[token]

    run = world(forget, wakes=3)
    whole(run)
    assert len(run.aep_events("reset")) == 1 and len(run.aep_events("register")) == 2


def test_a_lifetime_shorter_than_the_sleep_means_registering_each_wake_and_no_update(world):
    run = world(wakes=3, config={"lwm2m.lifetime": 3600, "report.interval": 21600})
    whole(run)
    assert len(run.aep_events("register")) == 3 and not run.aep_events("update", "rejected")


def test_a_device_the_platform_does_not_know_says_so_with_a_hint_and_does_not_insist(world):
    run = world(wakes=1, provisioned=False)
    assert {event.data["code"] for event in run.aep_events("rejected")} == {"4.03"}
    assert len(run.aep_events("rejected")) == 1, "one try in a wake"
    assert any("4.03" in text for text in run.log()) and any("endpoint" in text for text in run.log())


@pytest.mark.parametrize("form", ["imei", "urn:imei", "urn:imei-imsi"])
def test_every_endpoint_format_is_admitted_by_its_product(world, form):
    whole(world(wakes=2, endpoint_format=form))


@pytest.mark.parametrize("length", [1, 8])
def test_tokens_of_any_length_are_kept_over_sleep(world, length):
    run = world(wakes=3, token_length=length)
    whole(run)
    assert len(run.aep_events("register")) == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fifth_of_all_datagrams_lost_costs_no_reading(world, seed):
    run = world(wakes=6, loss=0.2, seed=seed)
    assert run.run.problem is None and run.verdict.readings_lost == 0 and run.verdict.readings_taken > 6
