"""What the local AEP may do to a device on purpose: one table of fault switches, and which of them are on.

A switch is set for one device or for all, for so many strikes or until it is switched off. When it strikes is told by
`when`: at each message it is about, when a device is next heard, or at once. What a strike does is lwm2m.py's and
requests.py's.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from aiocoap.numbers.codes import Code

from tools.world.events import Events

MESSAGE, HEARD, NOW = "message", "heard", "now"
"""At each message it is about; when a device next registers, updates or reports; at once, and then it is over."""

STRIKES_LIMIT = 1_000_000
SECONDS_LIMIT = 3600
DAY = 86_400
COUNT_LIMIT = 1000


class BadSwitch(ValueError):
    """No such switch, or an argument that it does not take; the text says what it takes."""


def _code(value: Any) -> str:
    """A response code as "4.03"."""
    if not isinstance(value, str) or not re.fullmatch(r"[45]\.(0\d|1\d|2\d|3[01])", value):
        raise BadSwitch(f"{value!r} is not an error code such as 4.03 or 5.03")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= SECONDS_LIMIT:
        raise BadSwitch(f"{value!r} is not a time of up to {SECONDS_LIMIT} s")
    return float(value)


def _long(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= DAY:
        raise BadSwitch(f"{value!r} is not a time of up to {DAY} s")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= COUNT_LIMIT:
        raise BadSwitch(f"{value!r} is not a number of 1…{COUNT_LIMIT}")
    return value


def _up_to(most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            raise BadSwitch(f"{value!r} is not a code of 1…{most}")
        return value

    return check


def _one_of(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in words:
            raise BadSwitch(f"{value!r} is none of {', '.join(words)}")
        return value

    return check


def _none(value: Any) -> None:
    if value is not None:
        raise BadSwitch(f"this switch takes no argument, not {value!r}")


@dataclass(frozen=True)
class Switch:
    """`argument` names the argument that it takes, "" none; `default` is used where none is given."""

    name: str
    text: str
    when: str = MESSAGE
    argument: str = ""
    default: Any = None
    check: Callable[[Any], Any] = _none


TABLE: tuple[Switch, ...] = (
    # at registration
    Switch("refuse-register", "Register is answered with an error code", argument="code", default="4.03", check=_code),
    Switch("silent-register", "Register is not answered, and has no effect"),
    Switch("refuse-update", "Update is answered with an error code", argument="code", default="4.04", check=_code),
    Switch("silent-update", "Update is not answered, and has no effect"),
    Switch("long-lifetime", "lifetimes of up to 30 days are accepted, and honoured or cut to 86,400 s without a word",
           argument="honoured or cut", default="honoured", check=_one_of("honoured", "cut")),
    # of reports
    Switch("drop-ack", "a report is stored, its ACK is lost"),
    Switch("drop-report", "a report is neither stored nor acknowledged"),
    Switch("reset-report", "a report is answered with RST and not stored"),
    Switch("reset-new-address", "a report from another address than the device was last heard at is answered with RST"),
    Switch("ignore-new-address", "a report from another address than the device was last heard at is ignored"),
    # of the session and its observations
    Switch("forget-session", "registration and tokens are forgotten; the device is not told", when=NOW),
    Switch("forget-observation", "the tokens of 19/0/0 are forgotten; the registration stays", when=NOW),
    Switch("restart", "the platform restarts: all sessions are forgotten, what is stored is kept", when=NOW),
    Switch("re-observe", "19/0/0 is observed again with another token", when=HEARD),
    Switch("late-observe", "what follows a registration comes late", argument="seconds", default=5.0, check=_seconds),
    Switch("no-observe", "nothing is observed after a registration"),
    Switch("lost-observe", "a datagram that observes 19/0/0 is lost on the way"),
    # of the platform's own requests
    Switch("duplicate-requests", "every request datagram comes twice"),
    Switch("repeat-commands", "a command that was answered comes again with a new MID and token"),
    Switch("burst-commands", "all cached commands come at once, none waits for the answer to the one before"),
    Switch("non-writes", "commands are sent NON"),
    Switch("flood", "a burst of requests, none waits for an answer", when=HEARD, argument="requests", default=100,
           check=_count),
    Switch("garbage", "a burst of datagrams of random bytes", when=HEARD, argument="datagrams", default=20,
           check=_count),
    Switch("every-request", "one request of every kind a server may send", when=HEARD),
    Switch("ping", "a CoAP ping", when=HEARD),
    # of DTLS
    Switch("silent-handshake", "no ClientHello is answered; for all devices: nobody knows yet who it is"),
    Switch("wrong-psk", "the platform has another key for the device"),
    Switch("silent-keys", "what the server says from ClientKeyExchange on is lost, and its session forgotten"),
    Switch("lost-finished", "the server's Finished is lost"),
    Switch("forget-dtls", "the DTLS session is forgotten; the device is not told", when=NOW),
    Switch("alert-unknown-session", "a record of a DTLS session that is not known gets a fatal alert; for all "
           "devices"),
    Switch("end-dtls", "the DTLS session is ended by close_notify", when=NOW),
    # of MQTT and TCP; drop-ack, drop-report, reset-report and repeat-commands are theirs as well
    Switch("refuse-connect", "MQTT's CONNECT is answered with an error code", argument="code", default=3,
           check=_up_to(5)),
    Switch("refuse-login", "TCP's login is answered with an error result", argument="result", default=4,
           check=_up_to(4)),
    Switch("close-after-login", "the connection is closed as soon as its login was accepted"),
    Switch("half-open", "nothing that comes is read, nothing is answered or sent; the connection stays"),
    Switch("take-over", "a TCP login ends the device's other connection, where it would get result 4"),
    Switch("merge-frames", "what goes down waits a moment, and goes together with what follows"),
    Switch("split-frames", "what goes down goes byte by byte"),
    Switch("silent-beat", "a heartbeat or PINGREQ is not answered"),
    Switch("hostile-frames", "what goes down is replaced: by random bytes, by a length that is never reached, or by "
           "what another protocol's server says", argument="noise, long or foreign", default="noise",
           check=_one_of("noise", "long", "foreign")),
    Switch("ban", "the address of a TCP device that connected is kept out, until it is switched off at the latest", NOW,
           "seconds", 7200.0, _long),
    # of all answers
    Switch("delay-answers", "answers come late", argument="seconds", default=3.0, check=_seconds),
    Switch("separate-answers", "Register and Update get an empty ACK, then their answer as a message of its own"),
)

BY_NAME = {switch.name: switch for switch in TABLE}


@dataclass
class Armed:
    """A switch that is on; `left` None: until it is switched off."""

    switch: Switch
    device: str | None
    left: int | None
    value: Any
    struck: int = 0


def switch_named(name: Any) -> Switch:
    if not isinstance(name, str) or name not in BY_NAME:
        raise BadSwitch(f"there is no switch {name!r}; there are {', '.join(BY_NAME)}")
    return BY_NAME[name]


class Faults:
    """The switches that are on, by (name, device id); device None is every device."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._armed: dict[tuple[str, str | None], Armed] = {}

    def set(self, name: str, device: str | None = None, *, strikes: int | None = None, value: Any = None) -> Armed:
        """Switches on, for so many strikes or (None) until cleared; raises BadSwitch."""
        switch = switch_named(name)
        if strikes is not None and (isinstance(strikes, bool) or not isinstance(strikes, int)
                                    or not 0 < strikes <= STRIKES_LIMIT):
            raise BadSwitch(f"{strikes!r} is not a number of strikes, 1…{STRIKES_LIMIT}")
        armed = Armed(switch, device, strikes, switch.check(switch.default if value is None else value))
        if switch.when != NOW:
            self._armed[name, device] = armed
            self._emit(f"{name} is on{_for(device)}{_shown(armed.value)}", armed, "on")
        return armed

    def clear(self, name: str, device: str | None = None) -> bool:
        """Switches off; whether it was on. What is set for every device and what for one are switched apart."""
        armed = self._armed.pop((switch_named(name).name, device), None)
        if armed is None:
            return False
        self._emit(f"{name} is off{_for(device)}, it struck {armed.struck} times", armed, "off")
        return True

    def on(self) -> Collection[Armed]:
        """Every switch that is on, in the order they were set."""
        return self._armed.values()

    def take(self, name: str, device: str) -> Any:
        """What the switch does to this message of this device: its argument (True where it takes none), or None where
        it is off. It has then struck once more."""
        armed = self._armed.get((name, device)) or self._armed.get((name, None))
        if armed is None:
            return None
        armed.struck += 1
        self._emit(f"{name}: {armed.switch.text}{_shown(armed.value)}", armed, "strikes", device)
        if armed.left is not None:
            armed.left -= 1
            if not armed.left:
                self.clear(name, armed.device)
        return True if armed.value is None else armed.value

    def struck(self, switch: Switch, device: str | None) -> None:
        """A switch that strikes at once has done so."""
        self._emit(f"{switch.name}: {switch.text}", Armed(switch, device, None, None), "strikes")

    def _emit(self, text: str, armed: Armed, what: str, device: str | None = None) -> None:
        self.events.emit("aep", "switch", text, switch=armed.switch.name, what=what, device=device or armed.device,
                         value=armed.value)


def code_named(text: str) -> Code:
    """The code of "4.03"."""
    number, _, detail = text.partition(".")
    return Code(int(number) << 5 | int(detail))


def _for(device: str | None) -> str:
    return "" if device is None else f" for {device[:8]}…"


def _shown(value: Any) -> str:
    return "" if value is None else f" ({value})"
