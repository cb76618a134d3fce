"""The settings: one table (name, type, unit, range, default, what it does), and what holds values to it. Loaded only
where there is something to check: a new config.json, a change, another version of the table."""

import ujson
from micropython import const

_LONGEST = const(4096)  # bytes of config.json
# ms: a connection is closed before enhanced sleep ends the radio's, 1 s after the last message, or it would begin anew
_QUICK = const(800)

# [name, type, unit, lowest or choices, highest, default, what it does]. No default: the setting is required.
TABLE = [
    ["protocol", "choice", "", ("lwm2m", "mqtt", "mqtts", "tcp"), None, "lwm2m", "how the platform is spoken to"],
    ["server.host", "text", "", 1, 253, None, "address or name of the platform's service, e.g. lwm2m.ctwing.cn"],
    ["server.port", "int", "", 1, 65535, 5683, "its port; none given: the protocol's (5683, 5684, 1883, 8883, 8996)"],
    ["payload", "choice", "", ("transparent", "thing-json", "thing-binary"), None, "transparent", "as the product's"],
    ["device.id", "text", "", 0, 64, "", "MQTT and TCP: the device id, product id and device number"],
    ["device.token", "secret", "bytes", 0, 64, "", "MQTT and TCP: the password that the platform shows"],
    ["mqtt.engine", "choice", "", ("auto", "python", "native"), None, "auto", "native: the firmware's umqtt"],
    ["mqtt.user", "text", "", 0, 220, "", "MQTT: user name, the platform takes any; none: the device id"],
    ["mqtt.clean", "int", "", 0, 1, 0, "MQTT: clean session"],
    ["mqtt.keepalive", "int", "s", 0, 65535, 3600, "MQTT: longest silence; 0: no limit"],
    ["mqtt.topic", "text", "", 1, 255, "topic/data", "MQTT: topic of transparent reports"],
    ["mqtt.subscribe", "text", "", 0, 255, "", "MQTT: a topic to subscribe to; the platform does it for the device"],
    ["mqtt.ca", "text", "", 1, 64, "/usr/ca.pem", "MQTTS: file of the certificate that the platform's is held to"],
    ["tcp.version", "choice", "", ("1.0", "1.1", "2.0"), None, "1.0", "TCP: 1.0 transparent, 1.1 thing model"],
    ["tcp.heartbeat", "int", "s", 30, 299, 240, "TCP: heartbeat in sleep and awake modes; the platform wants 300 s"],
    ["lwm2m.engine", "choice", "", ("python", "modem", "auto"), None, "python", "modem: the module's own client"],
    ["security", "choice", "", ("none", "psk"), None, "none", "psk: DTLS with the device's key"],
    ["psk_id", "text", "", 0, 128, "", "identity of the key; none: the IMEI"],
    ["psk", "secret", "bytes", 0, 64, "", "the key as the platform shows it"],
    ["psk_hex", "secret hex", "digits", 0, 128, "", "or its bytes in hex"],
    ["dtls.suites", "choice", "", ("ccm8", "ccm8+cbc"), None, "ccm8", "AES_128_CCM_8, and AES_128_CBC_SHA256 after it"],
    ["lwm2m.endpoint", "choice", "", ("imei", "urn:imei", "urn:imei-imsi"), None, "imei", "endpoint's format"],
    ["lwm2m.lifetime", "int", "s", 300, 86400, 86400, "how long the platform waits for a sign of life"],
    ["lwm2m.update", "choice", "", ("needed", "each_exchange"), None, "needed", "when the registration is updated"],
    ["lwm2m.keepalive", "int", "s", 0, 86400, 0, "sleep mode: Update so often, to stay reachable; 0: never"],
    ["lwm2m.ack_timeout", "int", "ms", 500, 10000, 2000, "CoAP ACK_TIMEOUT: wait before the first retransmission"],
    ["lwm2m.retries", "int", "", 0, 8, 4, "CoAP MAX_RETRANSMIT"],
    ["lwm2m.rai", "int", "", 0, 2, 0, "engine modem: release the radio after a report: 1 at once, 2 after its answer"],
    ["report.interval", "int", "s", 60, 1116000, 21600, "time between wakes; rounded up to what T3412 can say"],
    ["report.batch", "int", "", 1, 16, 4, "most entries of the outbox in one uplink; 512 bytes bound it as well"],
    ["report.type", "choice", "", ("con", "non"), None, "con", "con: acknowledged; non: may be lost unseen"],
    ["outbox.limit", "int", "bytes", 2048, 65536, 16384, "flash for reports the platform does not have yet"],
    ["listen.window", "int", "ms", 200, 10000, 2000, "wait for commands after the last message; MQTT, TCP: 800"],
    ["downlink.mode", "choice", "", ("push", "buffer"), None, "push", "buffer: kept until app.py asks"],
    ["link.dns", "addresses", "", 0, 2, "", "name servers where the network gives none"],
    ["link.attach_timeout", "int", "s", 30, 240, 120, "longest wait for SIM, registration and data call"],
    ["power.mode", "choice", "", ("psm", "sleep", "awake"), None, "psm", "between wakes: power off, light sleep, none"],
    ["power.active", "int", "s", 2, 11160, 2, "T3324: how long the network may still reach us before PSM"],
]  # type: list  # fmt: skip


