"""Faults of connections: MQTT by our own client and by the firmware's, MQTTS, and TCP in its versions 1.0 and 1.1.

A row is named after its way, since one and the same fault may look otherwise to each of them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tools.ctwing import things
from tools.deployment import TOKEN
from tools.faults import act
from tools.faults.fault import Fault
from tools.faults.moment import when
from tools.faults.platform import (
    ALL_KEPT,
    NOT_PROVISIONED,
    ONCE,
    REPEATED,
    SILENT,
    WAITS,
    WRONG_VERSION,
    Act,
    both,
    off,
    on,
    recreate,
)
from tools.faults.platform import REFUSED as OTHER
from tools.module.board import Identity
from tools.plan import Plan
from tools.scenario import Run
from tools.world.network import MUTE, OPEN, REFUSED

NO_CONNECTION, LOST, LOGGED_IN, BAD_FRAME, NOT_CONFIRMED = 41, 42, 43, 46, 47
"""Codes of lib/aep/stream_faults.py."""

MODEL = {"payload": "thing-binary", "tcp.version": "1.1"}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "mqtt": ("mqtt", {}),
    "native": ("mqtt", {"mqtt.engine": "native"}),
    "mqtts": ("mqtts", {}),
    "mqtts-native": ("mqtts", {"mqtt.engine": "native"}),
    "tcp": ("tcp", {}),
    "tcp-1.1": ("tcp", MODEL),
}
"""Protocol and settings, by the first words of a row's name."""

OURS, MQTT, TCP = ("mqtt", "tcp", "tcp-1.1"), ("mqtt", "native"), ("tcp", "tcp-1.1")
CLEAR = (*MQTT, *TCP)
ASLEEP = {"power.mode": "sleep", "report.interval": 1800}

BACK_OFF = "BACK_OFF"
"""In the journal of most that end a wake's try."""


def way(name: str, **settings: Any) -> Callable[[Plan], Plan]:
    """A plan of this way, with settings whose `_` stands for a dot."""
    protocol, config = WAYS[name]
    named = {key.replace("_", "."): value for key, value in settings.items()}
    return lambda plan: replace(plan, protocol=protocol, config={**plan.config, **config, **named})


def uncommanded(name: str) -> Callable[[Plan], Plan]:
    """Without commands: a device's go with it."""
    return lambda plan: replace(way(name)(plan), commands=False)


def telling(name: str) -> Callable[[Plan], Plan]:
    """On an image whose MQTT client tells the truth; that of another hands over, and does not see what is lost."""
    return lambda plan: replace(way(name)(plan), umqtt_tells=True)


def asleep(name: str) -> Callable[[Plan], Plan]:
    """In light sleep, where one connection is kept."""
    return lambda plan: replace(way(name)(plan), config={**way(name)(plan).config, **ASLEEP})


def each(ways: tuple[str, ...], name: str, text: str, ends: int, kept: str, *, plan=way, **more: Any) -> list[Fault]:
    """The row of each of these ways."""
    return [Fault(f"{one}-{name}", text, ends, kept, plan=plan(one), **more) for one in ways]


def for_good(ways: tuple[str, ...], name: str, text: str, ends: int, strike: Act) -> list[Fault]:
    """From the first wake on, for ever."""
    return each(ways, name, text, ends, WAITS, strike=strike, first=1, last=0, wakes=2)


def a_wake(ways: tuple[str, ...], name: str, text: str, kept: str, switch: str, strikes: int | None = None,
           value: Any = None, *, journal: str = BACK_OFF, plan=way) -> list[Fault]:
    """A switch that is on for one wake."""
    return each(ways, name, text, 0, kept, plan=plan, strike=on(switch, strikes, value), heal=off(switch),
                journal=journal)


def in_sleep(ways: tuple[str, ...], name: str, text: str, kept: str, strike: Act, **more: Any) -> list[Fault]:
    """What befalls a connection that is kept in light sleep."""
    return each(ways, name, text, 0, kept, plan=asleep, strike=strike, journal="PATH_LOST", **more)


def ports(state: str) -> Act:
    return lambda run: setattr(run.network, "ports", state)


def later(strike: Act) -> Act:
    """A minute later: a command that the platform has just sent is not what is to be lost with a connection."""
    return lambda run: (run.aep.loop.call_later(60, strike, run), None)[1]


def forgotten(half_open: bool) -> Act:
    """The carrier's NAT forgets the connection. What then comes from the module is answered with RST, or not at all."""
    return both(lambda run: setattr(run.network.flows, "half_open", half_open),
                later(lambda run: run.network.flows.forget()))


