"""What the device says of itself to the server, objects 1, 3, 4 and 5, and where its writes and orders go.

Reads are here; writes and orders are rare and live in manage.py, loaded by the first of them.
"""

import uos
from micropython import const
from misc import Power

from link import cell

_LTE_FDD = const(6)  # network bearer (LwM2M 1.0 object 4, resource 0)
_BATTERY = const(1)  # available power source: internal battery
_KIB = const(1024)
_OMA = {17: 5, 16: 8}  # our faults as object 3's error codes: out of memory, peripheral malfunction; any other is
_CONNECTIVITY = const(7)  # IP connectivity failure


class Device:
    """`imei`, `endpoint`, `address`, `binding` ("U", "UQ") and `cell` are who and where we are at present. `server`
    keeps what the server has written of object 1: {"pmin", "pmax", "off" (disable timeout, s), "keep" (notification
    storing)}."""

    def __init__(self, settings, health, clock, server: dict) -> None:
        self._settings = settings
        self._health = health
        self._clock = clock
        self.server = server
        self.imei = self.endpoint = self.address = ""
        self.binding = "U"
        self.cell = 0  # serving, at the last attach
        self.update_result = 0  # object 5, resource 5

    def value(self, number: int, resource: int):
        """Value of a resource of object `number`, instance 0, a list where it holds instances, or None where this
        device has none."""
        if number == 1:
            return self._server(resource)
        if number == 3:
            return self._device(resource)
        if number == 4:
            return self._connectivity(resource)
        # Object 5 belongs to updates of the module's firmware, which there are none of yet: idle, by pull.
        return {3: 0, 5: self.update_result, 9: 0}.get(resource)

    def write(self, number: int, values: dict, replace: bool) -> int:
        """Takes {resource: value} of one object, all or nothing; returns the CoAP code."""
        from device import manage

        return manage.write(self, self._settings, number, values, replace)

    def execute(self, number: int, resource: int, arguments: bytes) -> int:
        """Takes an order, which is carried out when the exchanges of this wake are over; returns the CoAP code."""
        from device import manage

        return manage.execute(self._health, number, resource)

    def state(self, paths: list) -> str:
        """What counts as a change for observers of these paths who asked for nothing in particular; cheap to compare
        (m2m/notices.py decides)."""
        out = "%d %s %d" % (self._health.fault, self.binding, self.update_result)
        if [path for path in paths if path[0] != "3"]:
            out += " %s %d %d" % (self.address, self.cell, self._settings.values["lwm2m.lifetime"])
        return out

    def _server(self, resource: int):
        if resource == 0:
            return 1
        if resource == 1:
            return self._settings.values["lwm2m.lifetime"]
        if resource == 7:
            return self.binding
        name, default = {2: ("pmin", 0), 3: ("pmax", 0), 5: ("off", 86400), 6: ("keep", True)}.get(resource, ("", 0))
        return self.server.get(name, default) if name else None

    def _device(self, resource: int):
        if resource == 0:
            return "Quectel"
        if resource == 1:
            return cell.model()
        if resource == 2:
            return self.imei
        if resource == 3:
            return cell.firmware()
        if resource == 6:
            return [_BATTERY]
        if resource == 7:
            return [Power.getVbatt()]
        if resource in (10, 21):
            found = uos.statvfs("/usr")  # block size, -, blocks, free
            return found[0] * found[3 if resource == 10 else 2] // _KIB
        if resource == 11:
            return [_OMA.get(self._health.fault, _CONNECTIVITY) if self._health.fault else 0]
        if resource == 13:
            return self._clock.unix() or None
        if resource == 14:
            return self._clock.offset()
        return self.binding if resource == 16 else None

    def _connectivity(self, resource: int):
        if resource == 0:
            return _LTE_FDD
        if resource == 1:
            return [_LTE_FDD]
        if resource in (2, 3):
            signal = cell.signal()
            return None if signal is None else signal[resource - 2]
        if resource == 4:
            return [self.address]
        serving = cell.serving()
        name = {8: "cid", 9: "mnc", 10: "mcc"}.get(resource)
        return None if serving is None or name is None else serving[name]
