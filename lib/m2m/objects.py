"""The object tree a server may ask for (LwM2M 1.0 appendix E, the part AEP asks for): links, reads and their formats.

The values come from outside: `value(object, resource)` gives str, int or None ("this device has no such value"). Nothing here
knows where they come from. Object 19 is AEP's data channel: 19/0/0 goes up by notification, 19/1/0 comes down by Write
(ctwing.md §2.2).
"""

from coap.message import CONTENT, METHOD_NOT_ALLOWED, NOT_FOUND, OPAQUE, TEXT, TLV
from m2m import tlv

UPLINK = "19/0/0"
DOWNLINK = "19/1/0"

# object id -> resources that can be read
READABLE = {
    1: (0, 1, 7),  # short server id, lifetime, binding
    3: (0, 1, 2, 3, 7, 9, 11, 13, 16),  # maker, model, serial, firmware, mV, %, error code, time, binding
    4: (0, 2, 3, 4, 8, 9, 10),  # bearer, RSRP, RSRQ, address, cell id, MNC, MCC
}

LINKS = b'</>;rt="oma.lwm2m",</1/0>,</3/0>,</4/0>,</19/0>,</19/1>'


class Tree:
    """Answers reads. `value` as above."""

    def __init__(self, value) -> None:
        self.value = value

    def read(self, path: str):
        """(code, Content-Format or None, payload) for a GET on "object/instance[/resource]"."""
        ids = numbers(path)
        if path == UPLINK:
            return CONTENT, OPAQUE, b""  # empty: whether AEP stores the first body as data is unknown (ctwing.md §2.3)
        if ids is None or len(ids) < 2 or ids[1] != 0 or ids[0] not in READABLE:
            known = ids is not None and len(ids) > 0 and ids[0] == 19 and (len(ids) < 2 or ids[1] < 2)
            return METHOD_NOT_ALLOWED if known else NOT_FOUND, None, b""
        if len(ids) == 2:
            return CONTENT, TLV, self._instance(ids[0])
        value = self.value(ids[0], ids[2]) if len(ids) == 3 and ids[2] in READABLE[ids[0]] else None
        if value is None:
            return NOT_FOUND, None, b""
        return CONTENT, TEXT, str(value).encode()

    def _instance(self, number: int) -> bytes:
        out = b""
        for resource in READABLE[number]:
            value = self.value(number, resource)
            if value is not None:
                # 4/0/4 and 3/0/11 are multiple resources; as TLV type 10 with one instance each
                out += tlv.multiple(resource, (value,)) if (number, resource) in ((4, 4), (3, 11)) else tlv.resource(resource, value)
        return out


def numbers(path: str):
    """The ids of "3/0/9" as a list, or None where a segment is no number of 0-65535."""
    out = []
    for part in path.split("/"):
        if not part.isdigit() or len(part) > 5:
            return None
        out.append(int(part))
    return out
