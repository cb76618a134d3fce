"""A LwM2M 1.0 client towards one server: register, update, deregister, notify, and the server's requests. No I/O.

Above it is a session that owns socket and clock; below it `coap.exchange`. `receive` and `poll` return one event or
None: what happened to our own message, or what the server did.
"""

from micropython import const

from coap import exchange as x
from coap import message as m
from m2m.objects import DOWNLINK, LINKS, UPLINK, known

# Events are tuples that begin with one of these.
REGISTERED = const(1)  # (REGISTERED,): `location` is set
UPDATED = const(2)  # (UPDATED,)
DEREGISTERED = const(3)  # (DEREGISTERED,)
REFUSED = const(4)  # (REFUSED, code): the server answered our request with an error, or with a reset (code 0)
DELIVERED = const(5)  # (DELIVERED, mid): a confirmable notification was acknowledged
LOST = const(6)  # (LOST, mid): reset: the server does not know this observation (any more)
SILENT = const(7)  # (SILENT, mid): no answer after the last retransmission
OBSERVED = const(8)  # (OBSERVED, path): the server observes `path`
WRITTEN = const(9)  # (WRITTEN, payload): a downlink that `keep` accepted
ASKED = const(10)  # (ASKED, path): any other request, answered
CANCELLED = const(11)  # (CANCELLED, path): the server observes `path` no more

_OBSERVED = const(7)  # observations beside the uplink's, 8 in all; what is too much is read (RFC 7641 §4.1)
_TOLD = const(4)  # notifications beside the uplink's that a RST may still be about
_BLOCK = const(512)  # bytes: a longer notification goes block-wise; not a report, which cannot be read again
_DOWNLINK_LIMIT = const(1024)  # bytes (ctwing.md §2.5)