def seen_again(run: Run) -> None:
    run.network.flows.half_open = False


def deaf(run: Run) -> None:
    """From the first byte on, whoever it is."""
    run.aep.fault("half-open")


def hearing(run: Run) -> None:
    run.aep.heal("half-open")


def in_a_report(run: Run) -> None:
    when(run, ("uplink",), act.new_address)


def watchdog(run: Run) -> None:
    """The module is reset in the midst of a connection, which the platform goes on to count."""
    when(run, ("uplink",), lambda run: act.reset(run, "watchdog", 5))


def token(value: str) -> Act:
    """The platform has another token of the device."""
    return lambda run: run.aep.store.renew_device(run.device, value, run.aep.loop.time())


def new_token(run: Run) -> None:
    """Somebody has given the device the token that the platform shows now, a wake later."""
    act.configure(run, device_token=run.aep.device(run.device).token)


def other_model(run: Run) -> None:
    """The device's product has AEP's standard water meter, which lacks fields of this tree's services."""
    product = run.aep.create_product("standard meters", protocol="tcp", transparent=False, services=things.WATER_METER)
    run.device = run.aep.create_device(product, name="meter", number=Identity().imei, token=TOKEN)
    act.configure(run, device_id=run.device)


def names(fail: bool) -> Act:
    return lambda run: setattr(run.network, "names_fail", fail)


CONNACKS = {1: WRONG_VERSION, 2: NOT_PROVISIONED, 3: OTHER, 4: NOT_PROVISIONED, 5: NOT_PROVISIONED}
LOGINS = {1: OTHER, 2: NOT_PROVISIONED, 3: NOT_PROVISIONED, 4: LOGGED_IN}

