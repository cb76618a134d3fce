"""device.cycle: the table holds together, and every fault of the world ends in sleep, with nothing lost."""

import json
import re
import zlib
from dataclasses import replace

import pytest

from tests_host.device.world import DAY, HOUR, World
from tests_host.store.bench import fill
from tools import journal
from tools.faults import act
from tools.scenario import ROOT
from tools.tables import CYCLE, SETTINGS, literal, moves, states

STATES, TABLE = states(), moves()
NAMES = [name for name, _, _ in STATES]
WATCHDOG = literal(ROOT / "boot.py", "WATCHDOG")

APP = """
import utime
from device import settings
from device.commands import Failed, any_other, between, command, one_of
from device.readings import days, hours, reading
"""


def counting(extra=""):
    """An app.py whose only reading counts its calls; `extra` is added."""
    return APP + "n = [0]\n\n@reading('water_flow')\ndef count():\n    n[0] += 1\n    return n[0]\n" + extra


# -- the table ---------------------------------------------------------------------------------------------------------


def methods():
    """{state: what its method's source says, with what it hands on to}."""
    text = CYCLE.read_text()
    bodies = {}
    for name in NAMES:
        start = text.find(f"    def _{name.lower()}(self)")
        bodies[name] = text[start : text.find("\n    def ", start + 1)] if start >= 0 else ""
        if "return self.load()" in bodies[name]:
            bodies[name] = (CYCLE.parent / "start.py").read_text().split("    def introduce")[0]
        for room, function in re.findall(r"(?:return|event =) (rest|trouble)\.(\w+)\(self\)", bodies[name]):
            other = (CYCLE.parent / f"{room}.py").read_text()
            start = other.find(f"def {function}(")
            bodies[name] = other[start : other.find("\n\n\n", start)]
            if room == "rest":
                bodies[name] = other + (CYCLE.parent / "nap.py").read_text()
    return bodies


def test_every_state_has_a_method_and_every_name_of_the_table_is_a_state():
    assert [name for name, body in methods().items() if not body] == []
    assert {state for state, _, _ in TABLE} - {"*"} <= set(NAMES)
    assert {target for _, _, target in TABLE} <= set(NAMES)


def test_no_event_of_a_state_has_two_targets():
    keys = [(state, event) for state, event, _ in TABLE]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("state", [name for name in NAMES if name != "UNPROVISIONED"])
def test_every_event_a_state_returns_is_in_the_table_and_the_other_way_round(state):
    body = methods()[state]
    lines = re.findall(r"(?:return|event =) (.*)", body)
    returned = {text for line in lines for text in re.findall(r'"([^"]+)"', line)}
    assert returned == {event for name, event, _ in TABLE if name == state}


def test_every_state_can_be_reached_from_power_on_and_leads_to_an_end():
    reached, new = set(), {"WAKE"}
    while new:
        reached |= new
        new = {target for state, _, target in TABLE if state in (*reached, "*")} - reached
    assert reached == set(NAMES)
    ending = {"SLEEP", "UNPROVISIONED"}
    for _ in NAMES:
        ending |= {state for state, _, target in TABLE if target in ending}
    assert ending | {"*"} == set(NAMES) | {"*"}


def test_every_deadline_is_shorter_than_the_watchdogs():
    limits = {name: limit for name, limit, _ in STATES}
    assert [name for name, limit in limits.items() if not limit] == ["SLEEP", "UNPROVISIONED"]
    assert all(limit < WATCHDOG for limit in limits.values())
    longest = {row[0]: row[4] for row in literal(SETTINGS, "TABLE")}
    assert longest["link.attach_timeout"] < limits["ATTACH"]


# -- the ordinary way --------------------------------------------------------------------------------------------------


def test_reports_go_up_commands_are_answered_and_every_wake_ends_in_psm():
    with World() as world:
        assert world.power_on() == "psm"
        for n in range(6):
            world.command(8001, valve_onoff=n % 2)
            assert world.wake() == "psm"
        assert world.verdict().problems == []
        assert len(world.answers()) == 6


