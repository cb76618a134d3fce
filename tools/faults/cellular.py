"""The cellular network, its data call, its name servers and the SIM."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tools.deployment import AEP_ADDRESS, AEP_ADDRESS_6, AEP_NAMES
from tools.faults import act
from tools.faults.fault import Fault
from tools.plan import Plan
from tools.scenario import Run

KEPT = "readings, in the outbox until the network is there; commands wait at the platform"
DENIED, NOWHERE = 3, 2  # net.getState (quecpython.md §3.1)
NO_SERVERS = ("0.0.0.0", "0.0.0.0")
PUBLIC_SERVER = "119.29.29.29"


def _carrier(**changes: Any) -> Callable[[Run], None]:
    return lambda run: act.carrier(run, **changes)


def _card(**state: Any) -> Callable[[Run], None]:
    return lambda run: act.card(run, **state)


def _names(fail: bool) -> Callable[[Run], None]:
    def strike(run: Run) -> None:
        run.network.names_fail = fail

    return strike


def _on(config: dict[str, Any] | None = None, names: tuple[str, ...] | None = None,
        **carrier: Any) -> Callable[[Plan], Plan]:
    """A plan on such a network."""

    def plan(plan: Plan) -> Plan:
        known = plan.names if names is None else {AEP_NAMES[0]: names}
        return replace(plan, config={**plan.config, **(config or {})}, names=known,
                       carrier={**plan.carrier, **carrier})

    return plan


def _pdp(needs: str, name: str, text: str, **more: Any) -> Fault:
    return Fault(name, text, kept=KEPT, strike=_carrier(pdp_after=needs), heal=act.carrier_again, last=0,
                 **{"ends": 0, "passing": True, **more})


FAULTS = (
    _pdp("dial", "pdp-needs-a-dial", "the firmware's data call fails; the application's own comes up"),
    _pdp("cfun", "pdp-needs-cfun", "the data call comes up only after CFUN 0 and 1"),
    _pdp("restart", "pdp-needs-a-restart", "the data call comes up only after a restart of the module"),
    _pdp("never", "no-pdp", "the data call never comes up again", ends=13, passing=False),
    Fault("no-coverage-for-a-wake", "there is no network in one wake", 0, KEPT,
          strike=_carrier(state=NOWHERE), heal=act.carrier_again, passing=True),
    Fault("no-coverage", "there is no network any more", 12, KEPT, strike=_carrier(state=NOWHERE), last=0),
    Fault("registration-denied", "the network refuses the SIM", 12, KEPT, strike=_carrier(state=DENIED), last=0),
    Fault("no-sim", "there is no SIM", 11, KEPT, strike=_card(status=0), last=0),
    Fault("sim-locked", "the SIM asks for its PIN", 11, KEPT, strike=_card(asks=True), last=0),
    Fault("sim-loose", "the SIM is not seen until CFUN 0 and 1 have started it again", 0, KEPT,
          strike=_card(loose=True), heal=_card(loose=False), passing=True),
    Fault("names-gone", "the name servers do not answer any more: the last good address serves", 0, KEPT,
          strike=_names(True), heal=_names(False), last=0, passing=True),
    Fault("no-names", "the name servers have never answered", 14, KEPT, strike=_names(True), first=1, last=0),
    Fault("no-name-server", "the network names no name server", 14, KEPT, plan=_on(dns=NO_SERVERS), first=0, last=0),
    Fault("name-server-by-setting", "the network names no name server; the setting link.dns does", 0, KEPT,
          plan=_on({"link.dns": PUBLIC_SERVER}, dns=NO_SERVERS), first=0, last=0),
    Fault("ipv6-only-name", "the APN gives IPv6 only; the platform is given by name", 0, KEPT,
          plan=_on(ip_version=6), first=0, last=0),
    Fault("ipv6-only-address", "the APN gives IPv6 only; the platform is given by address", 0, KEPT,
          plan=_on({"server.host": AEP_ADDRESS_6}, ip_version=6), first=0, last=0),
    Fault("ipv6-only-and-ipv4-platform", "the APN gives IPv6 only, the platform's name has IPv4 only", 14, KEPT,
          plan=_on(names=(AEP_ADDRESS,), ip_version=6), first=0, last=0),
    Fault("ipv4-and-ipv6", "the APN gives both", 0, KEPT, plan=_on(ip_version=46), first=0, last=0),
    Fault("psm-not-granted", "the network grants no PSM: the module sleeps lightly", 0, KEPT,
          plan=_on(psm=False), first=0, last=0),
    Fault("psm-granted-shorter", "T3412 is granted as one hour instead of six: wakes without anything due", 0, KEPT,
          plan=_on(tau_limits_s=(0, 3600)), first=0, last=0, wakes=14),
    Fault("psm-granted-longer", "T3412 is granted as a day instead of six hours: reports come late", 0,
          KEPT + "; readings between are not taken", plan=_on(tau_limits_s=(86400, 31 * 1152000)), first=0, last=0),
    Fault("no-fast-release", "AT+QSCLKEX has no effect: the network ends the connection, 12 s later", 0, KEPT,
          plan=_on(release_refusal=1.0), first=0, last=0),
)
