"""The rows of the local AEP's database, as its fronts, its console and its users read them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """`payload_format` and `services` (the service list as JSON) are of a thing-model product."""

    id: int
    name: str
    protocol: str
    endpoint_format: str
    power_mode: str
    auto_observe: bool
    transparent: bool
    created: float
    encryption: str = "plain"
    payload_format: str = "json"
    services: str = "[]"


@dataclass(frozen=True)
class Device:
    """`endpoint` is the one `ep` the platform accepts from it, or its device id; `online` is true while a registration
    lives; `psk` is the key in hex, "" where the product is plain. A device of MQTT or TCP has no IMEI but a `number`,
    and a `token` (特征串) as its password."""

    id: str
    product: int
    name: str
    imei: str
    imsi: str
    endpoint: str
    life_cycle: str
    created: float
    activated: float | None
    online: bool
    psk: str = ""
    number: str = ""
    token: str = ""


@dataclass(frozen=True)
class Registration:
    """Or the login of an MQTT or TCP connection. `updated` is the last Register, Update or heartbeat; `ended` and
    `reason` are None while it lives."""

    id: int
    device: str
    t: float
    peer: str
    lifetime: int
    binding: str
    objects: str
    updated: float
    ended: float | None
    reason: str | None


@dataclass(frozen=True)
class Uplink:
    """`kind` is CON, NON, or ACK for a body in the answer to the Observe, or the protocol: "TCP 1.1", "MQTT QoS 1";
    `mid` is the protocol's number of the message, 0 where it has none; `acked_at` when our ACK, PUBACK or 82 went out.
    `topic` is MQTT's; `service` is that of a record whose payload does not say it itself, 0: none."""

    id: int
    device: str
    t: float
    payload: bytes
    mid: int
    token: bytes
    kind: str
    acked_at: float | None
    topic: str = ""
    service: int = 0

    @property
    def acknowledged(self) -> bool:
        return self.acked_at is not None


@dataclass(frozen=True)
class Command:
    """`result` is the device's code ("2.04"), or the reason of a failure; "" while there is none. `service` is that of
    a thing-model command, whose `content` is the parameters; `answer` what the device's application said to it."""

    id: int
    device: str
    content: bytes
    data_type: str
    ttl: int
    created: float
    sent_at: float | None
    finished: float | None
    status: str
    result: str
    service: int = 0
    answer: bytes = b""

    @property
    def expires(self) -> float:
        return self.created + self.ttl

    @property
    def task(self) -> int:
        """The taskId that the device sees: 1…65535 (two bytes in the binary formats)."""
        return (self.id - 1) % 0xFFFF + 1


@dataclass(frozen=True)
class Request:
    """A device management request of a user. `query` is as in a URI; `result` the device's code, or the reason of a
    failure; the formats are content formats."""

    id: int
    device: str
    kind: str
    path: str
    payload: bytes
    format: int | None
    query: str
    accept: int | None
    ttl: int
    created: float
    finished: float | None
    status: str
    result: str
    answer_format: int | None
    answer: bytes

    @property
    def expires(self) -> float:
        return self.created + self.ttl


@dataclass(frozen=True)
class Notification:
    """A notification of another path than /19/0/0, or the body of the answer to its Observe."""

    id: int
    device: str
    t: float
    path: str
    format: int | None
    payload: bytes


@dataclass(frozen=True)
class TraceRow:
    """One datagram, or frame of a stream, as it was on the wire: `direction` up (from `peer`) or down (to it); None
    device: a stranger. `note` is what the platform has to say about it."""

    id: int
    t: float
    direction: str
    peer: str
    raw: bytes
    device: str | None
    note: str = ""
