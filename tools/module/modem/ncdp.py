"""AT+NCDP and its group: the other LwM2M commands that Quectel's AT layer knows for AEP (quecpython.md §3.13, ctwing.md
§2.9), on the modem's own client. They can be polled: whether a report was acknowledged, what came down.

The guide has no transcript of them. Their meaning is Quectel's header's; forms, states and numbers are those of the
NB-IoT modules that have the same group (QuecPython's `nb.AEP` names the same states, quecpython.md §3.14). Inferred:
that nothing outlives the power but the server's address and the lifetime, and that no key can be given.
"""

from collections import deque
from collections.abc import Callable

from tools.module.board import Board
from tools.module.modem import qlw_client as lw
from tools.module.modem.atcmd import Refused, number
from tools.module.modem.urc import Urcs

UP, DOWN = (19, 0, 0), (19, 1, 0)
DATA_LIMIT = 1024  # bytes (ctwing.md §2.5)
BUFFERED = 8  # downlinks that wait for NMGR; the newest is dropped beyond it (ctwing.md §2.5)
SEQUENCES = (0, 255)
LIFETIME = (120, 2_592_000)
EVENT_REGISTERED, EVENT_UPDATED, EVENT_OBSERVED = 0, 2, 3  # +QLWEVTIND (ctwing.md §2.9)

# AT+QLWULDATAEX's modes, and whether they are CON; the others ask for an early release.
MODES = {"0x0000": False, "0x0001": False, "0x0010": False, "0x0100": True, "0x0101": True}

UNSENT, WAITING, FAILED, TIMED_OUT, ACKNOWLEDGED, RESET = range(6)
"""What AT+QLWULDATASTATUS? says of the last CON."""

ENDS = {lw.OK: ACKNOWLEDGED, lw.TIMED_OUT: TIMED_OUT, lw.RESET: RESET}

STATES = {lw.NONE: "UNINITIALISED", lw.DNS_QUERY: "REGISTERING", lw.HANDSHAKE: "REGISTERING",
          lw.REGISTERING: "REGISTERING", lw.FAILED: "TIMEOUT", lw.REJECTED: "REJECTED_BY_SERVER",
          lw.DEREGISTERING: "REGISTERED", lw.DEREGISTERED: "DEREGISTERED"}

Handler = Callable[[list[str]], list[str]]


