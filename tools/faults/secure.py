"""Faults of DTLS: keys and products that do not fit, sessions that one side has forgotten, what an attacker may send
again."""

from collections.abc import Callable
from dataclasses import replace

from tools.ctwing import dtls_own
from tools.ctwing.dtls_own_records import PSK_AES_128_CBC_SHA256
from tools.deployment import AEP_ADDRESS, AEP_PORT, DTLS_PORT
from tools.faults.datagrams import REPEATED
from tools.faults.fault import Fault
from tools.faults.moment import when
from tools.faults.platform import ALL_KEPT, NOT_PROVISIONED, ONCE, WAITS, Act, both, off, on, rebind
from tools.plan import Plan
from tools.scenario import Run

NO_DTLS, BAD_KEY, NO_SUITE = 31, 32, 33
"""Codes of lib/aep/dtls_faults.py."""

ID = 8  # bytes of a connection id


def dtls(connection_id: int = 0, **settings: object) -> Callable[[Plan], Plan]:
    """Under DTLS, with settings whose `_` stands for a dot, `__` for itself."""
    named = {name.replace("__", "\0").replace("_", ".").replace("\0", "_"): value for name, value in settings.items()}
    return lambda plan: replace(plan, protocol="lwm2m-dtls", connection_id=connection_id,
                                config={**plan.config, **named})


def asleep(connection_id: int = 0) -> Callable[[Plan], Plan]:
    return dtls(connection_id, power_mode="sleep", report_interval=1800)


def _plain_product(run: Run) -> None:
    """The device is created anew, under a product that knows no keys."""
    former = run.aep.device(run.device)
    product = run.aep.create_product("plain meters", endpoint_format=run.plan.endpoint_format)
    run.device = run.aep.create_device(product, name="meter", imei=former.imei, imsi=former.imsi)


def _cbc_alone(run: Run) -> None:
    engine = run.aep.dtls.engine
    assert isinstance(engine, dtls_own.Engine)  # as the plan's connection id has it
    engine.options = replace(engine.options, suites=(PSK_AES_128_CBC_SHA256,))


def _again(run: Run) -> None:
    """Whatever the platform has ever sent comes once more, when the device has just been heard."""

    def strike(run: Run) -> None:
        for datagram in [one for one in run.network.trace if one.direction == "down"][:200]:
            run.network.inject(datagram.data, (AEP_ADDRESS, DTLS_PORT))

    when(run, ("uplink",), strike)


def _network(**state: object) -> Act:
    def strike(run: Run) -> None:
        for name, value in state.items():
            setattr(run.network, name, value)

    return strike


def _for_all(name: str) -> Act:
    return lambda run: run.aep.fault(name)


