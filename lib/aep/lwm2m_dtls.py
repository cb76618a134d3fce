"""AEP over our LwM2M client under DTLS (guide §4.1.3.2): aep/lwm2m.py on another path, and what that changes.

A DTLS session is tied to our address, which the carrier's NAT gives, unless a connection id was agreed on. Whether the
platform goes on with an old one, and whether it takes a report in a new one before an Update, is learned.
"""

from aep import lwm2m
from aep import session as s
from aep.dtls_faults import SecureSilent
from aep.secured import AT_ONCE, BY_ID, KEPT, Secured
from aep.shortcuts import DIRECT, SHORT_RETRIES, SHORT_TIMEOUT
from device import events
from m2m import client as c
from store.record import Record

_VAULT = "/usr/state/dtls.rec"


class Session(lwm2m.Session):
    """As aep.lwm2m.Session; the settings have the key."""

    _path = None  # type: Secured  # type: ignore[assignment]
    _failed = False  # the session in doubt was tried in vain

    def open(self, until: int) -> None:
        """As the contract says; also raises what the phase says in which a handshake ended."""
        if self._path is not None and not self._reachable():
            self._renew(until)
        try:
            lwm2m.Session.open(self, until)
        except s.Silent as fault:
            raise SecureSilent(fault.args[0])

    def send(self, payload: bytes, until: int, sure: bool = False, service: int = 0, task=None) -> int:
        """As the contract says."""
        try:
            return lwm2m.Session.send(self, payload, until, sure)
        except s.Silent as fault:
            raise SecureSilent(fault.args[0])

    def deregister(self, until: int) -> None:
        """As the contract says; the DTLS session ends as well."""
        lwm2m.Session.deregister(self, until)
        self._path.end()

    # -- opening -------------------------------------------------------------------------------------------------

    def _path_to(self, address: str, until: int):
        path = Secured(
            self._settings, address, self.clock, Record(_VAULT), self._device, self.exchange.jitter, _asks,
            self.shortcuts,
        )  # fmt: skip
        path.open(until, self._worth)
        self.note(events.SECURED, path.how)
        return path

    def _renew(self, until: int) -> None:
        self._failed = False
        self._path.renew(until)
        self.note(events.SECURED, self._path.how)

    def _worth(self, has_id: bool, moved: bool) -> str:
        """The short cut by which a session of an earlier power-on is gone on with, "" where it is not."""
        name = BY_ID if has_id else KEPT
        return name if (has_id or not moved) and self.shortcuts.worth(name) else ""

    def _reachable(self) -> bool:
        """The present session may be used: the platform was heard in it just now, or is worth a try."""
        path = self._path
        if self._failed or not path.alive():
            return False
        if not path.doubt and not path.fresh and self.clock.now() - self._heard >= s.NAT_IDLE:
            name = BY_ID if path.has_id() else DIRECT
            if not self.shortcuts.worth(name):
                return False
            path.doubt = name
        return True

    def _short_cut(self, warm: bool) -> str:
        if not self._path.doubt and not self._path.fresh:
            return DIRECT
        # What is not confirmed would be lost unseen
        return AT_ONCE if self._settings["report.type"] == "con" and self.shortcuts.worth(AT_ONCE) else ""

    def _report(self, payload: bytes, until: int, timeout: int, retries: int) -> int:
        ended = lwm2m.Session._report(self, payload, until, timeout, retries)
        if ended == c.SILENT and self._path.doubt:
            self._failed = True
            self._cut, self._path.doubt = self._path.doubt, ""  # this short cut has failed, not the other
        return ended

    def _try_update(self, until: int) -> bool:
        if self._path.doubt:
            if self._update(until):
                return True
            if not self._path.doubt:  # refused: the session is good, the registration is not
                return False
            self.note(events.SHORT_CUT, 4)
            self._renew(until)
        return lwm2m.Session._try_update(self, until)

    def _register(self, until: int) -> None:
        if self._path.doubt:
            layer = self.exchange
            usual = layer.timeout, layer.retries
            layer.timeout, layer.retries = SHORT_TIMEOUT, SHORT_RETRIES
            try:
                lwm2m.Session._register(self, until)
                return
            except s.Silent:
                self.note(events.SHORT_CUT, 4)
                self._renew(until)
            finally:
                layer.timeout, layer.retries = usual
        lwm2m.Session._register(self, until)

    def _probe(self, lifetime: int, until: int) -> bool:
        return not self._path.doubt and lwm2m.Session._probe(self, lifetime, until)


def _asks(data: bytes) -> bool:
    """A request of the platform (RFC 7252 §3)."""
    return len(data) > 1 and 0 < data[1] < 32
