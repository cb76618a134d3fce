"""What the platform asks of its devices, and what becomes of it: observations, reports, commands, device management.

One request at a time (NSTART 1, RFC 7252 §4.7): first what follows a registration, then cached commands, then a user's
requests. A registration owns its tokens, whatever address a notify comes from: a module that wakes from PSM has a new
NAT port. Registrations themselves are lwm2m.py's.
"""

import asyncio
from collections.abc import Callable

from aiocoap import CON, NON, Message
from aiocoap.numbers.codes import Code

from tools.ctwing import store as db
from tools.ctwing import things
from tools.ctwing.commands import CommandLog
from tools.ctwing.draws import Draws
from tools.ctwing.exchange import Address, Exchange, MessageLayer, is_secure, nothing
from tools.ctwing.faults import Faults
from tools.ctwing.session import Session, peer_name
from tools.ctwing.tlv import readable
from tools.ctwing.transfer import DATA_DOWN, DATA_UP, OPAQUE, PLAN, Broken, Step, Transfer
from tools.world.coap import KINDS
from tools.world.events import Events

PAUSE = 0.05  # seconds between an answer and the platform's next request; an estimate


class Requests(MessageLayer):
    """`draws` is the one source of chance; `token_length` None: drawn for every registration."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, events: Events, store: db.Store, draws: Draws, token_length: int | None
    ) -> None:
        super().__init__(loop)
        self.events, self.store, self.draws, self.token_length = events, store, draws, token_length
        self.faults = Faults(events)
        self.log = CommandLog(loop, events, store)
        self.identity_at: Callable[[Address], str] = lambda address: ""  # whose DTLS session an address is
        self._sessions: dict[str, Session] = {}  # by device id
        self._tokens: dict[bytes, Session] = {}  # of observations; every session's `observed` has the path
        self._mids: dict[str, int] = {}  # the next MID per device id, "" for strangers

    def _emit(self, kind: str, text: str, **data: object) -> None:
        self.events.emit("aep", kind, text, **data)

    def _moved(self, session: Session, address: Address) -> None:
        """The device was heard at this address: what we send goes there."""
        session.address = address
        for exchange in session.busy:
            self.redirect(exchange, address)

    def next_mid(self, device: str = "") -> int:
        mid = self._mids.get(device, -1)
        if mid < 0:
            mid = self.draws.first_mid(device)
        self._mids[device] = (mid + 1) & 0xFFFF
        return mid

    def session(self, device: str) -> Session | None:
        """The living registration of a device."""
        return self._sessions.get(device)

    def heard(self, session: Session) -> None:
        """A device has reported."""
        raise NotImplementedError

    # hooks of the message layer

    def response_received(
        self, response: Message, address: Address, exchange: Exchange | None
    ) -> Callable[[], None] | None:
        if exchange is not None:
            session, transfer = exchange.what
            session.busy.remove(exchange)
            if self._reports(response, transfer.step) and self.faults.take("reset-report", session.device.id):
                self._emit("reset", "a report is reset: RST", token=response.token, device=session.device.id)
                self._soon(session)
                return None
            return self._answered(session, transfer, response, address)
        found = self._tokens.get(response.token)
        if found is None:
            text = f"{peer_name(address)} notifies with an unknown token: RST"
            self._emit("reset", text, token=response.token, mid=response.mid)
            return None
        why = self._to_reset(found, response, address)
        if why:
            self._emit("reset", f"{why}: RST", token=response.token, mid=response.mid, device=found.device.id)
            return None
        self._moved(found, address)
        return self._notified(found, response)

    def trusted(self, device: db.Device, address: Address) -> bool:
        """Whether the device may speak from there: through a DTLS session of its own where it has a key, else without
        one."""
        return self.identity_at(address) == device.imei if device.psk else not is_secure(address)

    def _session_of(self, token: bytes) -> Session | None:
        """Whose token it is: of an observation, or of a request under way."""
        exchange = self.asked_with(token)
        return self._tokens.get(token) or (exchange.what[0] if exchange is not None else None)

    def _reports(self, message: Message, asked: Step | None = None) -> bool:
        """Whether a CON or NON is a report: a notification of 19/0/0, or one that overtakes the answer to its Observe
        (that step is `asked`, where the request has ended)."""
        if not message.code.is_response() or message.mtype not in (CON, NON):
            return False
        session = self._tokens.get(message.token)
        if session is not None:
            return session.observed[message.token] == DATA_UP
        exchange = self.asked_with(message.token)
        step = asked if exchange is None else exchange.what[1].step
        return step is not None and (step.kind, step.path) == ("observe", DATA_UP) and bool(message.payload)

    def _to_reset(self, session: Session, response: Message, address: Address) -> str:
        """Why a notification is answered with RST, "" where it is not."""
        path, device = session.observed[response.token], session.device.id
        if path in session.resets:
            session.resets.remove(path)
            self._forget(session, response.token)
            return f"the observation of {path} is cancelled"
        if path == DATA_UP and self.faults.take("reset-report", device):
            return "a report is reset"
        if path == DATA_UP and address != session.address and self.faults.take("reset-new-address", device):
            return f"the device reports from {peer_name(address)} without an Update"
        return ""

    def repeated(self, message: Message, address: Address) -> None:
        session = self._tokens.get(message.token) if message.code.is_response() else None
        if session is not None:
            self._moved(session, address)

    def unanswered(self, exchange: Exchange, why: str) -> None:
        session, transfer = exchange.what
        step: Step = transfer.step
        session.busy.remove(exchange)
        if why == "reset":
            self._emit("reset", f"the device answers {step.kind} {step.path} with RST", device=session.device.id)
        if step.command is not None:
            self._unanswered_command(session, step, why)
        elif step.request is not None:
            self._unanswered_request(session, step.request, why)
        elif why == "timeout":
            self._emit("observe-failed", f"no answer to {step.kind} {step.path}", device=session.device.id)
            # How often AEP repeats an Observe is unknown (§10): here it is asked again at the device's next message.
            if step in PLAN:
                session.plan.appendleft(step)
                return
        self._soon(session)

    def _unanswered_command(self, session: Session, step: Step, why: str) -> None:
        if why == "timeout":
            session.flushing = False
        if step.command is None or step.again:
            return
        if why == "reset":
            self.log.finish(step.command, db.FAILED, "RST")
        else:
            self.log.take_back(step.command, "no answer")

    def _unanswered_request(self, session: Session, number: int, why: str) -> None:
        if why == "timeout":
            session.flushing = False
            self.store.set_request(number, db.SAVED, "no answer")
        else:
            self._settle(number, db.FAILED, "RST")

    def copies(self, exchange: Exchange) -> int:
        if exchange.what is None:
            return 1
        session, transfer = exchange.what
        device, step = session.device.id, transfer.step
        if step.kind == "observe" and step.path == DATA_UP and self.faults.take("lost-observe", device):
            return 0
        return 2 if self.faults.take("duplicate-requests", device) else 1

    # asking

    def wake(self, device: str, *, flush: bool) -> None:
        """Something was saved for a device on-line: sends it at once; `flush`: and all that waits before it."""
        session = self._sessions[device]
        session.flushing = session.flushing or flush
        self._soon(session, 0.0)

    def _soon(self, session: Session, pause: float = PAUSE) -> None:
        """Lets the next request follow, unless one is under way or already due."""
        if not session.busy and session.next is None:
            session.next = self.loop.call_later(pause, self._proceed, session)

    def _proceed(self, session: Session) -> None:
        session.next = None
        device = session.device.id
        if session.busy or self._sessions.get(device) is not session:
            return
        while True:
            asked = session.plan.popleft() if session.plan else self._next_cached(session)
            if asked is None:
                return
            transfer = asked if isinstance(asked, Transfer) else self._transfer(session, asked)
            self._ask(session, transfer)
            if transfer.step.command is None or not self.faults.take("burst-commands", device):
                return

    def _next_cached(self, session: Session) -> Step | None:
        """The oldest command that may go: any while flushing, otherwise only one that must not be cached (ttl 0); then
        the oldest request. Expired commands are none of them: aep.py takes each out of the cache the moment its ttl is
        over."""
        device = session.device.id
        for command in self.store.commands(device, db.SAVED):
            if session.flushing or not command.ttl:
                return Step("write", DATA_DOWN, command.id)
        for request in self.store.requests(device, db.SAVED) if session.flushing else ():
            step = self._requested(session, request)
            if step is not None:
                return step
        # Only a DRX device can still be reached when the cache is empty
        session.flushing = session.power_mode == "DRX"
        return None

    def _requested(self, session: Session, request: db.Request) -> Step | None:
        """The step of a user's request; None where it ends here and now."""
        if request.expires <= self.loop.time():
            self._settle(request.id, db.EXPIRED, "ttl over")
            return None
        if request.kind.startswith("cancel") and request.path not in session.observed.values():
            self._settle(request.id, db.FAILED, "not observed")
            return None
        if request.kind == "cancel-by-reset":
            session.resets.add(request.path)
            self._settle(request.id, db.ANSWERED, "the next notification gets a RST")
            return None
        query = tuple(request.query.split("&")) if request.query else ()
        return Step(request.kind, request.path, request=request.id, query=query, accept=request.accept)

    def _product(self, session: Session) -> db.Product:
        product = self.store.product(session.device.product)
        assert product is not None
        return product

    def _transfer(self, session: Session, step: Step) -> Transfer:
        if step.command is not None:
            command = self.store.command(step.command)
            assert command is not None
            if not step.again:
                self.store.set_command(step.command, db.SENT, self.loop.time())
            return Transfer(step, things.frame(self._product(session), command), int(OPAQUE))
        if step.request is not None:
            request = self.store.request(step.request)
            assert request is not None
            self.store.set_request(step.request, db.SENT)
            return Transfer(step, request.payload, request.format)
        return Transfer(step)

    def _ask(self, session: Session, transfer: Transfer) -> None:
        """The next message of a transfer."""
        device, step = session.device.id, transfer.step
        request = transfer.next()
        request.token = self._token(session, step)
        request.mid = self.next_mid(device)
        confirmable = step.command is None or not self.faults.take("non-writes", device)
        what, timeout = (session, transfer), self.draws.ack_timeout(device)
        session.busy.append(self.ask(request, session.address, timeout, what, confirmable=confirmable))
        if step.command is not None:
            self._emit("command-sent", f"PUT {step.path}, {len(request.payload)} bytes", device=device,
                       command=step.command, mid=request.mid, token=request.token)
        elif step.kind == "observe":
            self._emit("observe", f"Observe {step.path}", device=device, path=step.path, mid=request.mid,
                       token=request.token)

    def _token(self, session: Session, step: Step) -> bytes:
        """That of the observation to be cancelled, or one that no living observation has, of any device: a notify from
        a new port has nothing else."""
        if step.kind == "cancel":
            for token, path in session.observed.items():
                if path == step.path:
                    return token
        return self.draws.token(session.device.id, session.token_length, lambda token: token in self._tokens
                                or self.asked_with(token) is not None)

    # answers and notifications

    def _answered(
        self, session: Session, transfer: Transfer, response: Message, address: Address
    ) -> Callable[[], None]:
        step, first = transfer.step, not transfer.body
        self._moved(session, address)
        if step.command is not None:
            self._command_answered(session, step, response.code)
            return nothing
        after = nothing
        try:
            done = transfer.answered(response)
        except Broken as error:
            self._failed(session, step, str(error))
            return nothing
        if step.kind == "observe" and first:
            after = self._observed(session, step, response)
        if not done:
            self.loop.call_soon(self._go_on, session, transfer)
            return after
        if step.kind == "cancel":
            self._forget(session, response.token)
        if step.notified or (step.kind == "observe" and not first):
            self._notification(session, step.path, transfer)
        if step.request is not None:
            self._settle(step.request, db.ANSWERED, transfer.code.dotted, transfer.answer_format, transfer.body)
        elif step.kind != "observe":
            self._emit("read", f"{step.path}: {transfer.code.dotted} {transfer.body[:40]!r}", device=session.device.id,
                       path=step.path, code=transfer.code.dotted, payload=transfer.body)
        self._soon(session)
        return after

    def _go_on(self, session: Session, transfer: Transfer) -> None:
        if self._sessions.get(session.device.id) is session:
            self._ask(session, transfer)

    def _failed(self, session: Session, step: Step, why: str) -> None:
        self._emit("observe-failed", f"{step.kind} {step.path}: {why}", device=session.device.id, path=step.path)
        if step.request is not None:
            self._settle(step.request, db.FAILED, why)
        self._soon(session)

    def _command_answered(self, session: Session, step: Step, code: Code) -> None:
        if step.command is not None and not step.again:
            self.log.finish(step.command, db.DELIVERED if code == Code.CHANGED else db.FAILED, code.dotted)
        if not step.again and self.faults.take("repeat-commands", session.device.id):
            session.plan.append(Step(step.kind, step.path, step.command, again=True))
        self._soon(session)

    def _observed(self, session: Session, step: Step, response: Message) -> Callable[[], None]:
        code, separate = response.code.dotted, KINDS[response.mtype] != "ACK"
        # A notify may overtake the answer that was lost; China Telecom's SDK leaves out its Observe (ctwing.md §2.3)
        notify = separate and step.path == DATA_UP and bool(response.payload)
        if response.code != Code.CONTENT or (response.opt.observe is None and not notify):
            self.draws.retire(response.token)
            self._emit("observe-failed", f"{step.path} is not observed: {code}, no observation",
                       device=session.device.id, path=step.path, code=code)
            return nothing
        self.forget_observation(session, step.path)  # it has another token now
        session.observed[response.token] = step.path
        self._tokens[response.token] = session
        self._emit("observed", f"{step.path} is observed, token {response.token.hex()}", device=session.device.id,
                   path=step.path, token=response.token)
        # Whether AEP stores the body of the first answer is unknown (§2.3); one that is not empty is kept here
        partial_body = response.opt.block2 is not None and response.opt.block2.more
        return self._notified(session, response) if response.payload and not partial_body else nothing

    def forget_observation(self, session: Session, path: str) -> None:
        """The tokens of this path are unknown from now on."""
        for token in [token for token, observed in session.observed.items() if observed == path]:
            self._forget(session, token)

    def _forget(self, session: Session, token: bytes) -> None:
        if session.observed.pop(token, None) is not None:
            del self._tokens[token]
            self.draws.retire(token)

    def _notified(self, session: Session, response: Message) -> Callable[[], None]:
        device, path = session.device.id, session.observed[response.token]
        if response.code != Code.CONTENT:  # RFC 7641 §4.2: an error ends the observation
            self._forget(session, response.token)
            self._emit("observe-failed", f"{path} ended by the device: {response.code.dotted}", device=device,
                       path=path, code=response.code.dotted)
            return nothing
        if path != DATA_UP:
            self._other_notified(session, path, response)
            return nothing
        kind, payload = KINDS[response.mtype], response.payload
        uplink = self.store.add_uplink(device, self.loop.time(), payload, response.mid, response.token, kind)
        self._emit("uplink", f"{len(payload)} bytes, {kind}", device=device, uplink=uplink, payload=payload,
                   mid=response.mid, token=response.token, type=kind)
        found = things.decoded(self._product(session), payload)
        if found is not None and "taskId" in found:
            self.log.answered(device, found["taskId"], payload)
        session.flushing = True
        self.heard(session)
        self._soon(session)
        return lambda: self.store.acknowledge(uplink, self.loop.time())

    def _other_notified(self, session: Session, path: str, response: Message) -> None:
        transfer = Transfer(Step("read", path, notified=True))
        try:
            done = transfer.answered(response)
        except Broken as error:
            self._failed(session, transfer.step, str(error))
            return
        if done:
            self._notification(session, path, transfer)
            self._emit("read", f"{path}: {len(transfer.body)} bytes", device=session.device.id, path=path,
                       code=transfer.code.dotted, payload=transfer.body)
        else:  # RFC 7959 §2.6: the rest is read
            session.plan.appendleft(transfer)
            self._soon(session)

    def _notification(self, session: Session, path: str, transfer: Transfer) -> None:
        self.store.add_notification(session.device.id, self.loop.time(), path, transfer.answer_format, transfer.body)

    # what becomes of requests

    def _settle(self, number: int, status: str, result: str, answer_format: int | None = None,
                answer: bytes = b"") -> None:
        request = self.store.request(number)
        assert request is not None
        self.store.end_request(number, status, self.loop.time(), result, answer_format, answer)
        self._emit(f"request-{status.lower()}", f"{request.kind} {request.path}: {result}", device=request.device,
                   request=number, result=result, format=answer_format, payload=answer,
                   value=readable(answer, request.path, answer_format))
