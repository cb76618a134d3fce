"""AT+QI…: TCP by AT commands, as far as the guide's transcript goes (guide §4.3.3; ctwing.md §1.6). Data go in hex once
`dataformat` says so, else as they are. Only direct push (access mode 1), only out. Inferred: the numbers of failures,
and that `SEND OK` comes at once: it says no more than that the stack has the data.
"""

from collections.abc import Callable

from tools.module.board import Board
from tools.module.modem.at_stream import Stream
from tools.module.modem.atcmd import Prompt, Refused, number
from tools.module.modem.urc import Urcs

CONNECTIONS = 11  # 0-11 in Quectel's TCP/IP manuals
LONGEST = 1460  # bytes of one QISEND
FAILED = 566  # +QIOPEN of a connection that failed, in the same manuals

Handler = Callable[[list[str]], list[str]]


class Qi:
    """The command group on one power-on."""

    def __init__(self, board: Board, urcs: Urcs) -> None:
        self.board, self.urcs = board, urcs
        self._hex = [0, 0]  # of what is sent, and of what is received
        self._open: dict[int, Stream] = {}

    def commands(self) -> dict[tuple[str, str], Handler]:
        return {("+QICFG", "="): self._cfg, ("+QIOPEN", "="): self._connect, ("+QISEND", "="): self._send,
                ("+QISENDEX", "="): self._send_hex, ("+QICLOSE", "="): self._close}

    def _cfg(self, values: list[str]) -> list[str]:
        if values[0].lower() != "dataformat" or len(values) not in (1, 3):
            raise Refused
        if len(values) == 1:
            return ['+QICFG: "dataformat",{},{}'.format(*self._hex)]
        self._hex = [number(value, 0, 1) for value in values[1:]]
        return []

    def _connect(self, values: list[str]) -> list[str]:
        """context,connection,"TCP",host,port,local port,access mode. The guide's context is 0, manuals begin with 1."""
        if len(values) != 7 or values[2].upper() != "TCP" or not values[3]:
            raise Refused
        number(values[0], 0, 15)
        which, port = number(values[1], 0, CONNECTIONS), number(values[4], 1, 65535)
        number(values[5], 0, 0)
        number(values[6], 1, 1)
        if which in self._open:
            raise Refused

        def opened(good: bool) -> None:
            self.urcs.say(f"+QIOPEN: {which},{0 if good else FAILED}")
            if not good:
                del self._open[which]

        self._open[which] = Stream(self.board, values[3], port, opened, lambda data: self._came(which, data),
                                   lambda: self.urcs.say(f'+QIURC: "closed",{which}'))
        return []

    def _came(self, which: int, data: bytes) -> None:
        """Two lines: the head, then the data."""
        self.urcs.say(f'+QIURC: "recv",{which},{len(data)},')
        self.urcs.say(data.hex().upper() if self._hex[1] else data.decode("latin-1"))

    def _send(self, values: list[str]) -> list[str]:
        """connection,length and the data at the prompt, or connection,length,"data"."""
        which, size = self._known(values[0]), number(values[1] if len(values) > 1 else "", 1, LONGEST)
        if len(values) == 2:
            raise Prompt(2 * size if self._hex[0] else size, lambda text: self._write(which, text, size, ["SEND OK"]))
        if len(values) != 3:
            raise Refused
        self._write(which, values[2].encode(), size, [])
        self.urcs.soon("SEND OK")
        return []

    def _send_hex(self, values: list[str]) -> list[str]:
        """connection,hex; the answer is SEND OK alone."""
        if len(values) != 2:
            raise Refused
        which = self._known(values[0])
        raise Prompt(0, lambda _: self._write(which, values[1].encode(), None, ["SEND OK"], True))

    def _write(self, which: int, text: bytes, size: int | None, answer: list[str], in_hex: bool = False) -> list[str]:
        data = text
        if self._hex[0] or in_hex:
            try:
                data = bytes.fromhex(text.decode("ascii"))
            except ValueError:
                raise Refused from None
        if size is not None and len(data) != size or not self._open[which].stands:
            raise Refused
        self._open[which].write(data)
        return answer

    def _known(self, text: str) -> int:
        which = number(text, 0, CONNECTIONS)
        if which not in self._open or not self._open[which].stands:
            raise Refused
        return which

    def _close(self, values: list[str]) -> list[str]:
        which = number(values[0] if len(values) == 1 else "", 0, CONNECTIONS)
        if which not in self._open:
            raise Refused
        self._open.pop(which).close()
        self.urcs.soon("CLOSE OK")
        return []


def group(board: Board, urcs: Urcs) -> Qi:
    """What tools/module/modem/atcmd.py fits where the profile names this file."""
    return Qi(board, urcs)
