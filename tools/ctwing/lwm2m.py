"""The platform's LwM2M front: who may register, update and deregister, and what a registration is.

It answers as ctwing.md §2 documents AEP; where a source is silent the comment says so. No bootstrap; DTLS is dtls.py's.
"""

import asyncio
from collections import deque
from functools import partial

from aiocoap import ACK, CON, NON, Message
from aiocoap.numbers.codes import Code

from tools.ctwing import store as db
from tools.ctwing.draws import Draws
from tools.ctwing.exchange import Address
from tools.ctwing.faults import code_named
from tools.ctwing.requests import PAUSE, Requests
from tools.ctwing.session import (
    ENDPOINT,
    LIFETIME,
    LONG_LIFETIME,
    VERSION,
    Refused,
    Session,
    binding_of,
    lifetime_of,
    objects_of,
    parameters,
    peer_name,
)
from tools.ctwing.transfer import DATA_UP, EVERY, LINK_FORMAT, PLAN, Step, Transfer
from tools.world.events import Events

AT_ONCE, AT_ONCE_PAUSE = 50, 0.01  # datagrams of a burst, and seconds: what a loopback socket's buffer surely takes


class Lwm2mFront(Requests):
    """`draws` is the one source of chance; `token_length` None: drawn for every registration."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, events: Events, store: db.Store, draws: Draws, token_length: int | None
    ) -> None:
        super().__init__(loop, events, store, draws, token_length)
        self._addresses: dict[Address, str] = {}  # which device was last heard where: for the trace only

    # hooks of the message layer

    def recorded(self, direction: str, address: Address, raw: bytes) -> int:
        return self.store.add_trace(
            self.loop.time(), direction, peer_name(address), raw, self._addresses.get(address)
        )

    def dropped(self, address: Address, raw: bytes, reason: str) -> None:
        self._emit("malformed", f"{len(raw)} bytes from {peer_name(address)} dropped: {reason}", raw=raw, reason=reason)

    def request_received(self, request: Message, address: Address) -> Message:
        path, method = request.opt.uri_path, request.code
        try:
            if path == ("rd",):
                if method != Code.POST:
                    raise Refused(Code.METHOD_NOT_ALLOWED, "only POST registers")
                return self._register(request, address)
            if len(path) == 2 and path[0] == "rd" and path[1]:
                if method == Code.POST:
                    return self._update(request, path[1], address)
                if method == Code.DELETE:
                    return self._deregister(request, path[1], address)
                raise Refused(Code.METHOD_NOT_ALLOWED, "only POST updates and DELETE deregisters")
            raise Refused(Code.NOT_FOUND, f"there is no /{'/'.join(path)[:60]}")
        except Refused as refusal:
            code = refusal.code.dotted
            self._emit("rejected", f"{code} to {peer_name(address)}: {refusal}", code=code, path="/".join(path))
            return Message(code=refusal.code)

    def _sender(self, message: Message) -> str:
        """The device that this message names, by its endpoint or its token; "" where it is nobody's."""
        if message.code.is_response():
            session = self._session_of(message.token)
            return session.device.id if session is not None else ""
        path = message.opt.uri_path
        endpoint = path[1] if len(path) == 2 else ""
        for item in message.opt.uri_query if path == ("rd",) else ():
            endpoint = item[3:] if item.startswith("ep=") else endpoint
        device = self.store.device_by("endpoint", endpoint)
        return device.id if device is not None else ""

    def ignored(self, message: Message, address: Address) -> bool:
        device, path = self._sender(message), message.opt.uri_path
        if message.code.is_response() and device and not self.trusted(self._sessions[device].device, address):
            return True  # whoever it is
        if self._reports(message):
            moved = address != self._sessions[device].address
            return bool((moved and self.faults.take("ignore-new-address", device))
                        or self.faults.take("drop-report", device))
        if message.code != Code.POST or path[:1] != ("rd",) or len(path) > 2:
            return False
        return bool(self.faults.take("silent-register" if len(path) == 1 else "silent-update", device))

    def held(self, message: Message, answer: bytes) -> float | None:
        device = self._sender(message)
        if answer[0] >> 4 & 3 == ACK and self._reports(message) and self.faults.take("drop-ack", device):
            return None
        return float(self.faults.take("delay-answers", device) or 0.0)

    def separate(self, request: Message) -> float | None:
        device = self._sender(request)
        if request.opt.uri_path[:1] == ("rd",) and self.faults.take("separate-answers", device):
            return self.draws.ack_timeout(device)
        return None

    # registration

    def _register(self, request: Message, address: Address) -> Message:
        query = parameters(request)
        endpoint = query.get("ep", "")
        if not ENDPOINT.fullmatch(endpoint):
            raise Refused(Code.BAD_REQUEST, f"ep={endpoint[:40]!r} is missing or mangled")
        named = self._sender(request)
        self._on_purpose("refuse-register", named)
        lifetime, kept = self._lifetime(named, query)
        binding = binding_of(query, "U")
        if query.get("lwm2m") != VERSION:
            raise Refused(Code.PRECONDITION_FAILED, f"lwm2m={query.get('lwm2m', '')[:20]!r}: only {VERSION} is served")
        if request.opt.content_format not in (None, LINK_FORMAT):
            raise Refused(Code.UNSUPPORTED_CONTENT_FORMAT, "the object list is link-format (40)")
        device = self._admitted(endpoint)
        if not self.trusted(device, address):
            raise Refused(Code.FORBIDDEN, f"{endpoint}: not by {peer_name(address)}: the product's encryption, or "
                                          "another device's key")
        self.end(device.id, "registered anew", online=True)
        session = self._open(device, address, lifetime, binding, request.payload)
        self._expires_in(session, kept)
        self._adopted(session, address)
        self._emit("register", f"{endpoint} from {peer_name(address)}, lifetime {lifetime} s, binding {binding}",
                   device=device.id, endpoint=endpoint, lifetime=lifetime, binding=binding, address=address)
        if not device.online:
            self._emit("online", f"{device.name} is on-line", device=device.id)
        self.heard(session)
        late = self.faults.take("late-observe", device.id) if session.plan else None
        self._soon(session, float(late or PAUSE))
        return self._reply(request, session, Code.CREATED, ("rd", endpoint))

    def _admitted(self, endpoint: str) -> db.Device:
        """The device that registers under this endpoint; 4.03 where there is none (ctwing.md §8)."""
        device = self.store.device_by("endpoint", endpoint)
        if device is not None:
            return device
        imei = endpoint.removeprefix("urn:").removeprefix("imei-imsi:").removeprefix("imei:").split("-")[0]
        known = self.store.device_by("imei", imei)
        why = "no product has this device: create it, check the IMEI"
        if known is not None:
            why = f"the product's endpoint format expects {known.endpoint}"
        raise Refused(Code.FORBIDDEN, f"{endpoint}: {why}")

    def _open(self, device: db.Device, address: Address, lifetime: int, binding: str, links: bytes) -> Session:
        now = self.loop.time()
        product = self.store.product(device.product)
        assert product is not None
        number = self.store.open_registration(device.id, now, peer_name(address), lifetime, binding,
                                              objects_of(links))
        if device.life_cycle != db.ACTIVATED:
            self.store.set_life_cycle(device.id, db.ACTIVATED, now)
        length = self.token_length or self.draws.token_length(device.id)
        observes = product.auto_observe and not self.faults.take("no-observe", device.id)
        session = Session(device, product.power_mode, number, address, lifetime, binding, length,
                          deque(PLAN if observes else ()))
        # A DRX device hears us at any time while on-line; the others only after an uplink or Update (§2.8)
        session.flushing = product.power_mode == "DRX"
        self._sessions[device.id] = session
        return session

    def _on_purpose(self, switch: str, device: str) -> None:
        """Refuses where the switch is on."""
        code = self.faults.take(switch, device)
        if code:
            raise Refused(code_named(code), f"the switch {switch} is on")

    def _lifetime(self, device: str, query: dict[str, str]) -> tuple[int, int]:
        """The lifetime asked for, and the one that is kept."""
        try:
            lifetime = lifetime_of(query)
        except Refused:
            lifetime = lifetime_of(query, LONG_LIFETIME)  # whether AEP takes these is unknown (§10)
            honoured = self.faults.take("long-lifetime", device)
            if honoured is None:
                raise
            return lifetime, lifetime if honoured == "honoured" else LIFETIME[-1]
        return lifetime, lifetime

    def _expires_in(self, session: Session, seconds: int) -> None:
        if session.expiry is not None:
            session.expiry.cancel()
        session.kept = seconds
        at = self.loop.time() + seconds
        session.expiry = self.loop.call_at(at, self.end, session.device.id, "lifetime over")

    def _update(self, request: Message, endpoint: str, address: Address) -> Message:
        self._on_purpose("refuse-update", self._sender(request))
        session = self._session_at(endpoint, address)
        query = parameters(request)
        lifetime, kept = (
            self._lifetime(session.device.id, query) if "lt" in query else (session.lifetime, session.kept)
        )
        binding = binding_of(query, session.binding)
        session.lifetime, session.binding = lifetime, binding
        self._expires_in(session, kept)
        self._moved(session, address)
        self.store.update_registration(session.registration, self.loop.time(), peer_name(address), session.lifetime,
                                       session.binding)
        self._emit("update", f"{endpoint} from {peer_name(address)}", device=session.device.id, endpoint=endpoint,
                   lifetime=session.lifetime, address=address)
        session.flushing = True
        self.heard(session)
        self._soon(session)
        return self._reply(request, session, Code.CHANGED)

    def _deregister(self, request: Message, endpoint: str, address: Address) -> Message:
        session = self._session_at(endpoint, address)
        self._emit("deregister", f"{endpoint} deregisters", device=session.device.id, endpoint=endpoint)
        self.end(session.device.id, "deregistered")
        return self._reply(request, session, Code.DELETED)

    def _session_at(self, endpoint: str, address: Address) -> Session:
        device = self.store.device_by("endpoint", endpoint)
        session = self._sessions.get(device.id) if device else None
        if session is None:
            raise Refused(Code.NOT_FOUND, f"rd/{endpoint[:60]}: no registration, or its lifetime is over")
        if not self.trusted(session.device, address):
            raise Refused(Code.UNAUTHORIZED, f"rd/{endpoint[:60]}: not by {peer_name(address)}")
        return session

    def _reply(self, request: Message, session: Session, code: Code, location: tuple[str, ...] = ()) -> Message:
        response = Message(code=code, location_path=location)
        if request.mtype == NON:  # the response is a NON too, with a MID of our own (RFC 7252 §5.2.3)
            response.mid = self.next_mid(session.device.id)
        return response

    def _moved(self, session: Session, address: Address) -> None:
        super()._moved(session, address)
        self._adopted(session, address)

    def _adopted(self, session: Session, address: Address) -> None:
        if self._addresses.get(address) != session.device.id:
            self._addresses[address] = session.device.id
            self.store.adopt(self.row, peer_name(address), session.device.id)

    def end(self, device: str, reason: str, *, online: bool = False) -> None:
        """Ends the registration of a device, if it has one: its tokens are unknown from now on. `online`: a new one
        takes its place, so the device does not go off-line."""
        session = self._sessions.pop(device, None)
        if session is None:
            return
        for timer in (session.expiry, session.next):
            if timer is not None:
                timer.cancel()
        for token in list(session.observed):
            self._forget(session, token)
        self.store.end_registration(session.registration, self.loop.time(), reason)
        for exchange in session.busy:
            self.cancel(exchange)
            self._under_way(exchange.what[1].step, reason)
        if not online:
            self._emit("offline", f"{session.device.name} is off-line: {reason}", device=device, reason=reason)
            self.log.uncached(device, reason)

    def _under_way(self, step: Step, reason: str) -> None:
        """What was sent and not answered when the registration ended waits for the next one."""
        if step.command is not None and not step.again:
            self.log.take_back(step.command, reason)
        if step.request is not None:
            self.store.set_request(step.request, db.SAVED, reason)

    # fault switches that strike when a device is heard

    def heard(self, session: Session) -> None:
        device = session.device.id
        if self.faults.take("re-observe", device):
            session.plan.append(PLAN[1])
        if self.faults.take("every-request", device):
            session.plan.extend(EVERY)
        for name in ("flood", "garbage", "ping"):
            count = self.faults.take(name, device)
            if count:
                self.loop.call_later(PAUSE, partial(self._burst, session, name, int(count)))

    def _burst(self, session: Session, name: str, count: int) -> None:
        """Datagrams whose answers nobody waits for: they count as strays."""
        for _ in range(min(count, AT_ONCE)):
            self._send(self._stray(session, name), session.address)
        if count > AT_ONCE:
            self.loop.call_later(AT_ONCE_PAUSE, partial(self._burst, session, name, count - AT_ONCE))

    def _stray(self, session: Session, name: str) -> bytes:
        device = session.device.id
        if name == "garbage":
            return self.draws.garbage(device)
        request = Transfer(Step("read", "/3/0/0")).next() if name == "flood" else Message(code=Code.EMPTY)
        request.mtype, request.mid = CON, self.next_mid(device)
        if name == "flood":
            request.token = self._token(session, PLAN[2])
        return request.encode()

    # fault switches that strike at once

    def forget(self, device: str) -> None:
        """Forgets the observation of 19/0/0."""
        session = self._sessions.get(device)
        if session is not None:
            self.forget_observation(session, DATA_UP)