FAULTS: tuple[Fault, ...] = (
    # no way in, for good
    *[row for code, ends in CONNACKS.items() for row in for_good(
        MQTT, f"connack-{code}", f"CONNECT is answered {code}", ends, on("refuse-connect", value=code))],
    *[row for code, ends in LOGINS.items() for row in for_good(
        ("tcp",), f"login-{code}", f"the login is answered {code}", ends, on("refuse-login", value=code))],
    *each(("mqtt", "tcp"), "not-provisioned", "the device does not exist on the platform", NOT_PROVISIONED, WAITS,
          plan=lambda name: lambda plan: replace(way(name)(plan), provisioned=False), first=1, last=0, wakes=2),
    *for_good(CLEAR, "refused", "nobody listens at the platform's port", NO_CONNECTION, ports(REFUSED)),
    *for_good(CLEAR, "silent", "no SYN is answered", NO_CONNECTION, ports(MUTE)),
    *for_good(OURS, "silent-login", "the connection stands, nothing is ever answered", SILENT, deaf),
    *for_good(("native",), "silent-login", "the connection stands, nothing is ever answered: the firmware says 110, as "
              "where no SYN is", NO_CONNECTION, deaf),
    *for_good(CLEAR, "closed-at-once", "the platform closes every connection right after its login", LOST,
              on("close-after-login")),
    *each(MQTT, "no-puback", "no report is acknowledged", NOT_CONFIRMED, WAITS, plan=telling, strike=on("drop-report"),
          first=2, last=0),
    *for_good(("tcp-1.1",), "no-82", "no report is acknowledged", NOT_CONFIRMED, on("drop-report")),
    *for_good(("tcp",), "no-beat", "no heartbeat is answered", NOT_CONFIRMED, on("silent-beat")),
    *for_good(("tcp-1.1",), "other-model", "the product's services are not those of the device: every report is "
              "answered with result 1 (MQTT acknowledges and drops them without a word)", OTHER, other_model),
    *[row for kind, text in (("noise", "random bytes"), ("long", "a length of megabytes"), ("foreign", "HTTP"))
      for row in for_good(OURS, f"hostile-{kind}", f"the platform's first answer is {text}",
                          BAD_FRAME, on("hostile-frames", value=kind))],
    # no way in, for a while
    *each(CLEAR, "refused-for-a-wake", "nobody listens at the platform's port in one wake", 0, ALL_KEPT,
          strike=ports(REFUSED), heal=ports(OPEN), journal=BACK_OFF),
    *each(CLEAR, "silent-for-a-wake", "no SYN is answered in one wake", 0, ALL_KEPT, strike=ports(MUTE),
          heal=ports(OPEN), journal=BACK_OFF),
    *each(CLEAR, "silent-login-for-a-wake", "in one wake nothing is answered once the connection stands", 0, ALL_KEPT,
          strike=deaf, heal=hearing, journal=BACK_OFF),
    *each(("mqtt", "tcp"), "names-gone", "the name servers do not answer any more: the last good address serves", 0,
          ALL_KEPT, strike=names(True), heal=names(False), last=0, journal="NAME_KEPT"),
    *a_wake(("mqtt", "native"), "unavailable", "CONNECT is answered 3 in one wake", ALL_KEPT, "refuse-connect"),
    *each(("tcp",), "still-logged-in", "a reset in the midst of a connection: the next login is answered 4 until the "
          "platform has missed a heartbeat", 0, REPEATED, strike=watchdog, journal=BACK_OFF),
    *each(TCP, "banned", "the address is kept out for two hours", 0, ALL_KEPT,
          strike=on("ban"), plan=lambda name: way(name, report_interval=1800), wakes=10, journal=BACK_OFF),
    *each(("mqtt", "native", "tcp"), "token-changed", "the platform has another token for a wake; the device tries "
          "again a day later", 0, ALL_KEPT, strike=token("another"), heal=token(TOKEN), wakes=10, journal=BACK_OFF),
    *each(("mqtt", "tcp"), "device-recreated", "the device is deleted and created again; its new token is in "
          "config.json a wake later", 0, ALL_KEPT, plan=uncommanded, strike=recreate, heal=new_token, first=4, last=4,
          wakes=12, journal=BACK_OFF),
    # the connection ends, or is in doubt
    *a_wake(CLEAR, "closed-at-once-for-a-wake", "in one wake the platform closes each connection after its login",
            ALL_KEPT, "close-after-login"),
    *a_wake(CLEAR, "reset-in-a-report", "RST instead of the acknowledgement of a report", ALL_KEPT, "reset-report",
            1, journal="FAULT"),
    *a_wake(MQTT, "puback-lost", "a report is stored, its PUBACK is lost", REPEATED, "drop-ack", 1, plan=telling),
    *a_wake(("tcp-1.1",), "82-lost", "a report is stored, its acknowledgement is lost", REPEATED, "drop-ack", 1),
    *a_wake(("tcp",), "beat-lost", "a heartbeat's answer is lost", REPEATED, "silent-beat", 1),
    *a_wake(CLEAR, "half-open", "in one wake nothing of the device is read after its login", ALL_KEPT, "half-open"),
    *each(CLEAR, "new-address-in-a-wake", "the data call drops while a report waits for its acknowledgement; the new "
          "one has another address", 0, REPEATED, strike=in_a_report, journal="FAULT"),
    # what comes down
    *a_wake(CLEAR, "frames-merged", "what goes down goes together with what follows", ONCE, "merge-frames", journal=""),
    *a_wake(CLEAR, "frames-split", "what goes down goes byte by byte", ONCE, "split-frames", journal=""),
    *a_wake(("mqtt", "native", "tcp-1.1"), "commands-repeated", "an acknowledged command comes again, the same taskId",
            ONCE, "repeat-commands", journal="REPEATED"),
    *[row for kind, text in (("noise", "random bytes"), ("long", "a length of megabytes"), ("foreign", "HTTP"))
      for plan, ways in ((way, ("mqtt", "native", "tcp-1.1")), (uncommanded, ("tcp",)))
      for row in a_wake(ways, f"hostile-{kind}-for-a-wake", f"in one wake the platform's first answer is {text}",
                        ALL_KEPT, "hostile-frames", 1, kind, plan=plan)],
    # a connection that is kept
    *in_sleep(CLEAR, "asleep-nat-idle", "the carrier's NAT has forgotten the connection and says so", ALL_KEPT,
              forgotten(False)),
    *in_sleep(CLEAR, "asleep-nat-silent", "the carrier's NAT has forgotten the connection and says nothing", ALL_KEPT,
              forgotten(True), heal=seen_again),
    *in_sleep(CLEAR, "asleep-half-open", "the platform reads nothing for half an hour and lets the connection be",
              ALL_KEPT, on("half-open"), heal=off("half-open")),
    *in_sleep(CLEAR, "asleep-new-address", "the data call drops and has another address", ALL_KEPT,
              later(act.new_address)),
    *in_sleep(CLEAR, "asleep-restart", "the platform restarts between two reports", ALL_KEPT, on("restart")),
    *in_sleep(CLEAR, "asleep-closed-at-once", "for hours the platform closes every connection after its login",
              ALL_KEPT, both(on("restart"), on("close-after-login")), heal=off("close-after-login"), last=12, wakes=20),
)
