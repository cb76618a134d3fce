"""QuecPython's own `lwm2m` (quecpython.md §3.13), where an image has it: configuration, registration, Update and events
go through it, object 19 through the AT commands of the same client, since the class documents no call for data."""

from aep import modem_qlw
from aep.lwm2m_modem import FAILED, WAITING, lwm2m
from link.fault import NoModem

_SSID = 1000  # of the server, in Quectel's example
_LONGEST = 86400  # s: of config's Server


class Client(modem_qlw.Client):
    """As modem_qlw.Client. The event tells what became of a registration, before any poll does."""

    def __init__(self, settings: dict, device, clock) -> None:
        modem_qlw.Client.__init__(self, settings, device, clock)
        self._failed = False
        if lwm2m is None:
            raise NoModem("lwm2m: not in this image")
        self._object = lwm2m()
        self._object.init()
        self._object.register_call(self._told)

    def _told(self, args) -> None:
        """(event id, event code, text): only the text is documented, by an example."""
        text = str(args)
        if '"ready","successfully"' in text:
            self._seen()
        elif '"ready","failed"' in text:
            self._failed = True

    def _configure(self, host: str) -> None:
        found, native = self._settings, self._object
        secured = found["security"] == "psk"
        host = "[" + host + "]" if ":" in host else host  # RFC 3986 §3.2.2
        uri = "%s://%s:%d" % ("coaps" if secured else "coap", host, found["server.port"])
        security = [1, _SSID, uri, 0, 0 if secured else 3]
        if secured:
            security += [found["psk_id"] or self._device.imei, modem_qlw.hex_key(found)]
        self._do(native.config(native.Security, security), "Security")
        lifetime = min(found["lwm2m.lifetime"], _LONGEST)
        self._do(native.config(native.Server, [1, lifetime, 0, 0, _LONGEST, 1, self._device.binding]), "Server")
        self._do(native.config(native.Epnamemode, [1]), "Epnamemode")
        self._do(native.config(native.Epname, [self._device.endpoint]), "Epname")

    def _register(self) -> None:
        self._failed = False
        self._do(self._object.register(), "register")

    def state(self) -> int:
        """As modem_qlw.Client."""
        found = modem_qlw.Client.state(self)
        return FAILED if self._failed and found == WAITING and not self.registered else found

    def update(self, lifetime: int) -> bool:
        """By the lifetime of the configuration."""
        return self._object.update(_SSID) == 0

    def leave(self, until: int) -> None:
        """Deregisters."""
        if self._object.unregister() == 0:
            self._wait_gone(until)

    @staticmethod
    def _do(result: int, what: str) -> None:
        if result != 0:
            raise NoModem("lwm2m.%s: %d" % (what, result))
