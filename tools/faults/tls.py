"""Faults of MQTTS: certificates that do not hold, a CA that is not there, a clock that is not set, ports that are mixed
up. Where the platform cannot be verified nothing is sent to it."""

from collections.abc import Callable
from dataclasses import replace

from tools.ctwing.tls import SERVER_DAYS, Authority
from tools.deployment import CA_FILE, MQTT_PORT, MQTTS_PORT, STREAM_ADDRESS
from tools.faults import act
from tools.faults.connections import BACK_OFF, LOST, NO_CONNECTION, a_wake, each, ports, way
from tools.faults.fault import Fault
from tools.faults.platform import ALL_KEPT, ONCE, WAITS, Act, on
from tools.plan import Plan
from tools.scenario import Run
from tools.world.network import OPEN, REFUSED

BAD_CERTIFICATE, NO_TLS = 44, 45
"""Codes of lib/aep/stream_faults.py."""

DAY = 86400
BOTH = ("mqtts", "mqtts-native")
OTHER_NAME = "meters.example"


def ca(make: Callable[[Run], bytes | None]) -> Act:
    """The file of the CA is this on the device; None: it is not there."""
    return lambda run: act.file(run, CA_FILE, make(run))


def stranger(run: Run) -> bytes:
    return Authority(run.aep.loop.time()).ca_pem.encode()


def cut_short(run: Run) -> bytes:
    return run.aep.ca_pem.encode()[:300]


def again(run: Run) -> bytes:
    return run.aep.ca_pem.encode()


def expired(run: Run) -> None:
    """The platform has let its certificate expire a week ago; the CA is a good one."""
    authority = Authority(run.aep.loop.time() - (SERVER_DAYS + 7) * DAY)
    act.file(run, CA_FILE, authority.ca_pem.encode())
    act.serve(run, "mqtts", authority)


def renewed(run: Run) -> None:
    """The platform has another certificate of the same CA."""
    act.serve(run, "mqtts")


def years_ahead(run: Run) -> None:
    act.jump_clock(run, (SERVER_DAYS + 7) * DAY)


def named(name: str) -> Callable[[Plan], Plan]:
    """The platform is looked for under a name that its certificate does not have."""
    return lambda plan: replace(way(name, server_host=OTHER_NAME)(plan), names={OTHER_NAME: (STREAM_ADDRESS,)})


def without_time(name: str) -> Callable[[Plan], Plan]:
    return lambda plan: replace(way(name)(plan), carrier={"nitz": False})


def to_port(number: int) -> Callable[[str], Callable[[Plan], Plan]]:
    return lambda name: way(name, server_port=number)


def also(protocol: str) -> Act:
    return lambda run: act.serve(run, protocol)


def _for_good(name: str, text: str, ends: int, ways: tuple[str, ...] = BOTH, *, strike: Act = renewed,
              plan: Callable[[str], Callable[[Plan], Plan]] = way) -> list[Fault]:
    return each(ways, name, text, ends, WAITS, plan=plan, strike=strike, first=1, last=0, wakes=2)


FAULTS: tuple[Fault, ...] = (
    *_for_good("wrong-ca", "the CA on the device is another than the platform's", BAD_CERTIFICATE, strike=ca(stranger)),
    *_for_good("no-ca", "the file of the CA is not there", BAD_CERTIFICATE, strike=ca(lambda run: None)),
    *_for_good("broken-ca", "the file of the CA is cut short", BAD_CERTIFICATE, strike=ca(cut_short)),
    *_for_good("expired", "the platform's certificate has expired", BAD_CERTIFICATE, strike=expired),
    *_for_good("other-name", "the certificate is not that of server.host", BAD_CERTIFICATE, plan=named),
    *_for_good("clock-never-set", "the network never tells the time, so nobody can say whether a certificate has "
               "expired", NO_TLS, plan=without_time),
    *each(BOTH, "clock-years-ahead", "the clock goes two years ahead, and the certificate has expired by it; the "
          "network tells the time with an attach alone, so the radio is switched off and on", 0, ALL_KEPT,
          strike=years_ahead, last=0, journal="CFUN_CYCLED"),
    *_for_good("to-a-plain-port", "TLS is spoken to the port of plain MQTT", NO_TLS, plan=to_port(MQTT_PORT),
               strike=also("mqtt")),
    *_for_good("to-a-tls-port", "the port of MQTTS is spoken to without TLS; it resets the connection", LOST,
               ("mqtt", "tcp"), plan=to_port(MQTTS_PORT), strike=also("mqtts")),
    *_for_good("refused", "nobody listens at the platform's port", NO_CONNECTION, strike=ports(REFUSED)),
    *_for_good("closed-at-once", "the platform closes every connection right after its login", LOST,
               strike=on("close-after-login")),
    *each(BOTH, "wrong-ca-for-a-wake", "the CA on the device is another than the platform's, until somebody replaces "
          "the file", 0, ALL_KEPT, strike=ca(stranger), heal=ca(again), wakes=10, journal=BACK_OFF),
    *each(BOTH, "certificate-renewed", "the platform has another certificate of the same CA", 0, ALL_KEPT,
          strike=renewed, last=0),
    *each(BOTH, "refused-for-a-wake", "nobody listens at the platform's port in one wake", 0, ALL_KEPT,
          strike=ports(REFUSED), heal=ports(OPEN), journal=BACK_OFF),
    *a_wake(BOTH, "reset-in-a-report", "RST instead of the acknowledgement of a report", ALL_KEPT, "reset-report", 1,
            journal="FAULT"),
    *a_wake(BOTH, "half-open", "in one wake nothing of the device is read after its login", ALL_KEPT, "half-open"),
    *a_wake(("mqtts",), "frames-split", "what goes down goes byte by byte", ONCE, "split-frames", journal=""),
    *a_wake(("mqtts",), "hostile-noise-for-a-wake", "in one wake the platform's first answer is random bytes", ALL_KEPT,
            "hostile-frames", 1),
)
