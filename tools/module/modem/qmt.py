"""AT+QMT…: MQTT 3.1.1 by AT commands, as far as the guide's transcript goes (guide §4.2.3; ctwing.md §1.6), on a
connection of the modem's own. No TLS, no will, QoS 0 and 1. Inferred: the numbers of failures, the form of +QMTRECV.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tools.module.board import Board
from tools.module.modem.at_stream import Stream
from tools.module.modem.atcmd import Prompt, Refused, number
from tools.module.modem.urc import Urcs

CLIENTS = 5  # 0-5 in Quectel's MQTT manuals
LONGEST = 1548  # bytes of one message, there
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 14  # MQTT 3.1.1 §2.2.1

# name -> (least, most, at first) of what is set for a client (guide §4.2.3)
CFG = {"version": (3, 4, 3), "will": (0, 0, 0), "session": (0, 1, 1), "ssl": (0, 0, 0), "keepalive": (0, 3600, 120)}

Handler = Callable[[list[str]], list[str]]


@dataclass
class Client:
    """One client. `acked`: packet id -> what to say once it is acknowledged."""

    stream: Stream
    connected: bool = False
    data: bytearray = field(default_factory=bytearray)
    acked: dict[int, str] = field(default_factory=dict)


class Qmt:
    """The command group on one power-on."""

    def __init__(self, board: Board, urcs: Urcs) -> None:
        self.board, self.urcs = board, urcs
        self._cfg: dict[tuple[int, str], int] = {}
        self._open: dict[int, Client] = {}

    def commands(self) -> dict[tuple[str, str], Handler]:
        return {("+QMTCFG", "="): self._configure, ("+QMTOPEN", "="): self._connect, ("+QMTCONN", "="): self._greet,
                ("+QMTSUB", "="): self._subscribe, ("+QMTPUBEX", "="): self._publish,
                ("+QMTDISC", "="): lambda values: self._leave(values, "QMTDISC"),
                ("+QMTCLOSE", "="): lambda values: self._leave(values, "QMTCLOSE")}

    def _configure(self, values: list[str]) -> list[str]:
        name = values[0].lower()
        if name not in CFG or len(values) not in (2, 3):
            raise Refused
        low, high, usual = CFG[name]
        which = number(values[1], 0, CLIENTS)
        if len(values) == 2:
            return [f'+QMTCFG: "{name}",{which},{self._cfg.get((which, name), usual)}']
        self._cfg[which, name] = number(values[2], low, high)
        return []

    def _connect(self, values: list[str]) -> list[str]:
        """client,host,port: the TCP connection."""
        if len(values) != 3 or not 1 <= len(values[1]) <= 100:
            raise Refused
        which, port = number(values[0], 0, CLIENTS), number(values[2], 1, 65535)
        if which in self._open:
            raise Refused

        def opened(good: bool) -> None:
            self.urcs.say(f"+QMTOPEN: {which},{0 if good else -1}")
            if not good:
                del self._open[which]

        stream = Stream(self.board, values[1], port, opened, lambda data: self._came(which, data),
                        lambda: self._lost(which))
        self._open[which] = Client(stream)
        return []

    def _greet(self, values: list[str]) -> list[str]:
        """client,client id[,user[,password]]: CONNECT."""
        if not 2 <= len(values) <= 4:
            raise Refused
        client = self._client(values[0])
        if client.connected:
            raise Refused
        which = int(values[0])
        flags = 0x02 * self._cfg.get((which, "session"), 1)
        flags |= 0x80 * (len(values) > 2) | 0x40 * (len(values) > 3)
        keepalive = self._cfg.get((which, "keepalive"), 120)
        body = _text("MQTT") + bytes([4, flags]) + keepalive.to_bytes(2, "big")
        client.stream.write(_packet(CONNECT, 0, body + b"".join(_text(value) for value in values[1:])))
        return []

    def _subscribe(self, values: list[str]) -> list[str]:
        """client,packet id,topic,QoS."""
        if len(values) != 4 or not values[2]:
            raise Refused
        client, mid, qos = self._client(values[0], True), number(values[1], 1, 65535), number(values[3], 0, 1)
        client.stream.write(_packet(SUBSCRIBE, 2, mid.to_bytes(2, "big") + _text(values[2]) + bytes([qos])))
        client.acked[mid] = f"+QMTSUB: {values[0]},{mid},0,"
        return []

    def _publish(self, values: list[str]) -> list[str]:
        """client,packet id,QoS,retain,topic,length, and the message at the prompt; the packet id is 0 with QoS 0."""
        if len(values) != 6 or not values[4]:
            raise Refused
        client, qos, retain = self._client(values[0], True), number(values[2], 0, 1), number(values[3], 0, 1)
        mid, size = number(values[1], qos, 65535 * qos), number(values[5], 1, LONGEST)

        def enter(message: bytes) -> list[str]:
            head = _text(values[4]) + (mid.to_bytes(2, "big") if qos else b"")
            client.stream.write(_packet(PUBLISH, qos << 1 | retain, head + message))
            if qos:
                client.acked[mid] = f"+QMTPUBEX: {values[0]},{mid},0"
            else:
                self.urcs.soon(f"+QMTPUBEX: {values[0]},{mid},0")
            return ["OK"]

        raise Prompt(size, enter)

    def _leave(self, values: list[str], name: str) -> list[str]:
        """DISCONNECT, and the end of the connection."""
        which = number(values[0] if len(values) == 1 else "", 0, CLIENTS)
        client = self._client(values[0])
        if client.connected:
            client.stream.write(_packet(DISCONNECT, 0, b""))
        client.stream.close()
        del self._open[which]
        self.urcs.soon(f"+{name}: {which},0")
        return []

    def _client(self, text: str, connected: bool = False) -> Client:
        client = self._open.get(number(text, 0, CLIENTS))
        if client is None or not client.stream.stands or connected and not client.connected:
            raise Refused
        return client

    # -- the broker's packets ------------------------------------------------------------------------------------

    def _lost(self, which: int) -> None:
        self._open.pop(which, None)
        self.urcs.say(f"+QMTSTAT: {which},1")

    def _came(self, which: int, data: bytes) -> None:
        client = self._open[which]
        client.data += data
        while (found := _first(client.data)) is not None:
            self._take(which, client, *found)

    def _take(self, which: int, client: Client, head: int, body: bytes) -> None:
        kind = head >> 4
        mid = int.from_bytes(body[:2], "big")
        if kind == CONNACK and len(body) == 2:
            client.connected = body[1] == 0
            self.urcs.say(f"+QMTCONN: {which},0,{body[1]}")
        elif kind == SUBACK and len(body) == 3 and mid in client.acked:
            self.urcs.say(client.acked.pop(mid) + str(body[2]))
        elif kind == PUBACK and mid in client.acked:
            self.urcs.say(client.acked.pop(mid))
        elif kind == PUBLISH and len(body) > 2:
            topic, rest = body[2 : 2 + mid], body[2 + mid :]
            qos, mid = head >> 1 & 3, 0
            if qos:
                mid, rest = int.from_bytes(rest[:2], "big"), rest[2:]
                client.stream.write(_packet(PUBACK, 0, mid.to_bytes(2, "big")))
            said = f'"{topic.decode(errors="replace")}",{len(rest)},"{rest.decode(errors="replace")}"'
            self.urcs.say(f"+QMTRECV: {which},{mid},{said}")


def _text(value: str) -> bytes:
    raw = value.encode()
    return len(raw).to_bytes(2, "big") + raw


def _packet(kind: int, flags: int, body: bytes) -> bytes:
    """MQTT 3.1.1 §2.2: the head with its length, and the body."""
    size, digits = len(body), bytearray()
    while True:
        size, digit = size >> 7, size & 127
        digits.append(digit | 128 * (size > 0))
        if not size:
            return bytes([kind << 4 | flags]) + digits + body


def _first(data: bytearray) -> tuple[int, bytes] | None:
    """The first whole packet, taken out of what has come."""
    size = shift = 0
    for at in range(1, min(len(data), 5)):
        size |= (data[at] & 127) << shift
        shift += 7
        if not data[at] & 128:
            end = at + 1 + size
            if len(data) < end:
                return None
            head, body = data[0], bytes(data[at + 1 : end])
            del data[:end]
            return head, body
    return None


def group(board: Board, urcs: Urcs) -> Qmt:
    """What tools/module/modem/atcmd.py fits where the profile names this file."""
    return Qmt(board, urcs)