def test_wake_with_nothing_due_goes_back_to_psm_without_a_word():
    """T3412 granted shorter than asked for: three wakes of four have nothing to say."""
    with World(tau_limits_s=(0, 90 * 60)) as world:
        world.power_on()
        quiet = []
        for _ in range(8):
            mark = len(world.network.trace)
            assert world.wake(limit=600) == "psm"
            quiet.append(len(world.network.trace) == mark)
        assert quiet.count(False) == 2
        assert world.verdict().problems == []
        assert any("T3412 asked 21600 s, granted 5400 s" in line for line in world.log())


def test_t3412_granted_longer_is_counted_and_reports_go_on():
    with World({"report.interval": HOUR, "lwm2m.lifetime": 86400}, tau_limits_s=(2 * HOUR, DAY)) as world:
        world.power_on()
        for _ in range(3):
            assert world.wake() == "psm"
        assert world.counters()["psm_longer"] == 4
        assert world.verdict().problems == []


def test_command_that_changes_the_interval_is_in_force_and_kept_after_the_next_report():
    with World() as world:
        world.power_on()
        world.command(8004, frozen_period=12)
        world.wake()
        assert world.record("trial")["set"] == {"report.interval": 12 * HOUR}
        world.wake()
        assert world.record("trial") == {}
        assert world.record("settings")["values"]["report.interval"] == 12 * HOUR
        world.wake()
        before, last = [entry["t"] for entry in world.reports() if "water_flow" in entry][-2:]
        assert 11.9 * HOUR < last - before < 12.1 * HOUR


def test_reports_go_on_in_a_network_that_never_tells_the_time():
    with World(nitz=False) as world:
        world.power_on()
        for _ in range(4):
            world.wake()
        reports = [entry for entry in world.reports() if "water_flow" in entry]
        assert len(reports) == 5
        assert all("t" not in entry for entry in reports)
        assert len({entry["id"] for entry in reports}) == 5


def test_batches_bring_a_backlog_up_in_order():
    with World({"report.interval": HOUR}, platform=False) as world:
        world.power_on()
        for _ in range(8):
            world.wake()
        assert len(world.waiting()) >= 9
        world.platform_on()
        for _ in range(40):
            world.wake()
        assert world.waiting() == []
        ids = [entry["id"] for entry in world.stored()]
        assert ids == sorted(ids)
        assert world.verdict().problems == []


def lose(world, wanted, count=1):
    """The first `count` downlink datagrams for which `wanted(data)` never arrive."""
    down = world.network.down
    left = [count]

    def lossy(binding, data, sender):
        hit = left[0] > 0 and wanted(data)
        left[0] -= hit
        world.network.loss = 1.0 if hit else 0.0
        down(binding, data, sender)
        world.network.loss = 0.0

    world.network.down = lossy


SLOW = (3000, 3000)  # ms from QSCLKEX's time to the connection's end: longer than a retransmission takes


def is_command(data):
    return data[1] == 3  # PUT


@pytest.mark.parametrize("wanted", [is_command, lambda data: data[0] & 0x70 == 0x60 and data[1] == 0x44])
def test_command_that_was_lost_is_heard_while_the_connection_lasts(wanted):
    """The platform sends it again after 2-3 s, when the listening window (here 1 s) is over."""
    with World({"listen.window": 1000}, release_ms=SLOW) as world:
        world.power_on()
        world.command(8001, valve_onoff=0)
        lose(world, wanted)
        assert world.wake() == "psm"
        assert len(world.answers()) == 1
        assert world.verdict().problems == []
        assert world.record("session")["gap"] < 1000  # what is paid for anyway does not make the window longer


def test_downlink_that_is_known_already_is_listened_on_after_while_the_connection_lasts():
    seen = "@any_other\ndef other(data):\n    pass\n"
    with World({"listen.window": 200}, counting(seen), release_ms=SLOW) as world:
        world.power_on()
        world.aep.command(world.device, "text", ttl=DAY)
        lose(world, is_command)
        mark = world.network.mark()
        assert world.wake() == "psm"
        puts = [d for d in world.network.trace[mark:] if d.direction == "down" and is_command(d.data)]
        assert [d.lost for d in puts] == [True, False]
        assert world.record("commands")["queue"] == []


