"""The object tree a server may ask for (LwM2M 1.0 appendix E): what there is, and how it is read.

The values come from outside. Object 19 is AEP's data channel: 19/0/0 goes up by notification, 19/1/0 comes down by
Write (ctwing.md §2.2).
"""

from coap.message import CONTENT, METHOD_NOT_ALLOWED, NOT_ACCEPTABLE, NOT_FOUND, OPAQUE, TEXT, TLV
from m2m import tlv

UPLINK = "19/0/0"
DOWNLINK = "19/1/0"

# object id -> two letters a resource, from resource 0 on: what may be done (R read, W write, B both, E execute, "." not
# here), and of what type it is (s text, i integer, t time, b boolean, o opaque; a capital: it holds instances). One
# text each: tuples would take 3 KB of heap. 3/0/5 (factory reset) is left out: a meter must not lose its credentials to
# a request. No resource here is a float.
RESOURCES = {
    1: "RiBiBiBiE.BiBbBsE.",
    3: "RsRsRsRsE...RIRIRIRiRiRIE.BtBsBsRsRsRsRsRiRi",
    4: "RiRIRiRiRSRSRiRSRiRiRi",
    5: "WoWsE.Ri..RiRsRsRIRi",
}

# </5> without its instance, as China Telecom's own SDK has it (ctwing.md §2.1): two bytes of every cold wake.
LINKS = b'</>;rt="oma.lwm2m",</1/0>,</3/0>,</4/0>,</5>,</19/0>,</19/1>'


class Tree:
    """Answers reads. `device` has

    value(object, resource)          str, int, bool or bytes; a list of them where the resource holds instances; None
                                     where this device has no such value
    write(object, values, replace)   CoAP code; `values` is {resource: str, int, bool or bytes}; all of them or none.
                                     `replace`: what is not among them loses its value
    execute(object, resource, arguments)   CoAP code; `arguments` is bytes

    or is a function like `value`: then nothing can be written or executed."""

    def __init__(self, device) -> None:
        self.device = device
        self.value = getattr(device, "value", device)

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
        number = ids[0]
        if number == 19 or len(ids) == 3 and kind(number, ids[2])[0] not in "RB":
            return METHOD_NOT_ALLOWED, None, b""
        form = TLV
        if len(ids) < 3:
            payload = b"".join([_resource(number, r, v) for r, v in self.values(number)])
            if len(ids) == 1:
                payload = tlv.instance(0, payload)
        else:
            value = self.value(number, ids[2])
            if value is None:
                return NOT_FOUND, None, b""
            if accept == TLV or kind(number, ids[2])[1] < "a":
                payload = _resource(number, ids[2], value)
            else:
                form, payload = TEXT, str(int(value) if value is True or value is False else value).encode()
        if accept is not None and accept != form:
            return NOT_ACCEPTABLE, None, b""
        return CONTENT, form, payload

    def values(self, number: int) -> list:
        """(resource, value) of all that can be read of an object and that this device has."""
        text = RESOURCES[number]
        found = [(at // 2, self.value(number, at // 2)) for at in range(0, len(text), 2) if text[at] in "RB"]
        return [item for item in found if item[1] is not None]


def _resource(number: int, resource: int, value) -> bytes:
    if kind(number, resource)[1] < "a":
        return tlv.multiple(resource, value if isinstance(value, list) else (value,))
    return tlv.resource(resource, value)


def kind(number: int, resource: int) -> str:
    """The two letters of a resource, "" beyond the last."""
    return RESOURCES.get(number, "Ro")[2 * resource : 2 * resource + 2]


def known(path: str):
    """The ids of "object[/instance[/resource]]" as a list, or None where this client has no such thing."""
    ids = numbers(path)
    if ids is None or len(ids) > 3 or ids[0] != 19 and ids[0] not in RESOURCES:
        return None
    if ids[1:2] and ids[1] > (ids[0] == 19) or ids[2:] and kind(ids[0], ids[2])[:1] in ("", "."):
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
