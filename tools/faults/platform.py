"""Faults of the platform's doing: what its switches (tools/ctwing/faults.py) and its cache of commands bring upon a
device.

Real reasons are many (a new release at the platform, a device deleted by hand, an answer lost in the core network); the
device sees only these messages, or none.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tools.ctwing.checks import SIZE_LIMIT, TTL_LIMIT
from tools.faults.fault import Fault
from tools.plan import Plan
from tools.scenario import Given, Run

NOT_PROVISIONED, BAD_REQUEST, WRONG_VERSION, REFUSED, SILENT, SESSION_LOST, NOT_OBSERVED = 21, 22, 23, 24, 25, 26, 27
"""Codes of lib/aep/session.py."""

ALL_KEPT = "readings, in the outbox until the platform has them, and commands"
WAITS = "readings, in the outbox, the oldest drop when it is full and are counted; commands wait at the platform"
REPEATED = "readings and commands; what was stored and never acknowledged comes again under the same id"
ONCE = "readings and commands; a command runs once: its repeats are known by MID and by taskId"

Act = Callable[[Run], None]


def on(name: str, strikes: int | None = None, value: Any = None) -> Act:
    return lambda run: run.aep.fault(name, run.device, strikes=strikes, value=value)


def off(*names: str) -> Act:
    def heal(run: Run) -> None:
        for name in names:
            run.aep.heal(name, run.device)

    return heal


def both(*acts: Act) -> Act:
    def strike(run: Run) -> None:
        for act in acts:
            act(run)

    return strike


def command(content: str, ttl: int = TTL_LIMIT) -> Act:
    """A command that is none of the scenario's: its end is the platform's command log."""
    return lambda run: (run.aep.command(run.device, content, ttl=ttl), None)[1]


def longest(run: Run) -> None:
    """A command of as many bytes as the platform takes, as the scenario gives its own."""
    task, fields = len(run.given) + 1, {"frozen_period": 6}
    body = json.dumps({"serviceId": 8004, "taskId": task, **fields}).ljust(SIZE_LIMIT)
    number = run.aep.command(run.device, body, data_type="json", ttl=TTL_LIMIT)
    run.given.append(Given(task, 8004, fields, number))


def rebind(run: Run) -> None:
    run.network.forget_bindings()


def recreate(run: Run) -> None:
    run.device = run.aep.recreate(run.device)


def config(**settings: Any) -> Callable[[Plan], Plan]:
    """Settings, with a `_` for the dot."""
    named = {name.replace("_", ".", 1): value for name, value in settings.items()}
    return lambda plan: replace(plan, config={**plan.config, **named})


def at_register(name: str, text: str, code: int, *switches: Act) -> Fault:
    """From the first wake on, for ever."""
    return Fault(name, text, code, WAITS, strike=both(*switches), first=1, last=0, wakes=2)


def passing(name: str, text: str, kept: str, *switches: str, strikes: int | None = None, value: Any = None,
            anew: bool = False) -> Fault:
    """Switches that are on for one wake; `anew`: the session is forgotten first, so that the device registers."""
    acts = [on("forget-session")] * anew + [on(switch, strikes, value) for switch in switches]
    return Fault(name, text, 0, kept, strike=both(*acts), heal=off(*switches), passing=True)


DROPPED = "readings; the platform drops the command, the device never sees it"
CLOSE = '{"serviceId":8001,"taskId":9001,"valve_onoff":0}'
DAILY = config(report_interval=86_400)
LIGHT_SLEEP = config(power_mode="sleep", report_interval=1800)
EVERYTHING_SILENT = ("silent-register", "silent-update", "drop-report")

FAULTS: tuple[Fault, ...] = (
    # Register refused or not answered, for good
    Fault("not-provisioned", "the device does not exist on the platform", NOT_PROVISIONED, WAITS,
          plan=lambda plan: replace(plan, provisioned=False), first=1, last=0, wakes=2),
    Fault("wrong-endpoint-format", "the device registers in another endpoint format than its product's",
          NOT_PROVISIONED, WAITS, plan=config(lwm2m_endpoint="urn:imei"), first=1, last=0, wakes=2),
    at_register("register-4.01", "Register is answered 4.01", NOT_PROVISIONED, on("refuse-register", value="4.01")),
    at_register("register-4.03", "Register is answered 4.03", NOT_PROVISIONED, on("refuse-register", value="4.03")),
    at_register("register-4.00", "Register is answered 4.00", BAD_REQUEST, on("refuse-register", value="4.00")),
    at_register("register-4.12", "Register is answered 4.12", WRONG_VERSION, on("refuse-register", value="4.12")),
    at_register("register-5.03", "Register is answered 5.03", REFUSED, on("refuse-register", value="5.03")),
    at_register("register-silent", "Register is never answered", SILENT, on("silent-register")),
    at_register("never-observed", "automatic subscription is off: nothing is observed", NOT_OBSERVED,
                on("no-observe")),
    Fault("reports-always-reset", "every report is answered with RST, whatever the device registers", SESSION_LOST,
          WAITS, strike=on("reset-report"), last=0),
    # the platform is away for a wake
    passing("platform-busy", "the session is forgotten, and Register is answered 5.03 for one wake", ALL_KEPT,
            "refuse-register", value="5.03", anew=True),
    passing("platform-silent", "nothing is answered for one wake", ALL_KEPT, *EVERYTHING_SILENT),
    passing("platform-silent-at-register", "the session is forgotten, and nothing is answered for one wake", ALL_KEPT,
            *EVERYTHING_SILENT, anew=True),
    passing("platform-restart", "the platform restarts between two wakes: no session is known", ALL_KEPT, "restart"),
    Fault("device-recreated", "the device is deleted and created again: it has a new device id", 0, ALL_KEPT,
          strike=recreate, first=4, last=4),
    # the session
    passing("update-4.04", "Update is answered 4.04", ALL_KEPT, "refuse-update", value="4.04"),
    passing("update-4.01", "Update is answered 4.01", ALL_KEPT, "refuse-update", value="4.01"),
    passing("update-5.00", "Update is answered 5.00", ALL_KEPT, "refuse-update", value="5.00"),
    passing("update-silent", "Update is not answered, reports are", ALL_KEPT, "silent-update"),
    passing("session-forgotten", "registration and tokens are forgotten, the device is not told", ALL_KEPT,
            "forget-session"),
    passing("observation-forgotten", "the token of 19/0/0 is forgotten, the registration stays", ALL_KEPT,
            "forget-observation"),
    passing("token-changed", "19/0/0 is observed again with another token", ALL_KEPT, "re-observe"),
    passing("observe-late", "Observe comes 5 s after Register", ALL_KEPT, "late-observe", value=5.0, anew=True),
    passing("observe-very-late", "Observe comes 20 s after Register", ALL_KEPT, "late-observe", value=20.0, anew=True),
    passing("observe-lost", "the first datagram of the Observe is lost", ALL_KEPT, "lost-observe", strikes=1,
            anew=True),
    passing("observe-missing", "nothing is observed after one registration", ALL_KEPT, "no-observe", strikes=1,
            anew=True),
    Fault("lifetime-refused", "a daily meter asks for more than 86,400 s and is refused (4.00)", 0, ALL_KEPT,
          plan=DAILY),
    Fault("lifetime-honoured", "a daily meter asks for more than 86,400 s and is granted it", 0, ALL_KEPT, plan=DAILY,
          strike=on("long-lifetime", value="honoured"), first=1, last=0),
    Fault("lifetime-cut", "a daily meter is granted more than 86,400 s, but the session ends after 86,400 s", 0,
          ALL_KEPT, plan=DAILY, strike=on("long-lifetime", value="cut"), first=1, last=0),
    # reports
    passing("ack-lost", "the ACK of a report is lost once", ALL_KEPT, "drop-ack", strikes=1),
    passing("every-ack-lost", "the reports of a wake are stored, every ACK is lost", REPEATED, "drop-ack"),
    passing("reports-lost", "the reports of a wake are neither stored nor acknowledged", ALL_KEPT, "drop-report"),
    passing("report-reset", "a report is answered with RST", ALL_KEPT, "reset-report", strikes=1),
    Fault("new-address-reset", "a device in light sleep reports through a new NAT binding: RST until it updates", 0,
          ALL_KEPT, plan=LIGHT_SLEEP, strike=both(rebind, on("reset-new-address")), heal=off("reset-new-address")),
    Fault("new-address-ignored", "a device in light sleep reports through a new NAT binding: ignored until it updates",
          0, ALL_KEPT, plan=LIGHT_SLEEP, strike=both(rebind, on("ignore-new-address")),
          heal=off("ignore-new-address")),
    # requests and commands
    passing("requests-doubled", "every request of the platform comes twice, with the same MID", ONCE,
            "duplicate-requests"),
    passing("commands-repeated", "an answered command comes again with a new MID and token, the same taskId", ONCE,
            "repeat-commands"),
    passing("commands-at-once", "all cached commands come at once", ONCE, "burst-commands"),
    passing("commands-non", "commands come NON", ONCE, "non-writes"),
    passing("every-request", "one request of every kind a server may send", ALL_KEPT, "every-request", strikes=1),
    passing("request-flood", "100 requests in a row", ALL_KEPT, "flood", strikes=1),
    passing("long-request-flood", "1000 requests in a row", ALL_KEPT, "flood", strikes=1, value=1000),
    passing("garbage", "20 datagrams of random bytes", ALL_KEPT, "garbage", strikes=1),
    passing("ping", "a CoAP ping", ALL_KEPT, "ping", strikes=1),
    passing("answers-late", "every answer of the platform comes 3 s late", REPEATED, "delay-answers", value=3.0),
    passing("answers-separate", "Register and Update are answered by an empty ACK and a message of its own", ALL_KEPT,
            "separate-answers"),
    passing("register-answered-separately", "the session is forgotten; Register gets an empty ACK, then its answer",
            ALL_KEPT, "separate-answers", anew=True),
    Fault("command-expired", "a command's ttl is over before the device has woken", 0, DROPPED,
          strike=command(CLOSE, ttl=1)),
    Fault("command-off-line", "a command with ttl 0 is given to a device whose session is over", 0, DROPPED,
          strike=both(on("forget-session"), command(CLOSE, ttl=0)), passing=True),
    Fault("command-malformed", "a command that is cut short JSON", 0,
          "readings; the device refuses the command (4.00) and keeps nothing of it",
          strike=command('{"serviceId":8001,"taskId":'), passing=True),
    Fault("command-longest", "a command of 1024 bytes, the most that the platform takes", 0, ONCE, strike=longest,
          passing=True),
)