def test_socket_that_dies_while_the_connection_is_released_is_no_fault():
    """An empty datagram makes it report "closed" (quecpython.md §3.9)."""
    with World({"listen.window": 200}, release_ms=SLOW) as world:
        world.power_on()
        world.advance(world.module.wakes_at() - world.loop.time())
        before = len(world.log())
        world.start(8)
        while not any("acknowledged" in line for line in world.log()[before:]):
            world.advance(0.05)
        world.advance(1)
        binding = list(world.network._bindings.values())[-1]
        world.network.down(binding, b"", world.network._served[binding.remote])
        assert world.loop.run_until_complete(world.on).how == "psm"
        assert world.network.trace[-1].data == b""
        assert "fault_15" not in world.counters()
        assert not any("E15" in line for line in world.log())


def test_full_outbox_goes_up_in_uplinks_of_at_most_512_bytes():
    """ctwing.md §2.5; DESIGN §3."""
    with World({"report.interval": HOUR, "report.batch": 16}, platform=False) as world:
        world.power_on()
        for _ in range(20):
            world.wake()
        assert len(world.waiting()) >= 20
        world.platform_on()
        for _ in range(30):
            world.wake()
        assert world.waiting() == []
        sizes = [len(uplink.payload) for uplink in world.aep.uplinks(world.device)]
        assert 400 < max(sizes) <= 512
        assert world.verdict().problems == []


def test_log_says_who_the_device_is():
    with World() as world:
        world.power_on()
        who = world.module.identity
        assert f"INFO:cycle:IMEI {who.imei}, IMSI {who.imsi}, ICCID {who.iccid}" in world.log()


def test_registration_is_kept_alive_where_there_is_nothing_to_report():
    app = APP + "@reading('x', every=hours(20))\ndef x():\n    return 1\n"
    with World({"report.interval": HOUR, "lwm2m.lifetime": 6 * HOUR}, app) as world:
        world.power_on()
        for _ in range(41):
            assert world.wake() == "psm"
        assert len(world.reports()) == 3
        assert len(world.aep.registrations(world.device)) == 1


def test_session_outlives_a_cut_right_after_it_was_opened():
    with World() as world:
        world.start()
        while not any("session registered" in line for line in world.log()):
            world.advance(0.005)
        world.advance(0.02)
        world.cut()
        assert world.power_on() == "psm"
        assert any("session resumed" in line for line in world.log())
        assert len(world.aep.registrations(world.device)) == 1


@pytest.mark.parametrize(("seconds", "where", "updates"), [
    (20, "ignore-new-address", 1), (40, "", 1), (100, "", 1), (100, "ignore-new-address", 2),
    (100, "reset-new-address", 2),
])
def test_answer_of_a_slow_handler_goes_at_once_and_after_an_update_where_the_platform_wants_one(
        seconds, where, updates):
    """After 30 s the carrier's NAT may have forgotten us (ctwing.md §2.7); whether the platform minds is learned."""
    app = counting(f"@command(1)\ndef slow():\n    utime.sleep({seconds})\n")
    with World(app=app) as world:
        world.power_on()
        world.command(1)
        if where:
            world.aep.fault(where)
        mark = world.network.mark()
        assert world.wake() == "psm"
        posts = [d for d in world.network.trace[mark:] if d.direction == "up" and d.data[1] == 2]
        assert len(posts) == updates
        assert len(world.answers()) == 1


def test_listening_window_that_was_needed_once_is_forgotten_slowly():
    with World() as world:
        world.power_on()
        save(world, "session", {**world.record("session"), "gap": 4000})
        world.command(8001, valve_onoff=0)
        world.wake()
        assert world.record("session")["gap"] == 3500


# -- light sleep -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("config", "carrier"), [({"power.mode": "sleep"}, {}), ({}, {"psm": False})])
def test_without_psm_it_sleeps_lightly_and_reports_at_each_interval(config, carrier):
    with World({"report.interval": HOUR, **config}, **carrier) as world:
        world.start()
        world.advance(10 * HOUR + 300)
        assert len([entry for entry in world.reports() if "water_flow" in entry]) == 11
        assert world.module.boots == 1
        asleep = world.milliseconds("sleep") / 1000
        assert asleep > 0.98 * 10 * HOUR
        world.cut()
        assert world.verdict().problems == []
        assert world.counters().get("psm_refused", 0) == (0 if config else 11)


