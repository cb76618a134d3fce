"""`lwm2m`: the class that a few customers' images have where others raise ImportError (quecpython.md §3.13). It drives
the modem's own client, the one of AT+QLW…: its errors name a failed AT command (inferred there).

It has no call for data: those of object 19 go by AT+QLW… . Numbers of the kinds of configuration are in no source
(estimate); so is that an event's text is all that tells events apart, and what `stat` gives.
"""

from typing import Any

from tools.module.board import Board, Firmware, Thing
from tools.module.modem import qlw_client as lw
from tools.module.modem.atcmd import Refused
from tools.module.modem.qlw import Qlw

KINDS = ("Reset", "Startup", "Security", "Server", "Epnamemode", "Epname", "Urc", "Fota")
RESET, STARTUP, SECURITY, SERVER, EPNAME_MODE, EPNAME, URC, FOTA = range(len(KINDS))
OWN_NAME, IMEI_NAME = 1, 3  # Epnamemode: by Epname, urn:imei:<imei>
DM_SERVER = 1  # serverID of Security; 0 is the bootstrap server's, which AEP has not
DONE, FAILED, UNSUPPORTED = 0, -1, -2


class Lwm2m(Thing):
    """`lw = lwm2m()`."""

    CONSTANTS = {name: number for number, name in enumerate(KINDS)}
    SINGLETON = True

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._qlw: Qlw = next(group for group in board.firmware["atcmd"].groups if isinstance(group, Qlw))
        self._callback: int | None = None
        self._security: list[Any] = []
        self._lifetime, self._name = 86400, ""
        self._qlw.on_registered.append(self._registered)

    def init(self) -> int:
        return DONE

    def register_call(self, callback: int) -> int:
        """`callback((event id, event code, text))`."""
        self._callback = callback
        return DONE

    def config(self, kind: int, values: list) -> int:
        """0, -1 where a value is wrong, -2 for a kind that is not known."""
        if kind not in range(len(KINDS)):
            return UNSUPPORTED
        try:
            return self._configure(kind, list(values))
        except (IndexError, TypeError, ValueError):
            return FAILED

    def _configure(self, kind: int, values: list) -> int:
        if kind == RESET:
            self._qlw._reset([])
        elif kind == SECURITY:
            server, _, uri, bootstrap, mode = values[:5]
            if server != DM_SERVER or bootstrap or mode not in (0, 3) or len(values) != (7 if mode == 0 else 5):
                return FAILED
            scheme, _, rest = uri.partition("://")
            host, _, port = rest.rpartition(":")
            bare = ":" in host and not (host.startswith("[") and host.endswith("]"))  # RFC 3986 §3.2.2
            if scheme != ("coaps" if mode == 0 else "coap") or not host or bare or len(uri) > 256:
                return FAILED
            self._security = [host.strip("[]"), int(port), mode, *values[5:]]
        elif kind == SERVER:
            if not 1 <= values[1] <= 86400:
                return FAILED
            self._lifetime = values[1]
        elif kind == EPNAME_MODE:
            if values[0] not in (OWN_NAME, IMEI_NAME):
                return FAILED
            self._name = "" if values[0] == OWN_NAME else "urn:imei:" + self.board.identity.imei
        elif kind == EPNAME:
            self._name = str(values[0])
        return DONE

    def register(self) -> int:
        if not self._security or not self._name:
            return FAILED
        host, port, mode, *key = self._security
        values = ["0", host, str(port), self._name, str(self._lifetime), str(mode), *key]
        return self._told(lambda: self._qlw._config_set(values), lambda: self._qlw._reg([]))

    def update(self, ssid: int) -> int:
        return self._told(lambda: self._qlw._update(["0", str(self._lifetime)]))

    def unregister(self) -> int:
        return self._told(lambda: self._qlw._dereg([]))

    def stat(self) -> int:
        """0 while registered, -1 otherwise."""
        return DONE if self._qlw.client().status == lw.READY else FAILED

    def free(self) -> int:
        self._callback = None
        return DONE

    def _told(self, *commands: Any) -> int:
        try:
            for command in commands:
                command()
        except Refused:
            return FAILED
        return DONE

    def _registered(self, result: int) -> None:
        text = '"ready","successfully"' if result == lw.OK else '"ready","failed"'
        self.board.call_back(self._callback, (0, result, text))


class Lwm2mModule(Firmware):
    NAME = "lwm2m"
    MODULE_IS_CLASS = "lwm2m"
    CLASSES = {"lwm2m": Lwm2m}
