"""What a run is to be: a device, its network, its platform, and for how long."""

from dataclasses import dataclass, field, replace
from typing import Any

from tools.tables import default

TRANSPARENT, BINARY = "transparent", "thing-binary"
"""Of the device's setting payload."""


@dataclass(frozen=True)
class Plan:
    """What to run. `loss` is the share of datagrams lost; `token_length` None draws 1-8 by seed."""

    family: str = "EC800E"
    engine: str = "vm"
    wakes: int = 3
    seed: int = 1
    loss: float = 0.0
    protocol: str = "lwm2m"
    """One of PROTOCOLS."""
    connection_id: int = 0
    """Length of the DTLS connection ids that the platform gives; 0: it gives none."""
    resumes: bool = False
    """Whether the platform resumes DTLS sessions by their ids; our own server does, Mbed TLS as it is used here does
    not."""
    endpoint_format: str = "imei"
    token_length: int | None = 4
    commands: bool = True
    measure_heap: bool = True
    config: dict = field(default_factory=dict)
    """Settings beside the server's address; they win over what the scenario sets."""
    app: str | None = None
    """Source of another app.py than this tree's."""
    provisioned: bool = True
    """Whether the device exists on the platform."""
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What the platform's names resolve to; none: what they do (tools/deployment.py)."""
    carrier: dict[str, Any] = field(default_factory=dict)
    """What the network does otherwise than the family's profile says (tools/module/profiles/networks.py)."""
    lacks: tuple[str, ...] = ()
    """What of tools/module/profiles/base.py's OPTIONAL the image has not, beside what its family has not."""
    client: str | None = None
    """What the image has of an LwM2M client of its own: one of tools/module/profiles/base.py's CLIENTS; None: what its
    family has."""
    mqtt_wrapped: bool = False
    """Whether commands of a transparent MQTT product come with their task around them (ctwing.md §10: unknown)."""
    umqtt_tells: bool = False
    """Whether publish of the firmware's MQTT client says what became of a message, as newer images have it."""
    connect_filters: bool = True
    """Whether a connected UDP socket takes its peer's datagrams only."""
    nat_keeps_port: bool = False
    """Whether the carrier's NAT gives a module's port the same port outside again after it has forgotten it."""

    @property
    def mode(self) -> str:
        """power.mode of the device."""
        return self.config.get("power.mode", default("power.mode"))

    @property
    def payload(self) -> str:
        """payload of the device: transparent, or the format of its thing model."""
        return self.config.get("payload", default("payload"))

    @property
    def dtls(self) -> bool:
        return self.protocol == "lwm2m-dtls"

    @property
    def streams(self) -> bool:
        """Whether the protocol has connections, not datagrams."""
        return not self.protocol.startswith("lwm2m")

    @property
    def commanded(self) -> bool:
        """Whether the platform gives commands; where app.py reads downlinks by itself, only it could answer them."""
        return self.commands and self.config.get("downlink.mode", default("downlink.mode")) != "buffer"


def quicker(plan: Plan) -> Plan:
    """The same plan in the engine without a VM: for tests and tables."""
    return replace(plan, engine="cpython", measure_heap=False)