def test_wakelock_that_vetoes_psm_is_counted_and_reports_go_on():
    app = counting("import pm\npm.wakelock_lock(pm.create_wakelock('hold', 4))\n")
    with World({"report.interval": HOUR}, app) as world:
        world.start()
        world.advance(3 * HOUR + 300)
        assert [entry["water_flow"] for entry in world.reports()] == [1, 2, 3, 4]
        world.cut()
        assert world.counters()["psm_vetoed"] == 3  # and one that is not saved yet
        assert world.counters().get("psm_refused", 0) == 0


def test_a_modem_that_cannot_say_what_was_granted_refused_nothing():
    with World({"report.interval": HOUR}) as world:
        assert world.power_on() == "psm"
        act.world(world.run, at="error")
        for _ in range(3):
            assert world.wake() == "psm"
        world.power_on()  # for what the wake before it has counted
        assert len([entry for entry in world.reports() if "water_flow" in entry]) == 4
        assert world.counters().get("psm_refused", 0) == 0


@pytest.mark.parametrize(("needs", "said"), [("dial", ["dialled again, try 1"]),
                                             ("cfun", ["dialled again, try 1", "radio switched off and on, try 1"])])
def test_the_journal_counts_the_tries_to_get_the_link_back(needs, said):
    with World({"report.interval": HOUR}) as world:
        world.power_on()
        act.carrier(world.run, pdp_after=needs)
        world.wake()
        names = [name for name in journal.FILES if world.flash.exists("state/" + name)]
        wakes = journal.read({name: world.flash.read("state/" + name) for name in names})
        texts = [entry.text for entry in wakes[-1].entries]
        assert [text for text in texts if "try" in text and "next" not in text] == said


def test_reading_that_never_has_a_value_makes_no_tight_loop():
    app = counting("@reading('x')\ndef x():\n    1 / 0\n\n@reading('y')\ndef y():\n    return None\n")
    with World({"report.interval": HOUR, "power.mode": "sleep"}, app) as world:
        world.start()
        world.advance(5 * HOUR + 300)
        world.cut()
        assert len(world.reports()) == 6
        assert world.counters()["reading_failed"] <= 12  # before the network is there and after


def test_command_reaches_a_device_in_light_sleep_at_its_next_report():
    with World({"report.interval": HOUR, "power.mode": "sleep"}) as world:
        world.start()
        world.advance(600)
        world.command(8001, valve_onoff=0)
        world.advance(HOUR)
        world.cut()
        assert world.verdict().problems == []
        assert len(world.answers()) == 1


# -- faults ------------------------------------------------------------------------------------------------------------


def lasting(world, hours=30):
    """The device stays on for so long, but for the restarts of its recovery ladder: no PSM without a network. What it
    spent searching, in s."""
    world.stay(hours * HOUR)
    searched = world.milliseconds("searching") / 1000
    asleep = (world.milliseconds("flight_sleep") + world.milliseconds("sleep")) / 1000
    assert searched + asleep > 0.97 * hours * HOUR
    return searched


def test_without_registration_the_radio_is_off_between_tries_and_nothing_is_lost():
    with World({"report.interval": HOUR}, state=2) as world:
        searched = lasting(world)
        assert searched < 0.06 * 30 * HOUR
        assert 3 <= len([line for line in world.log() if "E12 NotRegistered" in line]) <= 12
        drawn = [e.data["value"] for e in world.of("sensor") if e.data["field"] == "flow"]
        assert 30 <= len(drawn) <= 30 + world.module.boots  # without the time it rather takes one too many
        world.cut()
        kept = [dict(entry["f"]).get("water_flow") for entry in world.waiting()]
        assert [round(float(text) * 1000) for text in kept if text] == drawn
        assert world.counters()["fault_12"] >= 3


def test_network_that_comes_back_gets_everything():
    with World({"report.interval": HOUR}, state=2) as world:
        world.stay(5 * HOUR)
        world.cut()
        world.module.profile = replace(world.module.profile, carrier=replace(world.module.profile.carrier, state=1))
        world.stay(12 * HOUR)
        while world.on.done() and world.waiting():
            world.wake()
        assert len([entry for entry in world.reports() if "water_flow" in entry]) >= 5
        if not world.on.done():
            world.cut()
        assert world.verdict().problems == []


