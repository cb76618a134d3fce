"""What both ways to speak MQTT share: where messages go and what is in them, the CA, and what a refusal means
(ctwing.md §3)."""

import ujson
from micropython import const

from aep import refusals
from aep.stream_faults import BadCertificate, NoTls

_LONGEST_CA = const(8192)  # bytes of the CA's file
PROVEN = const(1)  # saved as `honest`: the firmware's client was seen to tell the truth
DISPROVEN = const(2)
_REFUSALS = {
    1: refusals.WrongVersion, 2: refusals.NotProvisioned, 4: refusals.NotProvisioned, 5: refusals.NotProvisioned,
}  # fmt: skip
# MQTT 3.1.1 §3.2.2.3
_WORDS = ",protocol version refused,client id refused,server unavailable,bad user name or password,not authorised"


def refused(code: int):
    """The fault that a CONNACK's return code 1-5 is."""
    text = "CONNACK %d, %s" % (code, _WORDS.split(",")[code])
    return _REFUSALS.get(code, refusals.Refused)(text)


def _inner(payload: bytes) -> tuple:
    """(task, parameters) of {"taskId", "payload"} (ctwing.md §3.3); (None, the payload) where it is nothing like it:
    that is no command."""
    try:
        body = ujson.loads(payload)
        return body["taskId"], ujson.dumps(body["payload"]).encode()
    except (ValueError, RuntimeError, KeyError, TypeError):  # RuntimeError: nested too deep
        return None, payload


def topic_of(settings: dict, service: int) -> str:
    """Where a report goes: for a thing model the service's identifier (ctwing.md §3.3)."""
    if not service:
        return settings["mqtt.topic"]
    from aep import thing

    return thing.identifier(service)


def downlink(settings: dict, topic: str, payload: bytes) -> tuple:
    """What `keep` takes of a message."""
    if settings["payload"] != "transparent":
        from aep import thing

        service = thing.number_of(topic)
        if service:
            task, payload = _inner(payload)
            return payload, service, task
    return payload, 0, None


def ca_of(settings: dict, clock) -> str:
    """The CA's certificate. Raises BadCertificate or NoTls: nothing is sent to a platform that was not verified."""
    if not clock.unix():
        raise NoTls("the clock is not set: whether a certificate has expired cannot be said")
    try:
        with open(settings["mqtt.ca"]) as file:
            text = file.read(_LONGEST_CA)
    except (OSError, ValueError):
        text = ""
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise BadCertificate("no certificate in " + settings["mqtt.ca"])
    return text