class Client:
    """`exchange` is a coap.exchange.Exchange, `tree` a m2m.objects.Tree. `keep(payload)` stores a downlink durably
    before it is acknowledged, and returns the CoAP code to answer with, 2.04 if it is stored. `location` ("rd/…") and
    `tokens` ({path: token}, at most 8) are the registration; `attributes` ({path: {name: number}}, at most 16 paths) is
    what Write-Attributes has set, and outlives a registration. A session may restore all three."""

    def __init__(self, exchange, tree, keep) -> None:
        self.exchange = exchange
        self.tree = tree
        self.keep = keep
        self.location = ""
        self.tokens = {}
        self.attributes = {}
        self.forms = {}  # {path: Content-Format} of observations that asked for one (RFC 7641 §4.2)
        self._told = []  # (mid, path, token), oldest first
        self._doing = 0  # the event our request will end in
        self._asked = -1  # and its message id

    def register(self, now: int, endpoint: str, lifetime: int, binding: str) -> None:
        """Register (LwM2M 1.0 §5.3.1, ctwing.md §2.1). A former registration of ours ends with it."""
        self.location = ""
        self.tokens = {}
        options = m.path_options(m.URI_PATH, "rd") + [(m.CONTENT_FORMAT, m.uint(m.LINK_FORMAT))]
        for item in ("lwm2m=1.0", "ep=" + endpoint, "b=" + binding, "lt=%d" % lifetime):
            options.append((m.URI_QUERY, item.encode()))
        self._request(REGISTERED, m.POST, options, LINKS, now, 0, -1)

    def update(self, now: int, lifetime: int = 0, binding: str = "", timeout: int = 0, retries: int = -1) -> None:
        """Update (§5.3.2): also tells the server our present address. `lifetime` and `binding` only where changed."""
        options = m.path_options(m.URI_PATH, self.location)
        if lifetime:
            options.append((m.URI_QUERY, b"lt=%d" % lifetime))
        if binding:
            options.append((m.URI_QUERY, b"b=" + binding.encode()))
        self._request(UPDATED, m.POST, options, b"", now, timeout, retries)

    def deregister(self, now: int, timeout: int = 0, retries: int = -1) -> None:
        """Deregister (§5.3.3)."""
        self._request(DEREGISTERED, m.DELETE, m.path_options(m.URI_PATH, self.location), b"", now, timeout, retries)

    def notify(
        self, now: int, payload: bytes, sequence: int, confirm=True, path=UPLINK, form=m.OPAQUE, timeout=0, retries=-1
    ) -> int:
        """A report on 19/0/0 (ctwing.md §2.3), or what `path` reads now, under the server's observation; `sequence` is
        its Observe number, 24 bits and growing (RFC 7641 §4.4). `timeout` and `retries` as in coap/exchange.py. Returns
        the message id. Raises KeyError while the server does not observe it."""
        options = [(m.OBSERVE, m.uint(sequence & 0xFFFFFF)), (m.CONTENT_FORMAT, m.uint(form))]
        mid = self.exchange.next_mid()
        if path != UPLINK:
            if len(payload) > _BLOCK:
                where = m.path_options(m.URI_PATH, path)
                options, payload = self.exchange.blockwise().notification(where, now, options, payload)
            self._told = self._told[1 - _TOLD :] + [(mid, path, self.tokens[path])]
        message = m.Message(m.CON if confirm else m.NON, m.CONTENT, mid, self.tokens[path], options, payload)
        self.exchange.send(message, now, timeout, retries)
        return mid

    def receive(self, data: bytes, now: int):
        """Takes a datagram; returns an event or None."""
        return self._event(self.exchange.receive(data, now))

    def poll(self, now: int):
        """Retransmits what is due; returns an event or None."""
        return self._event(self.exchange.poll(now))

    def _request(self, doing: int, code: int, options: list, payload: bytes, now: int, timeout: int, retries: int):
        mid = self.exchange.next_mid()
        # Both bytes of the message id: a late separate response must not pass for the present one (RFC 7252 §5.3.1).
        message = m.Message(m.CON, code, mid, bytes([mid >> 8, mid & 0xFF]), options, payload)
        self._doing = doing
        self._asked = mid
        self.exchange.send(message, now, timeout, retries)

    def _event(self, event):
        if event is None:
            return None
        kind = event[0]
        if kind == x.REQUEST:
            return self._serve(event[1])
        if kind == x.RESPONSE:
            return self._answered(event[1])
        if kind == x.ACKED:
            return (DELIVERED, event[1].mid)
        if kind == x.RESET:
            if event[1] == self._asked:
                return (REFUSED, m.EMPTY)
            for mid, path, token in self._told:
                if mid == event[1]:
                    if self.tokens.get(path) == token:
                        del self.tokens[path]
                    return (CANCELLED, path)
            self.tokens.pop(UPLINK, None)
            return (LOST, event[1])
        return (SILENT, event[1])

    def _answered(self, response):
        if response.code >> 5 != 2:
            return (REFUSED, response.code)
        if self._doing == REGISTERED:
            parts = response.all(m.LOCATION_PATH)
            try:
                location = b"/".join(parts).decode()
            except UnicodeError:
                location = ""  # no path that we could give back
            if response.code != m.CREATED or not location:
                return (REFUSED, response.code)
            self.location = location
        elif self._doing == DEREGISTERED:
            self.location = ""
            self.tokens = {}
        return (self._doing,)

    def _serve(self, request):
        """Answers a request of the server at once."""
        path = request.path()
        if request.critical():
            self.exchange.respond(request, m.BAD_OPTION)
        elif request.code == m.GET and (path == UPLINK or request.uint(m.ACCEPT) != m.LINK_FORMAT):
            return self._read(request, path)
        elif request.code == m.PUT and path == DOWNLINK and (request.payload or not request.all(m.URI_QUERY)):
            return self._written(request)
        elif not known(path):
            self.exchange.respond(request, m.NOT_FOUND)
        else:
            from m2m.manage import manage

            self.exchange.respond(request, *manage(self.tree, self.attributes, request, path))
        return (ASKED, path)

    def _read(self, request, path: str):
        accept = request.uint(m.ACCEPT)
        code, form, payload = self.tree.read(path, accept)
        options = [] if form is None else [(m.CONTENT_FORMAT, m.uint(form))]
        observe = request.uint(m.OBSERVE)
        event = (ASKED, path)
        room = path == UPLINK or len(set(self.tokens) - {UPLINK, path}) < _OBSERVED
        if code == m.CONTENT and observe == 0 and room:
            self.tokens[path] = request.token
            self.forms.pop(path, None)
            if accept is not None and path != UPLINK:
                self.forms[path] = accept
            options.append((m.OBSERVE, b""))
            event = (OBSERVED, path)
        elif observe == 1 and self.tokens.get(path) == request.token:
            del self.tokens[path]
            event = (CANCELLED, path)
        self.exchange.respond(request, code, options, payload)
        return event

    def _written(self, request):
        form = request.uint(m.CONTENT_FORMAT)
        event = (ASKED, DOWNLINK)
        if form not in (None, m.OPAQUE, m.TEXT):
            code = m.UNSUPPORTED_FORMAT
        elif len(request.payload) > _DOWNLINK_LIMIT:
            code = m.REQUEST_TOO_LARGE
        else:
            code = self.keep(request.payload)
            if code == m.CHANGED:
                event = (WRITTEN, request.payload)
        self.exchange.respond(request, code)
        return event