def test_sim_that_is_put_in_later_is_found():
    with World({"report.interval": HOUR}) as world:
        world.module.nv.values["sim"] = {"status": 0}
        world.start()
        world.advance(2 * HOUR)
        assert any("E11 NoSim" in line for line in world.log())
        world.cut()
        world.module.nv.values["sim"]["status"] = 1
        world.power_on(3, limit=DAY)
        world.advance(1)
        while world.waiting():
            world.wake()
        assert world.verdict().problems == []


def test_denied_registration_backs_off():
    with World({"report.interval": HOUR}, state=3) as world:
        lasting(world, 10)
        assert len([line for line in world.log() if "E12 NotRegistered" in line]) <= 7


def test_platform_that_does_not_answer_costs_one_try_per_back_off_and_gets_everything_later():
    with World({"report.interval": HOUR}, platform=False) as world:
        assert world.power_on() == "psm"
        for _ in range(12):
            assert world.wake() == "psm"
        assert any("E25 Silent" in line for line in world.log())
        tries = [line for line in world.log() if "INFO:cycle:address" in line]
        assert len(tries) <= 7
        assert world.counters()["fault_25"] == len(tries)
        world.platform_on()
        for _ in range(20):
            world.wake()
        assert world.waiting() == []
        assert world.verdict().problems == []
        assert world.record("health")["row"] == 0


@pytest.mark.parametrize(("times", "delivered"), [(1, True), (2, True), (3, False)])
def test_socket_that_dies_under_a_report_is_attached_again_at_most_twice_in_a_wake(times, delivered):
    """An empty datagram makes it report "closed" (quecpython.md §3.9)."""
    with World() as world:
        world.power_on()
        down, left = world.network.down, [times]

        def closing(binding, data, sender):
            hit = left[0] > 0 and data[:2] == b"\x60\x00"  # the acknowledgement of a report
            left[0] -= hit
            down(binding, b"" if hit else data, sender)

        world.network.down = closing
        assert world.wake() == "psm"
        assert left == [0]
        assert (world.waiting() == []) is delivered
        assert world.counters()["fault_15"] == times
        assert world.verdict().problems == []


def test_flash_that_refuses_at_the_very_start_is_a_failure_of_the_tree_under_its_own_name():
    with World() as world:
        fill(world.flash)
        assert world.power_on() == "restart"
        assert "OSError: 28" in world.log()[-1]
        assert not any("NoFlash" in line for line in world.log())


def test_device_that_is_not_on_the_platform_waits_for_a_person_and_delivers_later():
    with World({"report.interval": HOUR}, provisioned=False) as world:
        assert world.power_on() == "psm"
        for _ in range(20):
            assert world.wake() == "psm"
        assert len([line for line in world.log() if "E21 NotProvisioned" in line]) == 1
        who = world.module.identity
        product = world.aep.create_product("more meters", power_mode="PSM")
        world.run.device = world.device = world.aep.create_device(product, name="meter", imei=who.imei, imsi=who.imsi)
        for _ in range(12):
            world.wake()
        assert world.waiting() == []
        assert world.verdict().problems == []


def test_platform_that_forgot_the_device_is_registered_with_again_in_the_same_wake():
    with World() as world:
        world.power_on()
        world.aep.front.end(world.device, "amnesia")
        assert world.wake() == "psm"
        assert world.waiting() == []
        assert len(world.aep.registrations(world.device)) == 2
        assert world.verdict().problems == []


def test_back_off_set_by_a_clock_that_was_wrong_does_not_silence_the_device():
    with World({"report.interval": HOUR}) as world:
        world.power_on()
        record = {**world.record("health"), "not_before": 4_000_000_000, "row": 1}
        save(world, "health", record)
        world.wake()
        assert world.waiting() == []


def save(world, name, value):
    """Puts a record on the flash."""
    body = json.dumps(value).encode()
    world.flash.write(f"state/{name}.rec", b"%08x " % zlib.crc32(body) + body)


def test_flash_that_fills_up_does_not_stop_the_reports():
    with World() as world:
        world.power_on()
        fill(world.flash)
        for _ in range(3):
            assert world.wake() == "psm"
        reports = [entry for entry in world.reports() if "water_flow" in entry]
        assert len(reports) >= 1
        assert world.module.boots == 4
        assert len({entry["id"] for entry in world.stored()}) == len(world.stored())


