"""AEP over MQTT and MQTTS (ctwing.md §3, guide §4.2): by our own client (own_mqtt.py) or the firmware's
(firmware_mqtt.py), each loaded where it is used."""

from micropython import const

from aep.connected import SAVED, endpoint, ends  # noqa: F401 - the module's face
from link import cell
from link.fault import Fault

_PROVEN = const(1)  # topics.PROVEN


def session(settings: dict, saved: dict):
    """The class of the session: the firmware's client where that is asked for, or is known to tell the truth."""
    engine = settings["mqtt.engine"]
    if engine == "native" or engine == "auto" and _proven(saved):
        try:
            from aep import firmware_mqtt

            return firmware_mqtt.Session
        except ImportError:
            if engine == "native":
                raise Fault("this tree was built without the firmware's MQTT client")
    try:
        from aep import own_mqtt
    except ImportError:
        raise Fault("this tree was built without our own MQTT client")
    return own_mqtt.Session


def _proven(saved: dict) -> bool:
    """Whether the firmware's client was seen to tell the truth, in this version of the firmware."""
    return saved.get("honest") == _PROVEN and saved.get("image") == cell.firmware()