def defaults() -> dict:
    """{name: default} of every setting that has one."""
    return {row[0]: row[5] for row in TABLE if row[5] is not None}


def problem(name: str, value) -> str:
    """What is wrong with `value` for `name`, "" where it is allowed."""
    if not isinstance(name, str):
        return "a setting's name is a text"
    for row in TABLE:
        if row[0] == name:
            break
    else:
        return "%s: there is no such setting" % name[:40]
    kind, unit, low, high = row[1:5]
    if kind == "choice":
        good, wanted = value in low, "one of " + ", ".join(low)
    elif kind == "text":
        good = isinstance(value, str) and low <= _length(value) <= high
        wanted = "text of %d-%d bytes" % (low, high)
    elif kind in ("secret", "secret hex"):
        good = isinstance(value, str) and low <= _length(value) <= high
        if good and kind == "secret hex":
            good = not len(value) & 1 and not value.strip("0123456789abcdefABCDEF")
        return "" if good else "%s: give a %s of %d-%d %s" % (name, kind, low, high, unit)  # the value stays untold
    elif kind == "addresses":
        good = isinstance(value, str) and (not value or _addresses(value, high))
        wanted = "%d-%d IP addresses, by comma" % (low, high)
    else:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        wanted = "a whole number %d-%d%s" % (low, high, " " + unit if unit else "")
    return "" if good else "%s: %s is not allowed; give %s" % (name, _short(value), wanted)


def wrong(trial: dict, base, before=None) -> str:
    """The first of these settings that is not allowed, as a message, or ""; on top of `base`, unless it is None, they
    must go together. Settings that are used only from now on join the trial with their defaults; a port that was the
    usual one, and so on, of the protocol `before` becomes the usual one."""
    for name in trial:
        found = problem(name, trial[name])
        if found:
            return found
    if base is None:
        return ""
    if before is not None:
        after = dict(before)
        after.update(trial)
        for name, usual in (("server.port", _port), ("listen.window", _window)):
            if before[name] == usual(before):
                trial[name] = usual(after)
    values = dict(base)
    values.update(trial)
    for row in TABLE:
        if row[0] not in values and row[5] is not None and used(row[0], values):
            values[row[0]] = trial[row[0]] = row[5]
    return missing(values)


def _addresses(text: str, most: int) -> bool:
    """Only what an address is written with: it goes into an AT command."""
    parts = text.split(",")
    for part in parts:
        if not 2 <= len(part) <= 39 or part.strip("0123456789abcdefABCDEF.:") or not ("." in part or ":" in part):
            return False
    return len(parts) <= most


def parse(text):
    """(all settings, "") from a config file's bytes, None where there is no file; defaults filled in. (None, what is
    wrong) where they cannot be used."""
    if text is None:
        return None, "config.json: missing"
    if len(text) > _LONGEST:
        return None, "config.json: longer than %d bytes" % _LONGEST
    try:
        given = ujson.loads(text)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        return None, "config.json: not valid JSON"
    if not isinstance(given, dict):
        return None, "config.json: not an object of settings"
    values = defaults()
    for name in given:  # the module's ujson takes names that are no text
        wrong = problem(name, given[name])
        if wrong:
            return None, wrong
        values[name] = given[name]
    if "server.port" not in given:
        values["server.port"] = _port(values)
    if "listen.window" not in given:
        values["listen.window"] = _window(values)
    wrong = missing(values)
    return (None, wrong) if wrong else (_kept(values, given), "")


