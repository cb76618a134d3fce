"""How a simulated device and the local AEP are set up for each protocol: addresses, product, device, settings."""

from typing import Any

from tools.ctwing.aep import Aep
from tools.module.board import Identity
from tools.plan import Plan
from tools.tables import default
from tools.things import declaration, listing
from tools.world.network import Network

AEP_ADDRESS, AEP_PORT, DTLS_PORT = "221.229.214.202", 5683, 5684  # ctwing.md §0
STREAM_ADDRESS, MQTT_PORT, MQTTS_PORT, TCP_PORT = "180.106.148.146", 1883, 8883, 8996  # ctwing.md §1.2
AEP_NAMES = ("lwm2m.ctwing.cn",)
MQTT_NAME, TCP_NAME = "mqtt.ctwing.cn", "tcp.ctwing.cn"
AEP_ADDRESS_6 = "240E:980:8120:28:84F4:C0C2:4A95:85F9"  # of the first name (ctwing.md §0)

PROTOCOLS = ("lwm2m", "lwm2m-dtls", "mqtt", "mqtts", "tcp")
HOSTS = {"mqtt": MQTT_NAME, "mqtts": MQTT_NAME, "tcp": TCP_NAME}
PORTS = {"lwm2m": AEP_PORT, "lwm2m-dtls": DTLS_PORT, "mqtt": MQTT_PORT, "mqtts": MQTTS_PORT, "tcp": TCP_PORT}

PSK = "NOTaSECRETofyour"
TOKEN = "NOTaSECRETofyourNOTaSECRETofyourNOTaSECRETo"
"""Of the simulated device."""

CA_FILE = "ca.pem"

PAYLOADS = {"thing-json": "json", "thing-binary": "binary"}
"""Setting payload -> the product's payload format."""

NAMES = {AEP_NAMES[0]: (AEP_ADDRESS, AEP_ADDRESS_6), MQTT_NAME: (STREAM_ADDRESS, AEP_ADDRESS_6),
         TCP_NAME: (STREAM_ADDRESS, AEP_ADDRESS_6)}
"""What the platform's names resolve to."""


async def serve(plan: Plan, network: Network, aep: Aep) -> None:
    """Opens the platform's fronts behind its public addresses."""
    if plan.streams:
        start = getattr(aep, "start_" + plan.protocol)
        real = await start()
        for ip in (STREAM_ADDRESS, AEP_ADDRESS_6):
            network.serve_stream(ip, PORTS[plan.protocol], real)
    else:
        real, secure = await aep.start(), await aep.start_dtls()
        for ip in (AEP_ADDRESS, AEP_ADDRESS_6):
            network.serve(ip, AEP_PORT, real)
            network.serve(ip, DTLS_PORT, secure)
    for name, addresses in (plan.names or NAMES).items():
        network.name(name, addresses)


def provision(plan: Plan, aep: Aep, who: Identity, mode: str = "") -> tuple[int, str]:
    """Product and device; one that is not provisioned has another number. `mode` is the product's, "": as the device
    sleeps."""
    transparent = plan.payload == "transparent"
    services = () if transparent else listing.rows(declaration.read_file())
    imei = who.imei if plan.provisioned else "86000000" + who.imei[8:]
    if plan.streams:
        product = aep.create_product("water meters", protocol=plan.protocol.rstrip("s"), transparent=transparent,
                                     services=services)
        return product, aep.create_device(product, name="meter", number=imei, token=TOKEN)
    mode = mode or ("PSM" if plan.mode == "psm" else "DRX")
    product = aep.create_product("water meters", endpoint_format=plan.endpoint_format, power_mode=mode,
                                 encryption="dtls" if plan.dtls else "plain", transparent=transparent,
                                 payload_format=PAYLOADS.get(plan.payload), services=services)
    return product, aep.create_device(product, name="meter", imei=imei, imsi=who.imsi, psk=PSK if plan.dtls else "")


def config(plan: Plan, product: int, who: Identity) -> dict[str, Any]:
    """The settings of config.json; those of the plan win."""
    out: dict[str, Any] = {"server.host": HOSTS.get(plan.protocol, AEP_NAMES[0]), "server.port": PORTS[plan.protocol]}
    if plan.streams:
        out.update({"protocol": plan.protocol, "device.id": f"{product}{who.imei}", "device.token": TOKEN})
    else:
        out["lwm2m.endpoint"] = plan.endpoint_format
    if plan.dtls:
        out.update({"security": "psk", "psk": PSK})
    return {**out, **plan.config}


def acknowledges(plan: Plan) -> bool:
    """Whether the platform acknowledges a report of this plan, so that it can be counted so."""
    if plan.config.get("report.type", default("report.type")) == "non":
        return False
    return plan.protocol != "tcp" or plan.config.get("tcp.version", default("tcp.version")) == "1.1"
