"""AEP over MQTT and MQTTS (ctwing.md §3, guide §4.2): the session that the cycle sees."""

from aep.connected import SAVED, Connected, endpoint, ends  # noqa: F401 - the module's face


def session(settings: dict):
    """The class of the session."""
    return Connected
