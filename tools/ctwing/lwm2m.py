"""The platform's LwM2M front: registration, observation, uplinks of object 19, and commands cached until they can go.

It answers as ctwing.md §2 documents AEP; where a source is silent the comment says so. A registration owns its tokens,
whatever address a notify comes from: a module that wakes from PSM has a new NAT port. No DTLS, no bootstrap.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from aiocoap import NON, Message
from aiocoap.numbers.codes import Code
from aiocoap.numbers.contentformat import ContentFormat

from tools.ctwing import store as db
from tools.ctwing.draws import Draws
from tools.ctwing.exchange import KINDS, Address, Exchange, MessageLayer, nothing
from tools.ctwing.session import (
    DATA_DOWN,
    DATA_UP,
    ENDPOINT,
    PLAN,
    VERSION,
    Refused,
    Session,
    Step,
    binding_of,
    lifetime_of,
    objects_of,
    parameters,
    peer_name,
)
from tools.world.events import Events

LINK_FORMAT, OPAQUE = ContentFormat(40), ContentFormat(42)
PAUSE = 0.05  # seconds between an answer and the platform's next request; an estimate


class Lwm2mFront(MessageLayer):
    """`draws` is the one source of chance; `token_length` None: drawn for every registration."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, events: Events, store: db.Store, draws: Draws, token_length: int | None
    ) -> None:
        super().__init__(loop)
        self.events, self.store, self.draws, self.token_length = events, store, draws, token_length
        self._sessions: dict[str, Session] = {}  # by device id
        self._tokens: dict[bytes, Session] = {}  # of observations; every session's `observed` has the path
        self._addresses: dict[Address, str] = {}  # which device was last heard where: for the trace only
        self._mids: dict[str, int] = {}  # the next MID per device id, "" for strangers

    def _emit(self, kind: str, text: str, **data: object) -> None:
        self.events.emit("aep", kind, text, **data)

    # hooks of the message layer

    def recorded(self, direction: str, address: Address, raw: bytes) -> int:
        return self.store.add_trace(
            self.loop.time(), direction, peer_name(address), raw, self._addresses.get(address)
        )

    def dropped(self, address: Address, raw: bytes, reason: str) -> None:
        self._emit("malformed", f"{len(raw)} bytes from {peer_name(address)} dropped: {reason}", raw=raw, reason=reason)

    def next_mid(self, device: str = "") -> int:
        mid = self._mids.get(device, -1)
        if mid < 0:
            mid = self.draws.first_mid(device)
        self._mids[device] = (mid + 1) & 0xFFFF
        return mid

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
                    return self._deregister(request, path[1])
                raise Refused(Code.METHOD_NOT_ALLOWED, "only POST updates and DELETE deregisters")
            raise Refused(Code.NOT_FOUND, f"there is no /{'/'.join(path)[:60]}")
        except Refused as refusal:
            code = refusal.code.dotted
            self._emit("rejected", f"{code} to {peer_name(address)}: {refusal}", code=code, path="/".join(path))
            return Message(code=refusal.code)

    def response_received(
        self, response: Message, address: Address, exchange: Exchange | None
    ) -> Callable[[], None] | None:
        if exchange is not None:
            return self._answered(exchange.what[0], exchange.what[1], response, address)
        session = self._tokens.get(response.token)
        if session is None:
            text = f"{peer_name(address)} notifies with an unknown token: RST"
            self._emit("reset", text, token=response.token, mid=response.mid)
            return None
        self._moved(session, address)
        return self._notified(session, response)

    def unanswered(self, exchange: Exchange, why: str) -> None:
        session, step = exchange.what
        session.busy = None
        if why == "reset":
            self._emit("reset", f"the device answers {step.kind} {step.path} with RST", device=session.device.id)
        if step.command is not None:
            if why == "reset":
                self._finish(step.command, db.FAILED, "RST")
            else:
                session.flushing = False
                self._take_back(step.command, "no answer")
        elif why == "timeout":
            # How often AEP repeats an Observe is unknown (§10): here it is asked again at the device's next message.
            session.plan.appendleft(step)
            self._emit("observe-failed", f"no answer to {step.kind} {step.path}", device=session.device.id)
            return
        self._soon(session)

    # registration

    def session(self, device: str) -> Session | None:
        """The living registration of a device."""
        return self._sessions.get(device)

    def _register(self, request: Message, address: Address) -> Message:
        query = parameters(request)
        endpoint = query.get("ep", "")
        if not ENDPOINT.fullmatch(endpoint):
            raise Refused(Code.BAD_REQUEST, f"ep={endpoint[:40]!r} is missing or mangled")
        lifetime, binding = lifetime_of(query), binding_of(query, "U")
        if query.get("lwm2m") != VERSION:
            raise Refused(Code.PRECONDITION_FAILED, f"lwm2m={query.get('lwm2m', '')[:20]!r}: only {VERSION} is served")
        if request.opt.content_format not in (None, LINK_FORMAT):
            raise Refused(Code.UNSUPPORTED_CONTENT_FORMAT, "the object list is link-format (40)")
        device = self._admitted(endpoint)
        self.end(device.id, "registered anew", online=True)
        session = self._open(device, address, lifetime, binding, request.payload)
        self._adopted(session, address)
        self._emit("register", f"{endpoint} from {peer_name(address)}, lifetime {lifetime} s, binding {binding}",
                   device=device.id, endpoint=endpoint, lifetime=lifetime, binding=binding, address=address)
        if not device.online:
            self._emit("online", f"{device.name} is on-line", device=device.id)
        self._soon(session)
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
        session = Session(device, product.power_mode, number, address, lifetime, binding, length,
                          deque(PLAN if product.auto_observe else ()))
        # A DRX device hears us at any time while on-line; the others only after an uplink or Update (§2.8)
        session.flushing = product.power_mode == "DRX"
        self._sessions[device.id] = session
        session.expiry = self.loop.call_at(now + lifetime, self.end, device.id, "lifetime over")
        return session

    def _update(self, request: Message, endpoint: str, address: Address) -> Message:
        session = self._session_at(endpoint)
        query = parameters(request)
        lifetime = lifetime_of(query) if "lt" in query else session.lifetime
        binding = binding_of(query, session.binding)
        session.lifetime, session.binding = lifetime, binding
        if session.expiry is not None:
            session.expiry.cancel()
        now = self.loop.time()
        session.expiry = self.loop.call_at(now + session.lifetime, self.end, session.device.id, "lifetime over")
        self._moved(session, address)
        self.store.update_registration(
            session.registration, now, peer_name(address), session.lifetime, session.binding
        )
        self._emit("update", f"{endpoint} from {peer_name(address)}", device=session.device.id, endpoint=endpoint,
                   lifetime=session.lifetime, address=address)
        session.flushing = True
        self._soon(session)
        return self._reply(request, session, Code.CHANGED)

    def _deregister(self, request: Message, endpoint: str) -> Message:
        session = self._session_at(endpoint)
        self._emit("deregister", f"{endpoint} deregisters", device=session.device.id, endpoint=endpoint)
        self.end(session.device.id, "deregistered")
        return self._reply(request, session, Code.DELETED)

    def _session_at(self, endpoint: str) -> Session:
        device = self.store.device_by("endpoint", endpoint)
        session = self._sessions.get(device.id) if device else None
        if session is None:
            raise Refused(Code.NOT_FOUND, f"rd/{endpoint[:60]}: no registration, or its lifetime is over")
        return session

    def _reply(self, request: Message, session: Session, code: Code, location: tuple[str, ...] = ()) -> Message:
        response = Message(code=code, location_path=location)
        if request.mtype == NON:  # the response is a NON too, with a MID of our own (RFC 7252 §5.2.3)
            response.mid = self.next_mid(session.device.id)
        return response

    def _moved(self, session: Session, address: Address) -> None:
        """The device was heard at this address: what we send goes there."""
        session.address = address
        if session.busy is not None:
            self.redirect(session.busy, address)
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
        for token in session.observed:
            del self._tokens[token]
            self.draws.retire(token)
        self.store.end_registration(session.registration, self.loop.time(), reason)
        if session.busy is not None:
            self.cancel(session.busy)
            if session.busy.what[1].command is not None:
                self._take_back(session.busy.what[1].command, reason)
        if not online:
            self._emit("offline", f"{session.device.name} is off-line: {reason}", device=device, reason=reason)
            for command in self.store.commands(device, db.SAVED):
                if command.ttl == 0:
                    self._finish(command.id, db.FAILED, reason)

    # the platform's requests

    def wake(self, device: str, *, flush: bool) -> None:
        """A command was saved for a device on-line: sends it at once; `flush`: and all that wait before it."""
        session = self._sessions[device]
        session.flushing = session.flushing or flush
        self._soon(session, 0.0)

    def _soon(self, session: Session, pause: float = PAUSE) -> None:
        """Lets the next request follow, unless one is under way or already due."""
        if session.busy is None and session.next is None:
            session.next = self.loop.call_later(pause, self._proceed, session)

    def _proceed(self, session: Session) -> None:
        session.next = None
        if session.busy is not None or self._sessions.get(session.device.id) is not session:
            return
        step = session.plan.popleft() if session.plan else self._next_write(session)
        if step is not None:
            self._ask(session, step)

    def _next_write(self, session: Session) -> Step | None:
        """The oldest command that may go: any while flushing, otherwise only one that must not be cached (ttl 0). The
        expired ones are none of them: aep.py takes each out of the cache the moment its ttl is over."""
        for command in self.store.commands(session.device.id, db.SAVED):
            if session.flushing or not command.ttl:
                return Step("write", DATA_DOWN, command.id)
        # Only a DRX device can still be reached when the cache is empty
        session.flushing = session.power_mode == "DRX"
        return None

    def _ask(self, session: Session, step: Step) -> None:
        device = session.device.id
        request = Message(code=Code.PUT if step.kind == "write" else Code.GET)
        request.opt.uri_path = step.path.strip("/").split("/")
        if step.kind == "observe":
            request.opt.observe = 0
            if step.path == DATA_UP:
                request.opt.accept = OPAQUE  # Huawei's variant of the same lineage, ctwing.md §2.2
        if step.command is not None:
            command = self.store.command(step.command)
            assert command is not None
            request.payload, request.opt.content_format = command.content, OPAQUE
            self.store.set_command(step.command, db.SENT, self.loop.time())
        request.token = self._draw_token(session)
        request.mid = self.next_mid(device)
        session.busy = self.ask(request, session.address, self.draws.ack_timeout(device), (session, step))
        if step.command is not None:
            self._emit("command-sent", f"PUT {step.path}, {len(request.payload)} bytes", device=device,
                       command=step.command, mid=request.mid, token=request.token)
        elif step.kind == "observe":
            self._emit("observe", f"Observe {step.path}", device=device, path=step.path, mid=request.mid,
                       token=request.token)

    def _draw_token(self, session: Session) -> bytes:
        """A token that no living observation has, of any device: a notify from a new port has nothing else."""
        return self.draws.token(session.device.id, session.token_length, lambda token: token in self._tokens
                                or self.waits_for(token))

    # answers and notifications

    def _answered(self, session: Session, step: Step, response: Message, address: Address) -> Callable[[], None]:
        session.busy = None
        self._moved(session, address)
        after, code = nothing, response.code.dotted
        if step.command is not None:
            delivered = response.code == Code.CHANGED
            self._finish(step.command, db.DELIVERED if delivered else db.FAILED, code)
        elif step.kind == "observe":
            after = self._observed(session, step, response)
        else:
            self._emit("read", f"{step.path}: {code} {response.payload[:40]!r}", device=session.device.id,
                       path=step.path, code=code, payload=response.payload)
        self._soon(session)
        return after

    def _observed(self, session: Session, step: Step, response: Message) -> Callable[[], None]:
        code, separate = response.code.dotted, KINDS[response.mtype] != "ACK"
        # A notify may overtake the answer that was lost; China Telecom's SDK leaves out its Observe (ctwing.md §2.3)
        notify = separate and step.path == DATA_UP and bool(response.payload)
        if response.code != Code.CONTENT or (response.opt.observe is None and not notify):
            self.draws.retire(response.token)
            self._emit("observe-failed", f"{step.path} is not observed: {code}, no observation",
                       device=session.device.id, path=step.path, code=code)
            return nothing
        session.observed[response.token] = step.path
        self._tokens[response.token] = session
        self._emit("observed", f"{step.path} is observed, token {response.token.hex()}", device=session.device.id,
                   path=step.path, token=response.token)
        # Whether AEP stores the body of the first answer is unknown (§2.3); one that is not empty is kept here
        return self._notified(session, response) if response.payload else nothing

    def _notified(self, session: Session, response: Message) -> Callable[[], None]:
        device, path = session.device.id, session.observed[response.token]
        if response.code != Code.CONTENT:  # RFC 7641 §4.2: an error ends the observation
            del session.observed[response.token], self._tokens[response.token]
            self.draws.retire(response.token)
            self._emit("observe-failed", f"{path} ended by the device: {response.code.dotted}", device=device,
                       path=path, code=response.code.dotted)
            return nothing
        if path != DATA_UP:
            self._emit("read", f"{path}: {len(response.payload)} bytes", device=device, path=path,
                       code=response.code.dotted, payload=response.payload)
            return nothing
        kind, payload = KINDS[response.mtype], response.payload
        uplink = self.store.add_uplink(device, self.loop.time(), payload, response.mid, response.token, kind)
        self._emit("uplink", f"{len(payload)} bytes, {kind}", device=device, uplink=uplink, payload=payload,
                   mid=response.mid, token=response.token, type=kind)
        session.flushing = True
        self._soon(session)
        return lambda: self.store.acknowledge(uplink, self.loop.time())

    # what becomes of commands

    def _finish(self, number: int, status: str, result: str) -> None:
        command = self.store.command(number)
        assert command is not None
        self.store.set_command(number, status, self.loop.time(), result)
        self._emit(f"command-{status.lower()}", f"command {number}: {result}", device=command.device, command=number,
                   result=result)

    def _take_back(self, number: int, why: str) -> None:
        """A command that was sent and not answered waits again while its ttl lasts."""
        command = self.store.command(number)
        assert command is not None
        if command.ttl == 0:
            self._finish(number, db.FAILED, why)
        elif command.expires <= self.loop.time():
            self._finish(number, db.EXPIRED, why)
        else:
            self.store.set_command(number, db.SAVED, self.loop.time(), why)
            self._emit("command-saved", f"command {number} waits again: {why}", device=command.device, command=number)
