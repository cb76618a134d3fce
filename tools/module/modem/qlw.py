"""AT+QLW…: the generic LwM2M commands of the guide (§4.1.3, §4.1.4, §6.1; ctwing.md §1.6), on the modem's own client.

The transcripts are EC800E's. What they do not show has the form of Quectel's AT layer for a sister silicon
(quecpython.md §3.13): `+QLWSTATUS: n`, the ranges of `=?`, the trailing 0 or 1 of QLWCONFIG. Inferred throughout: what
is ERROR; that configuration is kept over power-off and objects are not; that writes are buffered for QLWRD whatever the
host does with their URC.
"""

from collections import deque
from collections.abc import Callable

from tools.module.board import Board
from tools.module.modem import qlw_client as lw
from tools.module.modem.atcmd import Refused, number
from tools.module.modem.urc import Urcs

# name -> (least, most) of each value, and what the factory has set (guide §4.1.3.1)
CFG: dict[str, tuple[tuple[tuple[int, int], ...], tuple[int, ...]]] = {
    "retransmit": (((2, 20), (0, 8)), (2, 4)),  # ACK_TIMEOUT s, retries: by the ranges
    "auto_ack": (((0, 1),), (0,)),
    "lifetime_enable": (((0, 1),), (1,)),
    "dtls_mode": (((0, 1),), (0,)),
}

LIFETIME = (20, 31_536_000)
NAME_LIMIT, PSK_LIMIT, OBJECTS = 128, 256, 15  # bytes, digits, of the host's own (ctwing.md §1.6)
STRING, OPAQUE, INTEGER, FLOAT, BOOL = range(1, 6)
VALUE_LIMIT = 1024  # bytes (ctwing.md §2.5)
BUFFERED = 8  # what waits for QLWRD; what comes beyond is not kept: as another SDK's queue (ctwing.md §2.5)
BINDINGS = ("U", "UQ")

Handler = Callable[[list[str]], list[str]]


