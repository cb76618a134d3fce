"""What the field may bring: one table of named faults, each with its expected end.

A fault strikes before one wake and heals after another, or never. `python -m tools run --fault NAME` shows it,
`--fault random` draws from those that pass; docs/failure-semantics.md is written from the table, and a test walks it.
"""

from dataclasses import replace

from tools.faults import cellular, connections, datagrams, hardware, platform, secure, tls
from tools.faults.fault import Fault

ROOMS: dict[str, tuple[Fault, ...]] = {
    "On the way": datagrams.FAULTS,
    "Network and SIM": cellular.FAULTS,
    "The module": hardware.FAULTS,
    "The platform": platform.FAULTS,
    "DTLS": secure.FAULTS,
    "MQTT and TCP": connections.FAULTS,
    "MQTTS": tls.FAULTS,
}
"""The table by where a fault comes from."""

JOURNAL = {
    "new-address-in-a-wake": "FAULT", "strangers-requests-unfiltered": "STRANGERS", "empty-datagram": "FAULT",
    "socket-errors": "BACK_OFF", "no-sockets": "BACK_OFF", "pdp-needs-a-dial": "REDIALED",
    "pdp-needs-cfun": "CFUN_CYCLED", "pdp-needs-a-restart": "RESTART", "no-coverage-for-a-wake": "BACK_OFF",
    "sim-loose": "CFUN_CYCLED", "names-gone": "NAME_KEPT", "psm-not-granted": "PSM_REFUSED",
    "psm-granted-shorter": "PSM_SHORTER", "psm-granted-longer": "PSM_LONGER", "no-fast-release": "UNRELEASED",
    "at-errors": "UNRELEASED", "at-silent": "UNRELEASED", "platform-busy": "BACK_OFF", "platform-silent": "BACK_OFF",
    "platform-silent-at-register": "BACK_OFF", "platform-restart": "SHORT_CUT", "update-4.04": "SHORT_CUT",
    "update-silent": "SHORT_CUT", "session-forgotten": "SHORT_CUT", "observation-forgotten": "FAULT",
    "observe-very-late": "FAULT", "observe-missing": "FAULT", "lifetime-cut": "SHORT_CUT", "every-ack-lost": "BACK_OFF",
    "reports-lost": "BACK_OFF", "report-reset": "FAULT", "new-address-reset": "SHORT_CUT",
    "new-address-ignored": "SHORT_CUT", "commands-repeated": "REPEATED", "long-request-flood": "FAULT",
    "dtls-silent-for-a-wake": "BACK_OFF", "dtls-needs-update": "SHORT_CUT", "dtls-ignores-new-session": "SHORT_CUT",
    "dtls-session-forgotten": "SHORT_CUT", "dtls-session-forgotten-and-said": "SHORT_CUT",
    "dtls-platform-restart": "SHORT_CUT", "dtls-session-forgotten-asleep": "SHORT_CUT",
    "dtls-session-ended-asleep": "SECURED", "dtls-nat-rebinding-asleep": "SECURED", "dtls-busy": "BACK_OFF",
}
"""The event that the device's journal holds of a fault, where it can know of it; of one that ends in an error always
FAULT with the error's code."""

TABLE: tuple[Fault, ...] = tuple(
    replace(fault, journal=fault.journal or JOURNAL.get(fault.name, "FAULT" if fault.ends else ""))
    for faults in ROOMS.values() for fault in faults
)

BY_NAME = {fault.name: fault for fault in TABLE}

__all__ = ["BY_NAME", "ROOMS", "TABLE", "Fault"]