def test_reading_too_long_to_be_sent_is_skipped_and_the_others_are_sent():
    with World(app=counting("@reading('x')\ndef x():\n    return 'y' * 600\n")) as world:
        assert world.power_on() == "psm"
        assert [entry["water_flow"] for entry in world.reports()] == [1]
        assert world.counters()["reading_failed"] == 2
        assert world.boot_record()["failed"] == 0 if world.flash.exists("boot.rec") else True


HUGE = """
@reading('x')
def x():
    return 'y' * 60000

@reading('z')
def z():
    return 10 ** 600

@command(8001)
def huge(**fields):
    return {'x': 'y' * 60000}

@command(8002)
def why(**fields):
    raise Failed('y' * 60000)
"""


@pytest.mark.parametrize("engine", ["vm", "cpython"])
def test_text_that_the_heap_can_hold_once_and_no_more_stops_nothing(engine):
    with World(app=counting(HUGE), engine=engine) as world:
        assert world.power_on() == "psm"
        world.command(8001)
        world.command(8002)
        assert world.wake() == "psm"
        assert [answer["reason"] for answer in world.answers()] == ["answer too long", "y" * 80]
        assert [entry["water_flow"] for entry in world.reports()] == [1, 1]
        assert world.module.boots == 2
        assert world.counters()["reading_failed"] == 8


def test_handler_as_long_as_the_watchdog_allows_is_not_bitten_however_many_wait():
    slow = "@command(1)\ndef slow():\n    utime.sleep(100)\n"
    with World(app=counting(slow)) as world:
        world.power_on()
        queue = [{"task": task, "service": 1, "fields": {}} for task in range(8)]
        save(world, "commands", {"queue": queue, "done": []})
        assert world.wake() == "psm"
        assert [answer["taskId"] for answer in world.answers()] == list(range(8))


def test_platform_that_never_stops_sending_is_heard_again_at_the_next_wake():
    app = counting("@any_other\ndef other(data):\n    utime.sleep(30)\n")
    with World(app=app) as world:
        world.power_on()
        for n in range(40):
            world.aep.command(world.device, f"text {n}", ttl=10 * DAY)
        began = world.module.wakes_at()
        assert world.wake() == "psm"
        assert world.loop.time() - began < 900
        assert len(world.reports()) == 2


# -- not provisioned ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [None, {"server.port": 0}])
def test_without_settings_it_waits_asleep_with_the_repl_open_and_says_why(config):
    with World(config) as world:
        world.start()
        world.advance(2 * DAY)
        assert not world.on.done() or world.on.result().how == "exit"
        assert any("waiting for /usr/config.json: " in line for line in world.log())
        assert world.module.boots == 1
        assert world.network.trace == []


def test_config_that_comes_later_is_used_at_the_next_start():
    with World(None) as world:
        world.start()
        world.advance(HOUR)
        world.cut()
        world.flash.write("config.json", b'{"server.host": "lwm2m.ctwing.cn"}')
        assert world.power_on() == "psm"
        (problem,) = world.verdict().problems
        assert "waiting for /usr/config.json" in problem


def test_config_that_was_broken_later_leaves_the_device_on_its_last_good_settings():
    with World() as world:
        world.power_on()
        world.flash.write("config.json", b'{"server.host": 5}')
        assert world.wake() == "psm"
        assert any("server.host: 5 is not allowed" in line for line in world.log())
        assert world.counters()["config_refused"] == 1
        (problem,) = world.verdict().problems
        assert "running on the last good settings" in problem


# -- PSM and the application -------------------------------------------------------------------------------------------


def test_psm_does_not_take_the_power_while_the_platform_is_waited_for():
    """Retransmissions outlast T3324 (2 s) after a connection that enhanced sleep has released."""
    with World() as world:
        world.power_on()
        mark = world.network.mark()
        world.network.loss = 1.0
        world.advance(world.module.wakes_at() - world.loop.time())
        world.start(8)
        while world.network.mark() < mark + 4:  # 2 s, 4 s and 8 s apart
            world.advance(0.1)
            assert not world.on.done(), "PSM while the platform was waited for"
        world.network.loss = 0.0
        assert world.loop.run_until_complete(world.on).how == "psm"
        assert world.waiting() == []
        assert world.verdict().problems == []