class Qlw:
    """The command group on one power-on."""

    def __init__(self, board: Board, urcs: Urcs) -> None:
        self.board, self.urcs = board, urcs
        self.buffer: deque[str] = deque()
        self._client: lw.Client | None = None
        self._custom: set[lw.Path] = set()
        self.on_registered: list[Callable[[int], None]] = []  # who else is told: tools/module/modem/lwm2m.py

    def commands(self) -> dict[tuple[str, str], Handler]:
        return {
            ("+QLWCFG", "?"): self._cfg_read, ("+QLWCFG", "=?"): self._cfg_test, ("+QLWCFG", "="): self._cfg_set,
            ("+QLWCONFIG", "?"): self._config_read, ("+QLWCONFIG", "="): self._config_set,
            ("+QLWCONFIG", "=?"): lambda _: [f"+QLWCONFIG: (0,1),<server_addr>,<port>,<endpoint_name>,"
                                             f"({LIFETIME[0]}-{LIFETIME[1]}),(0,3),<psk_id>,<psk_key>,(0,1)"],
            ("+QLWADDOBJ", "="): self._add_object, ("+QLWDELOBJ", "="): self._delete_object,
            ("+QLWREG", ""): self._reg, ("+QLWSTATUS", "?"): self._status, ("+QLWUPDATE", "="): self._update,
            ("+QLWDEREG", ""): self._dereg, ("+QLWRESET", ""): self._reset,
            ("+QLWOBSRSP", "="): lambda values: self._answer(values, "QLWOBSRSP", ("observe", "cancel")),
            ("+QLWRDRSP", "="): lambda values: self._answer(values, "QLWRDRSP", ("read",)),
            ("+QLWWRRSP", "="): lambda values: self._answer(values, "QLWWRRSP", ("write",)),
            ("+QLWEXERSP", "="): lambda values: self._answer(values, "QLWEXERSP", ("execute",)),
            ("+QLWNOTIFY", "="): self._notify, ("+QLWRD", ""): self._rd,
        }

    # -- configuration -------------------------------------------------------------------------------------------

    @property
    def _cfg(self) -> dict[str, tuple[int, ...]]:
        kept = self.board.nv.values.get("qlwcfg", {})
        return {name: tuple(kept.get(name, usual)) for name, (_, usual) in CFG.items()}

    def _cfg_read(self, _: list[str]) -> list[str]:
        return [_shown(name, values) for name, values in self._cfg.items()]

    def _cfg_test(self, _: list[str]) -> list[str]:
        return [f'+QLWCFG: "{name}",' + ",".join(f"({low}{',' if high - low == 1 else '-'}{high})"
                                                 for low, high in ranges) for name, (ranges, _) in CFG.items()]

    def _cfg_set(self, values: list[str]) -> list[str]:
        """With a name alone it is read (inferred). What is set holds from the next registration on: the guide sets
        `auto_ack` only before it."""
        name = values[0].lower()
        if name not in CFG:
            raise Refused
        if len(values) == 1:
            return [_shown(name, self._cfg[name])]
        ranges, _ = CFG[name]
        if len(values) - 1 != len(ranges):
            raise Refused
        given = [number(value, low, high) for value, (low, high) in zip(values[1:], ranges, strict=True)]
        self.board.nv.values.setdefault("qlwcfg", {})[name] = given
        return []

    def _config_read(self, _: list[str]) -> list[str]:
        kept = self.board.nv.values.get("qlwconfig")
        if kept is None:
            raise Refused
        host, port, endpoint, lifetime, security, psk_id, _, flag = kept
        return [f'+QLWCONFIG: 0,"{host}",{port},"{endpoint}",{lifetime},{security},"{psk_id}","",{flag}']

    def _config_set(self, values: list[str]) -> list[str]:
        """0,host,port,endpoint,lifetime,3[,0] or …,0,psk id,psk hex[,0]. No bootstrap: AEP has none for plain keys
        (ctwing.md §2.1). What the last 0 or 1 does is unknown."""
        self._need(lw.READY, False)
        if len(values) < 6:
            raise Refused
        number(values[0], 0, 0)
        security = number(values[5], 0, 3)
        if security not in (0, 3):
            raise Refused
        names, rest = (values[6:8], values[8:]) if security == 0 else (["", ""], values[6:])
        if len(names) != 2 or len(rest) > 1 or not 1 <= len(values[1]) <= 255 or not 1 <= len(values[3]) <= NAME_LIMIT:
            raise Refused
        if security == 0 and not (names[0] and len(names[0]) <= NAME_LIMIT and names[1] and len(names[1]) <= PSK_LIMIT):
            raise Refused
        _hex(names[1])
        self.board.nv.values["qlwconfig"] = [
            values[1], number(values[2], 1, 65535), values[3], number(values[4], *LIFETIME), security, *names,
            number(rest[0], 0, 1) if rest else 0,
        ]
        return []

    def _add_object(self, values: list[str]) -> list[str]:
        """object,instance,count,resources. One that is there already is ERROR (inferred)."""
        given = [number(value, 0, 65535) for value in values]
        if len(given) < 4 or len(given) != 3 + given[2]:
            raise Refused
        new = {(given[0], given[1], resource) for resource in given[3:]}
        known = {path[0] for path in self._custom | new}
        if given[0] < 8 or new & self._custom or len(known) > OBJECTS:
            raise Refused
        self._custom |= new
        return []

    def _delete_object(self, values: list[str]) -> list[str]:
        (which,) = _exactly(values, 1)
        gone = {path for path in self._custom if path[0] == number(which, 0, 65535)}
        if not gone:
            raise Refused
        self._custom -= gone
        return []

    # -- registration --------------------------------------------------------------------------------------------

    def _need(self, status: int, wanted: bool = True) -> None:
        """That the client is in this state, or is not."""
        if ((self._client.status if self._client else lw.NONE) == status) is not wanted:
            raise Refused

    def client(self) -> lw.Client:
        """The client, made when it is first wanted: a module that never registers draws nothing for it."""
        if self._client is None:
            told = lw.Told(
                registered=self._registered,
                updated=lambda result, mid: self.urcs.say(f"+QLWUPDATE: {result},{mid}"),
                deregistered=lambda result: self.urcs.say(f"+QLWDEREG: {result}"),
                acknowledged=lambda result, mid: self.urcs.say(f'+QLWURC: "report_ack",{result},{mid}'),
                asked=self._asked,
            )
            self._client = lw.Client(self.board, lw.Config(), told)
            self._client.custom = self._custom
        return self._client

    def _registered(self, result: int) -> None:
        self.urcs.say(f"+QLWREG: {result}")
        for told in self.on_registered:
            told(result)

    def _reg(self, _: list[str]) -> list[str]:
        kept = self.board.nv.values.get("qlwconfig")
        if kept is None or self.client().status in (lw.READY, lw.REGISTERING, lw.HANDSHAKE, lw.DNS_QUERY):
            raise Refused
        host, port, endpoint, lifetime, security, psk_id, psk, _ = kept
        cfg, client = self._cfg, self.client()
        client.custom = self._custom
        client.config = lw.Config(host, port, endpoint, lifetime, security, psk_id, psk,
                                  ack_timeout_s=cfg["retransmit"][0], retries=cfg["retransmit"][1],
                                  auto_ack=bool(cfg["auto_ack"][0]), auto_update=bool(cfg["lifetime_enable"][0]))
        client.register()
        return []

    def _status(self, _: list[str]) -> list[str]:
        return [f"+QLWSTATUS: {self._client.status if self._client else lw.NONE}"]

    def _update(self, values: list[str]) -> list[str]:
        """0,lifetime or 1,binding (0 U, 1 UQ)."""
        self._need(lw.READY)
        mode, value = _exactly(values, 2)
        if number(mode, 0, 1) == 0:
            self.client().update(number(value, *LIFETIME))
        else:
            self.client().update(binding=BINDINGS[number(value, 0, 1)])
        return []

    def _dereg(self, _: list[str]) -> list[str]:
        self._need(lw.READY)
        self.client().deregister()
        return []

    def _reset(self, _: list[str]) -> list[str]:
        """Back to the factory's settings, the registration forgotten (inferred)."""
        if self._client is not None:
            self._client.reset()
        self.buffer.clear()
        self._custom.clear()
        self.board.nv.values.pop("qlwcfg", None)
        self.board.nv.values.pop("qlwconfig", None)
        return []

    # -- data ----------------------------------------------------------------------------------------------------

    def _asked(self, held: lw.Held) -> None:
        """The server's request as a URC; one that is to be answered waits for QLWRD as well (guide §4.1.4.2)."""
        mid, where = held.request.mid, ",".join(str(part) for part in held.path)
        if held.kind in ("observe", "cancel"):
            text = f'"observe",{mid},{int(held.kind == "cancel")},{where}'
        elif held.kind == "write":
            data = held.request.payload
            text = f'"write",{mid},{where},{OPAQUE},{len(data)},{data.hex().upper()},0'
        else:
            text = f'"{held.kind}",{mid},{where}'
        if len(self.buffer) < BUFFERED:
            self.buffer.append(text)
        self.urcs.say("+QLWURC: " + text)

    def _rd(self, _: list[str]) -> list[str]:
        if not self.buffer:
            raise Refused
        text = self.buffer.popleft()
        return [f"+QLWRD: {len(self.buffer)},{text}"]

    def _answer(self, values: list[str], name: str, kinds: tuple[str, ...]) -> list[str]:
        """mid,result and, to a read or an Observe, object,instance,resource,type,length,value,index."""
        mid, result = number(values[0], 0, 65535), number(values[1] if len(values) > 1 else "", 1, 15)
        payload = None
        if kinds[0] in ("observe", "read") and len(values) > 2:
            payload = _value(_exactly(values, 9)[2:])[1]
        elif len(values) != 2:
            raise Refused
        if result not in lw.CODES:
            raise Refused
        try:
            self.client().answer(mid, kinds, result, payload)
        except KeyError:  # nobody asks, or it was answered too late
            raise Refused from None
        self.urcs.soon(f"+{name}: {mid},0")
        return []

    def _notify(self, values: list[str]) -> list[str]:
        """object,instance,resource,type,length,value,index[,ack[,rai]]. ERROR where nobody observes the path
        (inferred). A RAI flag has no effect here: the radio of this world has no such thing."""
        self._need(lw.READY)
        if not 7 <= len(values) <= 9:
            raise Refused
        path, payload = _value(values[:7])
        confirmed = bool(number(values[7], 0, 1)) if len(values) > 7 else False
        if len(values) > 8:
            number(values[8], 0, 2)
        if path not in self.client().now.tokens:
            raise Refused
        self.board.later(0.02, self._report, path, payload, confirmed)
        return []

    def _report(self, path: lw.Path, payload: bytes, confirmed: bool) -> None:
        """After the OK."""
        self.urcs.wake()

        def sent(mid: int) -> None:
            if confirmed:
                self.urcs.say(f'+QLWURC: "report",{mid}')
            self.urcs.say("+QLWNOTIFY: 0")

        if path in self.client().now.tokens:
            self.client().notify(path, payload, confirmed, sent)


def _shown(name: str, values: tuple[int, ...]) -> str:
    return f'+QLWCFG: "{name}",' + ",".join(str(value) for value in values)


def _exactly(values: list[str], count: int) -> list[str]:
    if len(values) != count:
        raise Refused
    return values


def _hex(text: str) -> bytes:
    if len(text) % 2 or text.strip("0123456789abcdefABCDEF"):
        raise Refused
    return bytes.fromhex(text)


def _value(values: list[str]) -> tuple[lw.Path, bytes]:
    """(path, bytes on the wire) of object,instance,resource,type,length,value,index. A value in several parts (an index
    other than 0) is in no transcript and refused."""
    *path, kind, size = (number(value, 0, 65535) for value in values[:5])
    number(values[6], 0, 0)
    data = _hex(values[5]) if kind == OPAQUE else values[5].encode()
    if kind not in (STRING, OPAQUE, INTEGER, FLOAT, BOOL) or size > VALUE_LIMIT or len(data) != size:
        raise Refused
    return (path[0], path[1], path[2]), data


def group(board: Board, urcs: Urcs) -> Qlw:
    """What tools/module/modem/atcmd.py fits where the profile names this file."""
    return Qlw(board, urcs)