FAULTS = (
    # for good
    Fault("dtls-to-a-plain-product", "the device has a key, its product is plain: the platform does not know the "
          "identity", BAD_KEY, WAITS, plan=dtls(), strike=_plain_product, first=1, last=0, wakes=2),
    Fault("plain-to-a-dtls-product", "the device has no key, its product asks for DTLS", NOT_PROVISIONED, WAITS,
          plan=dtls(security="none", server_port=AEP_PORT), first=1, last=0, wakes=2),
    Fault("dtls-wrong-key", "the device's key is not the one that the platform has", BAD_KEY, WAITS,
          plan=dtls(psk="NOTtheKEYofthis0"), first=1, last=0, wakes=2),
    Fault("dtls-hex-as-text", "the key's hex digits are given as its text", BAD_KEY, WAITS,
          plan=dtls(psk="4e4f546153454352"), first=1, last=0, wakes=2),
    Fault("dtls-wrong-identity", "the device gives another identity than its IMEI", BAD_KEY, WAITS,
          plan=dtls(psk__id="868543060000000"), first=1, last=0, wakes=2),
    Fault("dtls-silent-to-keys", "the server says nothing to ClientKeyExchange, as some do to a wrong key", BAD_KEY,
          WAITS, plan=dtls(), strike=on("silent-keys"), first=1, last=0, wakes=2),
    Fault("dtls-silent", "no ClientHello is answered", NO_DTLS, WAITS, plan=dtls(), strike=_for_all("silent-handshake"),
          first=1, last=0, wakes=2),
    Fault("dtls-no-common-suite", "the server has AES_128_CBC_SHA256 alone, the device offers AES_128_CCM_8", NO_SUITE,
          WAITS, plan=dtls(ID), strike=_cbc_alone, first=1, last=0, wakes=2),
    # what works all the same
    Fault("dtls-cbc-alone", "the server has AES_128_CBC_SHA256 alone, the device offers it as well", 0, ALL_KEPT,
          plan=dtls(ID, dtls_suites="ccm8+cbc"), strike=_cbc_alone, first=1, last=0),
    Fault("dtls-silent-for-a-wake", "no ClientHello is answered in one wake", 0, ALL_KEPT, plan=dtls(),
          strike=_for_all("silent-handshake"), heal=lambda run: (run.aep.heal("silent-handshake"), None)[1]),
    Fault("dtls-finished-lost", "the server's Finished is lost once", 0, ALL_KEPT, plan=dtls(),
          strike=on("lost-finished", 1)),
    Fault("dtls-needs-update", "a report in a new DTLS session is answered with RST until an Update has come", 0,
          ALL_KEPT, plan=dtls(), strike=on("reset-new-address"), last=0, wakes=6),
    Fault("dtls-ignores-new-session", "a report in a new DTLS session is ignored until an Update has come", 0, ALL_KEPT,
          plan=dtls(), strike=on("ignore-new-address"), last=0, wakes=6),
    # a session that is no more, or not there
    Fault("dtls-session-forgotten", "the platform has forgotten the DTLS session that a connection id kept", 0,
          ALL_KEPT, plan=dtls(ID), strike=on("forget-dtls")),
    Fault("dtls-session-forgotten-and-said", "the same, and the platform answers its records with a fatal alert that "
          "nobody can authenticate", 0, ALL_KEPT, plan=dtls(ID),
          strike=both(on("forget-dtls"), _for_all("alert-unknown-session"))),
    Fault("dtls-platform-restart", "the platform restarts between two wakes: it knows neither DTLS nor LwM2M sessions",
          0, ALL_KEPT, plan=dtls(ID), strike=on("restart")),
    Fault("dtls-session-forgotten-asleep", "the same of a device in light sleep", 0, ALL_KEPT, plan=asleep(),
          strike=on("forget-dtls")),
    Fault("dtls-session-ended-asleep", "the platform ends the DTLS session of a device in light sleep", 0, ALL_KEPT,
          plan=asleep(), strike=on("end-dtls")),
    Fault("dtls-nat-rebinding-asleep", "the carrier's NAT forgets a device in light sleep that has no connection id", 0,
          ALL_KEPT, plan=asleep(), strike=rebind),
    Fault("dtls-nat-rebinding-with-an-id", "the same with a connection id: the session goes on", 0, ALL_KEPT,
          plan=asleep(ID), strike=rebind),
    Fault("dtls-device-recreated", "the device is deleted and created again: same key, new device id", 0, ALL_KEPT,
          plan=dtls(ID), strike=lambda run: setattr(run, "device", run.aep.recreate(run.device)), first=4, last=4),
    # on the way
    Fault("dtls-loss-10-percent", "one datagram in ten is lost, either way", 0, REPEATED, plan=dtls(),
          strike=_network(loss=0.1), heal=_network(loss=0.0), last=5, wakes=7),
    Fault("dtls-duplicated-datagrams", "half of the datagrams arrive twice", 0, ONCE, plan=dtls(),
          strike=_network(duplicated=0.5), heal=_network(duplicated=0.0), last=5, wakes=7),
    Fault("dtls-reordered-datagrams", "a third of the datagrams are overtaken by later ones", 0, REPEATED, plan=dtls(),
          strike=_network(held_up=1 / 3), heal=_network(held_up=0.0), last=5, wakes=7),
    Fault("dtls-loss-with-an-id", "one datagram in ten is lost, either way, in sessions that connection ids keep", 0,
          REPEATED, plan=dtls(ID), strike=_network(loss=0.1), heal=_network(loss=0.0), last=5, wakes=7),
    Fault("dtls-replay", "all that the platform has ever sent comes again", 0, ONCE, plan=dtls(ID),
          strike=_again, wakes=5),
    Fault("dtls-garbage", "20 datagrams of random bytes inside the session", 0, ALL_KEPT, plan=dtls(),
          strike=on("garbage"), heal=off("garbage")),
    Fault("dtls-busy", "the session is forgotten, and Register is answered 5.03 for one wake", 0, ALL_KEPT, plan=dtls(),
          strike=both(on("forget-session"), on("refuse-register", value="5.03")), heal=off("refuse-register")),
)
