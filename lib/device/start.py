"""What a wake begins with: everything that was saved is loaded, and, once the link is up, who and where we are."""

import log

from device import commands, events, health, readings, settings, values
from link import cell, power
from link.clock import Clock
from link.entropy import random_bytes
from link.fault import Fault, NoModem
from store.journal import Journal
from store.outbox import Outbox
from store.record import Numbers, Record, directory
from store.shape import shaped

STATE = "/usr/state"

_UNASKED = (0, 2, 3, 5, 9)  # reasons of a power-on that nobody asked for: reset, supply, watchdog, dump

_log = log.getLogger("cycle")


class Wake:
    """One power-on as it begins."""

    def __init__(self) -> None:
        self.clock = Clock()

    def load(self) -> str:
        """The state WAKE; returns its event."""
        directory(STATE)
        self.health = health.Health(Record(STATE + "/health.rec"), Journal(STATE + "/journal", self.clock.now))
        self.settings = settings.Settings()
        self.power = power.Power(self.clock)
        found = self.settings.values
        if found is None:
            return "no settings"
        if self.settings.problem:
            self.health.count("config_refused")
            self.health.note(events.CONFIG_REFUSED)
            _log.error("%s; running on the last good settings", self.settings.problem)
        if self.settings.renewed:  # somebody was here, and has mended what a person had to
            self.health.not_before = 0
        # 64 and 16: a wake uses about ten message ids and two Observe numbers; the first id is random (RFC 7252 §4.4)
        start = random_bytes(2, cell.imei())
        first = {"boot": 1, "mid": start[0] << 8 | start[1], "seq": 1}
        self.numbers = Numbers(STATE + "/numbers.rec", {"boot": 1, "mid": 64, "seq": 16}, first)
        self.boots = self.numbers.next("boot")
        self.outbox = Outbox(STATE + "/outbox", found["outbox.limit"])
        if self.outbox.damaged:
            self.health.note(events.DAMAGED, 1)
        self.readings = readings.Readings(Record(STATE + "/readings.rec"), self.health)
        self.commands = commands.Commands(
            Record(STATE + "/commands.rec"), self.outbox, self.health, self.stamp, found["downlink.mode"] == "buffer"
        )
        self.saved = Record(STATE + "/session.rec")
        found_session = self.saved.load()
        self.kept = shaped(found_session, {"session": {}, "gap": 0, "server": {}, "boot": 0})
        if found_session is None and self.outbox.used():  # lost: what it counted is not known any more
            self.kept["boot"] = self.boots - 1
        self.gap = self.kept["gap"]
        self.device = values.Device(self.settings, self.health, self.clock, self.kept["server"])
        self.choose_sleep()
        self.health.note(events.BOOT, self.health.reason)
        _log.info("boot %d: %s", self.boots, self.health.reason_text())
        unfinished = self.boots - 1 - max(self.health.boot, self.kept["boot"])
        if unfinished > 1 and self.health.reason in _UNASKED:
            from device import trouble

            trouble.guard(self, unfinished)
        if found["power.mode"] == "psm" and not self.psm:
            self.health.note(events.LACKS, 1)
            _log.warning("this module has no PSM: light sleep between wakes")
        try:
            self.way = way(found)
            self.kept["session"] = shaped(self.kept["session"], self.way.SAVED)
        except Fault:  # ATTACH says it: till then readings are taken, and what is on trial has its wakes
            self.way = None
        return "ready"

    def choose_sleep(self) -> None:
        """How this module sleeps: by setting, and as far as it can."""
        mode = self.settings.values["power.mode"]
        self.psm = mode == "psm" and self.power.has_psm()
        self.power.awake = mode == "awake"

    def introduce(self, address: str) -> None:
        """Who and where we are, before a session is made. Raises NoModem."""
        device = self.device
        device.imei, device.address = cell.imei(), address
        if not device.imei:
            raise NoModem("no IMEI")
        device.binding = "UQ" if self.psm else "U"
        imsi = cell.imsi()
        device.endpoint = self.way.endpoint(self.settings.values, device.imei, imsi)
        serving = cell.serving()
        if serving is not None:
            device.cell = serving["cid"]
        _log.info("IMEI %s, IMSI %s, ICCID %s", device.imei, imsi, cell.iccid())
        _log.info("address %s, cell %s", address, "unknown" if serving is None else "%x" % serving["cid"])

    def stamp(self):
        """(Unix time or 0, what tells the time later where it is 0)."""
        return self.clock.unix(), {"b": self.boots, "u": self.clock.now()}


def way(found: dict):
    """The module of the protocol by setting: what others need is not loaded, nor need it be on this flash. Raises
    Fault."""
    protocol = found["protocol"]
    try:
        if protocol == "lwm2m":
            if found["lwm2m.engine"] != "python":
                from aep import lwm2m_modem

                return lwm2m_modem
            from aep import lwm2m

            return lwm2m
        if protocol == "tcp":
            from aep import tcp

            return tcp
        from aep import mqtt

        return mqtt
    except ImportError:
        raise Fault("this tree was built without protocol " + protocol)
