"""What a server may change or order of objects 1, 3 and 5. Loaded only where it does."""

import utime
from machine import RTC
from micropython import const

from coap.message import BAD_REQUEST, CHANGED, METHOD_NOT_ALLOWED, UNAVAILABLE
from device import orders, settings

_LONGEST_OFF = const(86400)  # s a server may switch the device off for (1/0/5); longer is taken as this
_UNSUPPORTED = const(9)  # 5/0/5: unsupported protocol
_EARLIEST = const(1704067200)  # 2024-01-01: no server writes an earlier time
_LATEST = const(4102444800)  # 2100-01-01

# (object, resource) -> order
_ORDERS = {(3, 4): orders.REBOOT, (1, 8): orders.UPDATE, (1, 4): orders.DISABLE}


# Object 1: resource -> name in what is kept of it
_NAMES = {2: "pmin", 3: "pmax", 5: "off", 6: "keep"}


def write(device, kept, number: int, values: dict, replace: bool) -> int:
    """Checks everything first, then changes it. `replace`: what of object 1 is not among `values` has its default."""
    acts = []
    for resource in sorted(values):
        act = _change(device, kept, number, resource, values[resource])
        if not callable(act):
            return act
        acts.append(act)
    if number == 1:
        pmin, pmax = [values.get(n, device.server.get(name, 0)) for n, name in ((2, "pmin"), (3, "pmax"))]
        if pmax and pmin > pmax:
            return BAD_REQUEST
    try:
        for act in acts:  # the lowest number first: it alone is written to flash, and the flash may refuse
            act()
    except OSError:
        return UNAVAILABLE
    if number == 1 and replace:
        for resource in _NAMES:
            if resource not in values:
                device.server.pop(_NAMES[resource], None)
    return CHANGED


def _change(device, kept, number: int, resource: int, value):
    """What carries the change out, or the code of its refusal."""
    if number == 1:
        return _server(device, kept, resource, value)
    if (number, resource) == (3, 13):
        return (lambda: set_clock(value)) if _EARLIEST <= value < _LATEST else BAD_REQUEST
    if (number, resource) == (5, 1):  # a package of the module's firmware: nothing here can fetch one
        return lambda: _result(device, _UNSUPPORTED if value else 0)
    return METHOD_NOT_ALLOWED


def _server(device, kept, resource: int, value):
    if resource == 1:
        try:
            settings.check("lwm2m.lifetime", value)
        except settings.BadSetting:
            return BAD_REQUEST
        return lambda: _lifetime(device, kept, value)
    if resource == 7:  # queue mode follows from how the device sleeps
        return (lambda: None) if value == device.binding else BAD_REQUEST
    name = _NAMES.get(resource)
    if name is None:
        return METHOD_NOT_ALLOWED
    return (lambda: _note(device, name, value)) if 0 <= value <= 0x7FFFFFFF else BAD_REQUEST


def _lifetime(device, kept, value: int) -> None:
    if kept.values["lwm2m.lifetime"] != value:
        kept.change("lwm2m.lifetime", value)  # on trial, as a change by command
        orders.ask(orders.UPDATE)  # LwM2M 1.0 §5.3.2: the server is told


def _note(device, name: str, value) -> None:
    device.server[name] = value


def _result(device, value: int) -> None:
    device.update_result = value


def execute(health, number: int, resource: int) -> int:
    """Notes an order. 5/0/2 belongs to updates: nothing is downloaded, so nothing can be installed."""
    if (number, resource) == (3, 12):
        health.fault = 0
        return CHANGED
    order = _ORDERS.get((number, resource))
    if order is None:
        return METHOD_NOT_ALLOWED
    orders.ask(order)
    return CHANGED


def set_clock(unix: int) -> None:
    """The RTC, from Unix time; local time by the zone that is set. `RTC.datetime` has the weekday at 3 and Sunday as 0,
    `localtime` Monday as 0, and `localtime(s)` is UTC+8 (quecpython.md §1.6, §3.7)."""
    t = utime.localtime(unix + (utime.getTimeZone() - 8) * 3600)
    RTC().datetime((t[0], t[1], t[2], (t[6] + 1) % 7, t[3], t[4], t[5], 0))