def _port(values: dict) -> int:
    """The port of the chosen protocol (ctwing.md §1.2)."""
    if values["security"] == "psk":
        return 5684
    return {"mqtt": 1883, "mqtts": 8883, "tcp": 8996}.get(values["protocol"], 5683)


def _window(values: dict) -> int:
    """How long commands are waited for, ms."""
    return defaults()["listen.window"] if values["protocol"] == "lwm2m" else _QUICK


def used(name: str, values: dict) -> bool:
    """Whether a setting has a meaning under these."""
    room = name.split(".")[0]
    if room in ("psk", "psk_id", "psk_hex", "dtls"):
        return values["security"] == "psk"
    protocol = values["protocol"]
    if room in ("lwm2m", "mqtt", "tcp"):
        return protocol.startswith(room)
    return room != "device" or protocol != "lwm2m"


def _kept(values: dict, given: dict) -> dict:
    """Without those that nobody gave and nobody uses: they are not worth their heap."""
    return {name: values[name] for name in values if name in given or used(name, values)}


def known(values: dict):
    """Settings that were good under another version of the table: what it lacked has its default, what is no more, or
    not allowed any more, is left out. None where a required one is missing then."""
    found = defaults()
    for name in values:
        if not problem(name, values[name]):
            found[name] = values[name]
    return None if missing(found) else _kept(found, values)


def missing(values: dict) -> str:
    """The first setting that is required and has no value, as a message, or ""."""
    for row in TABLE:
        if row[5] is None and row[0] not in values:
            return "%s: missing; %s" % (row[0], row[6])
    if values["security"] == "psk" and bool(values.get("psk")) == bool(values.get("psk_hex")):
        return "security: psk needs the key, either as psk or as psk_hex"
    if values["protocol"] != "lwm2m":
        for name in ("device.id", "device.token"):
            if not values.get(name):
                return "%s: protocol %s needs it" % (name, values["protocol"])
        if values["security"] == "psk":
            return "security: psk is for protocol lwm2m"
        return _unfit(values)
    return ""


def _unfit(values: dict) -> str:
    """What of MQTT's or TCP's settings does not go together, as a message, or ""."""
    payload = values["payload"]
    if values["protocol"] != "tcp":
        if payload == "thing-binary":
            return "payload: MQTT has thing-json"
        topic = values.get("mqtt.topic", "")
        return "mqtt.topic: + and # are for subscriptions" if "+" in topic or "#" in topic else _unsaid(values)
    if payload == "thing-json":
        return "payload: TCP has thing-binary"
    if (values.get("tcp.version", "1.0") == "1.1") != (payload == "thing-binary"):
        return "tcp.version: 1.1 and payload thing-binary go together"
    return ""


def _unsaid(values: dict) -> str:
    """What no broker takes, but ends the connection for, as a message, or "" [MQTT-1.5.3-2] [MQTT-4.7.1-2]."""
    for name in ("device.id", "mqtt.user", "mqtt.topic", "mqtt.subscribe"):
        if "\0" in values.get(name, ""):
            return name + ": MQTT has no character 0"
    parts = values.get("mqtt.subscribe", "").split("/")
    for part in parts:
        if len(part) > 1 and ("+" in part or "#" in part) or "#" in parts[:-1]:
            return "mqtt.subscribe: + and # stand alone between slashes, # at the end"
    return ""


def _short(value) -> str:
    try:
        text = ujson.dumps(value)
    except (ValueError, TypeError, RuntimeError):  # RuntimeError: nested too deep
        return "this value"
    return text if len(text) <= 40 else text[:37] + "..."


def _length(text: str) -> int:
    """Bytes; -1 for half a surrogate pair, which is no text."""
    try:
        return len(text.encode())
    except ValueError:
        return -1