class Ncdp:
    """The command group on one power-on."""

    def __init__(self, board: Board, urcs: Urcs) -> None:
        self.board, self.urcs = board, urcs
        self._client: lw.Client | None = None
        self._down: deque[bytes] = deque()
        self._counts = dict.fromkeys(("received", "dropped", "sent", "error"), 0)
        self._status, self._sequence = UNSENT, 0
        self._told = dict.fromkeys(("NNMI", "NSMI", "QLWEVTIND"), 0)

    def commands(self) -> dict[tuple[str, str], Handler]:
        """QCFG's two keys are under their own names: tools/module/modem/atcmd.py asks for them."""
        return {
            ("+NCDP", "="): self._ncdp_set, ("+NCDP", "?"): self._ncdp_read, ("+NCDP", "=?"): lambda _: [],
            ("+QLWSREGIND", "="): self._register, ("+NMSTATUS", "?"): lambda _: [f"+NMSTATUS: {self._state()}"],
            ("+QREGSWT", "="): self._switch, ("+QREGSWT", "?"): lambda _: [f"+QREGSWT: {self._nv('switch', 0)}"],
            ("+NMGS", "="): lambda values: self._send(values, False),
            ("+QLWULDATA", "="): lambda values: self._send(values, False),
            ("+QLWULDATAEX", "="): self._send_by_mode, ("+QLWULDATASTATUS", "?"): self._data_status,
            ("+NMGR", ""): self._receive, ("+NQMGR", ""): self._queue_down, ("+NQMGS", ""): self._queue_up,
            ("+NNMI", "="): lambda values: self._tell("NNMI", values, 2),
            ("+NNMI", "?"): lambda _: [f"+NNMI: {self._told['NNMI']}"],
            ("+NSMI", "="): lambda values: self._tell("NSMI", values, 1),
            ("+NSMI", "?"): lambda _: [f"+NSMI: {self._told['NSMI']}"],
            ("+QLWEVTIND", "="): lambda values: self._tell("QLWEVTIND", values, 1),
            ("+QCFG", "lwm2m/lifetime"): self._lifetime,
        }

    # -- configuration and registration --------------------------------------------------------------------------

    def _nv(self, name: str, usual: int) -> int:
        return int(self.board.nv.values.get("ncdp", {}).get(name, usual))

    def _keep(self, name: str, value: object) -> None:
        self.board.nv.values.setdefault("ncdp", {})[name] = value

    def _ncdp_set(self, values: list[str]) -> list[str]:
        if not 1 <= len(values) <= 2 or not 1 <= len(values[0]) <= 47:
            raise Refused
        port = number(values[1], 1, 65535) if len(values) == 2 else 5683
        self._keep("host", values[0])
        self._keep("port", port)
        return []

    def _ncdp_read(self, _: list[str]) -> list[str]:
        kept = self.board.nv.values.get("ncdp", {})
        return [f"+NCDP: {kept['host']},{kept['port']}" if "host" in kept else "+NCDP:"]

    def _lifetime(self, values: list[str]) -> list[str]:
        if not values:
            return [f'+QCFG: "LWM2M/Lifetime",{self._nv("lifetime", 86400)}']
        if len(values) != 1:
            raise Refused
        self._keep("lifetime", number(values[0], *LIFETIME))
        return []

    def _switch(self, values: list[str]) -> list[str]:
        """0 by command, 1 by itself at power-on, 2 never. Only 0 and 2 have an effect here (inferred)."""
        self._keep("switch", number(values[0] if len(values) == 1 else "", 0, 2))
        return []

    def _tell(self, name: str, values: list[str], most: int) -> list[str]:
        self._told[name] = number(values[0] if len(values) == 1 else "", 0, most)
        return []

    def _state(self) -> str:
        status = self._client.status if self._client else lw.NONE
        if self._client is not None and status == lw.READY:
            return "REGISTERED_AND_OBSERVED" if UP in self._client.now.tokens else "REGISTERED"
        return STATES[status]

    def _register(self, values: list[str]) -> list[str]:
        """0 registers with the IMEI as endpoint, 1 deregisters."""
        kept = self.board.nv.values.get("ncdp", {})
        if "host" not in kept or self._nv("switch", 0) == 2:
            raise Refused
        client = self._client = self._client or self._made()
        if number(values[0] if len(values) == 1 else "", 0, 1) == 1:
            if client.status != lw.READY:
                raise Refused
            client.deregister()
            return []
        if client.status in (lw.DNS_QUERY, lw.REGISTERING, lw.DEREGISTERING):
            raise Refused
        client.config = lw.Config(kept["host"], kept["port"], self.board.identity.imei, self._nv("lifetime", 86400),
                                  auto_ack=True, auto_write=True)
        client.register()
        return []

    def _made(self) -> lw.Client:
        def event(number: int) -> None:
            if self._told["QLWEVTIND"]:
                self.urcs.say(f"+QLWEVTIND: {number}")

        told = lw.Told(
            registered=lambda result: event(EVENT_REGISTERED) if result == lw.OK else None,
            updated=lambda result, mid: event(EVENT_UPDATED) if result == lw.OK else None,
            deregistered=lambda result: None,
            acknowledged=self._ended,
            asked=lambda held: event(EVENT_OBSERVED) if held.kind == "observe" else self._came(held),
        )
        client = lw.Client(self.board, lw.Config(), told)
        client.custom = {UP, DOWN}
        return client

    # -- up ------------------------------------------------------------------------------------------------------

    def _send_by_mode(self, values: list[str]) -> list[str]:
        """length,hex,mode[,sequence]."""
        if not 3 <= len(values) <= 4 or values[2].lower() not in MODES:
            raise Refused
        return self._send(values[:2] + values[3:], MODES[values[2].lower()])

    def _send(self, values: list[str], confirmed: bool) -> list[str]:
        """length,hex[,sequence]. One CON at a time (as two other SDKs have it)."""
        if not 2 <= len(values) <= 3 or self._state() != "REGISTERED_AND_OBSERVED" or self._status == WAITING:
            raise Refused
        size, sequence = number(values[0], 1, DATA_LIMIT), number(values[2], *SEQUENCES) if len(values) == 3 else 0
        if len(values[1]) != 2 * size or values[1].strip("0123456789abcdefABCDEF"):
            raise Refused
        assert self._client is not None
        self._client.notify(UP, bytes.fromhex(values[1]), confirmed, lambda mid: None)
        self._counts["sent"] += 1
        if confirmed:
            self._status, self._sequence = WAITING, sequence
        if self._told["NSMI"]:
            self.urcs.soon("+NSMI: SENT")
        return []

    def _ended(self, result: int, mid: int) -> None:
        self._status = ENDS[result]
        self._counts["error"] += self._status != ACKNOWLEDGED
        self.urcs.say("+QLWULDATASTATUS: " + self._shown())

    def _data_status(self, _: list[str]) -> list[str]:
        return ["+QLWULDATASTATUS: " + self._shown()]

    def _shown(self) -> str:
        return f"{self._status},{self._sequence}" if self._sequence else str(self._status)

    def _queue_up(self, _: list[str]) -> list[str]:
        return [f"PENDING={int(self._status == WAITING)},SENT={self._counts['sent']},ERROR={self._counts['error']}"]

    # -- down ----------------------------------------------------------------------------------------------------

    def _came(self, held: lw.Held) -> None:
        """The client has answered 2.04 already: the group has no command for that."""
        self._counts["received"] += 1
        if len(self._down) >= BUFFERED:
            self._counts["dropped"] += 1
            return
        data = held.request.payload
        if self._told["NNMI"] == 1:
            self.urcs.say(f"+NNMI: {len(data)},{data.hex().upper()}")
            return
        self._down.append(data)
        if self._told["NNMI"] == 2:
            self.urcs.say("+NNMI")

    def _receive(self, _: list[str]) -> list[str]:
        """length,hex of the oldest; nothing but OK where there is none."""
        if not self._down:
            return []
        data = self._down.popleft()
        return [f"{len(data)},{data.hex().upper()}"]

    def _queue_down(self, _: list[str]) -> list[str]:
        counts = self._counts
        return [f"BUFFERED={len(self._down)},RECEIVED={counts['received']},DROPPED={counts['dropped']}"]


def group(board: Board, urcs: Urcs) -> Ncdp:
    """What tools/module/modem/atcmd.py fits where the profile names this file."""
    return Ncdp(board, urcs)
