"""The object tree a server may ask for (LwM2M 1.0 appendix E, the part AEP asks for): links, reads and their formats.

The values come from outside: `value(object, resource)` gives str, int or None ("this device has no such value"), and
nothing here knows where from. Object 19 is AEP's data channel: 19/0/0 goes up by notification, 19/1/0 comes down by
Write (ctwing.md §2.2).
"""

from coap.message import CONTENT, METHOD_NOT_ALLOWED, NOT_ACCEPTABLE, NOT_FOUND, OPAQUE, TEXT, TLV
from m2m import tlv

UPLINK = "19/0/0"
DOWNLINK = "19/1/0"

# object id -> resources that can be read
READABLE = {
    1: (0, 1, 7),  # short server id, lifetime, binding
    3: (0, 1, 2, 3, 7, 9, 11, 13, 16),  # maker, model, serial, firmware, mV, %, error code, time, binding
    4: (0, 2, 3, 4, 8, 9, 10),  # bearer, RSRP, RSRQ, address, cell id, MNC, MCC
}
MULTIPLE = ((3, 7), (3, 11), (4, 4))  # these hold instances (appendix E.4, E.5): one each here, TLV only (§6.4)

LINKS = b'</>;rt="oma.lwm2m",</1/0>,</3/0>,</4/0>,</19/0>,</19/1>'


class Tree:
    """Answers reads. `value` as above."""

    def __init__(self, value) -> None:
        self.value = value

    def read(self, path: str, accept=None):
        """(code, Content-Format or None, payload) for a GET on "object[/instance[/resource]]"; `accept` is the format
        asked for, or None. A resource is text unless TLV is asked for, all else is TLV."""
        if path == UPLINK:
            # Empty: whether AEP stores the first body as data is unknown (ctwing.md §2.3). Whatever it accepts: a 4.06
            # would cost the only way up.
            return CONTENT, OPAQUE, b""
        ids = known(path)
        if not ids:
            return NOT_FOUND, None, b""
        if ids[0] == 19:
            return METHOD_NOT_ALLOWED, None, b""
        form = TLV
        if len(ids) < 3:
            payload = self._instance(ids[0])
            if len(ids) == 1:
                payload = tlv.instance(0, payload)
        else:
            value = self.value(ids[0], ids[2])
            if value is None:
                return NOT_FOUND, None, b""
            if accept == TLV or (ids[0], ids[2]) in MULTIPLE:
                payload = _resource(ids[0], ids[2], value)
            else:
                form, payload = TEXT, str(value).encode()
        if accept is not None and accept != form:
            return NOT_ACCEPTABLE, None, b""
        return CONTENT, form, payload

    def _instance(self, number: int) -> bytes:
        out = b""
        for resource in READABLE[number]:
            value = self.value(number, resource)
            if value is not None:
                out += _resource(number, resource, value)
        return out


def _resource(number: int, resource: int, value) -> bytes:
    return tlv.multiple(resource, (value,)) if (number, resource) in MULTIPLE else tlv.resource(resource, value)


def known(path: str):
    """The ids of "object[/instance[/resource]]" as a list, or None where this device has no such thing."""
    ids = numbers(path)
    if ids is None or len(ids) > 3:
        return None
    data = ids[0] == 19
    instances = 2 if data else 1
    resources = (0,) if data else READABLE.get(ids[0])
    if resources is None or ids[1:2] and ids[1] >= instances or ids[2:] and ids[2] not in resources:
        return None
    return ids


def numbers(path: str):
    """The ids of "3/0/9" as a list, or None where a segment is no number of 0-65535 as LwM2M writes it."""
    out = []
    for part in path.split("/"):
        if not part.isdigit() or str(int(part[:6])) != part or int(part) > 65535:
            return None
        out.append(int(part))
    return out
