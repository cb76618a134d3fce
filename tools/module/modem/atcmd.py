"""`atcmd.sendSync` and the AT interpreter behind it (quecpython.md §3.12, §4.4; guide §6.1).

There are no URCs: `sendSync` shows only the answer to its own command. A command that is malformed, or that this modem
does not have, is ERROR and changes nothing. Where the form of an answer is in no source, the code says so.
"""

import ipaddress
import random
import re
from collections.abc import Callable
from importlib import import_module

from tools.module.board import Board, Firmware
from tools.module.modem import timers
from tools.module.modem.urc import Urcs

OK, ERROR, CME_ERROR, CMS_ERROR, INVALID, TIMEOUT, SYSTEM = range(7)
LONGEST_TIMEOUT_S = 600
ANSWER_MS = (3, 8)  # estimate

SIM_NOT_INSERTED, SIM_PIN, SIM_PUK, SIM_FAILURE, SIM_BUSY = 10, 11, 12, 13, 14
"""+CME ERROR numbers (TS 27.007 §9.2.2)."""

FORM = re.compile(r"AT(?:([+&]?[A-Z]+)(?:(=\?|\?)|=(.*))?)?", re.DOTALL | re.IGNORECASE)
"""AT, ATI, AT+NAME, AT+NAME?, AT+NAME=?, AT+NAME=values."""


NO_SERVER = "0.0.0.0"


class Refused(Exception):
    """The command fails: +CME ERROR with a number, else plain ERROR."""

    def __init__(self, number: int | None = None) -> None:
        super().__init__(number)
        self.number = number


def fields(text: str) -> list[str]:
    """The comma-separated values; strings without their quotes. Refused on unbalanced or misplaced quotes."""
    if not re.fullmatch(r'(?:"[^"]*"|[^",]*)(?:,(?:"[^"]*"|[^",]*))*', text):
        raise Refused
    return [field.strip().strip('"') for field in re.findall(r'("[^"]*"|[^",]*),', text + ",")]


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def number(text: str, least: int, most: int) -> int:
    """A decimal within its range, or Refused."""
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise Refused
    return int(text)


class Atcmd(Firmware):
    NAME = "atcmd"

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._rng = random.Random(board.rng.getrandbits(64))
        self._cereg = 0
        self.urcs = Urcs(board)
        self._sleep = [0]  # QSCLK's values as set
        self._urc_port = "usbat"  # estimate
        self.groups = [import_module(f"tools.module.modem.{name}").group(board, self.urcs)
                       for name in board.profile.at_groups]
        self._more = {key: handler for group in self.groups for key, handler in group.commands().items()}
        self._scripted: dict[str, tuple[float, list[str], int]] = {}  # by a test: {command: (seconds, lines, result)}

    async def sendSync(self, cmd: str, resp: bytearray, include_str: str, timeout: int) -> int:
        """0 OK, 1 ERROR, 2 +CME ERROR, 3 +CMS ERROR, 4 invalid parameter, 5 timeout, 6 system error; -1 for a timeout
        of 0 or less. `resp` is filled with the answer without its final OK, and zeros; cut where it is full. A missing
        line end as invalid parameter, and a timeout above 600 s as well, are inferred."""
        if type(timeout) is not int or timeout <= 0:
            return -1
        if not isinstance(cmd, str) or not cmd.endswith("\r\n") or timeout > LONGEST_TIMEOUT_S:
            return INVALID
        command = cmd.strip()
        seconds, lines, result = self._scripted.get(command) or (self._rng.randint(*ANSWER_MS) / 1000, None, OK)
        if broken := self.board.nv.values.get("at"):  # the world's: "error" or "silent"
            seconds, lines, result = (seconds if broken == "error" else timeout + 1), ["ERROR"], ERROR
        if seconds > timeout:
            await self.board.radio.work(timeout)
            self._fill(resp, b"")
            return TIMEOUT
        await self.board.radio.work(seconds)
        if lines is None:
            lines, result = self._run(command)
        self.board.events.emit("module", "at", command, result=result)
        shown = [line for line in lines if include_str in line]
        self._fill(resp, b"".join(b"\r\n%s\r\n" % line.encode() for line in shown) + b"\n" * bool(shown))
        return result

    @staticmethod
    def _fill(resp: bytearray, answer: bytes) -> None:
        """The doc's samples: b'\\r\\n+CPIN: READY\\r\\n\\n' and b'\\r\\nERROR\\r\\n\\n', then zeros. A bare OK leaves
        nothing (inferred); the form of more than one line is inferred."""
        resp[:] = answer[: len(resp)].ljust(len(resp), b"\0")

    def _run(self, command: str) -> tuple[list[str], int]:
        form = FORM.fullmatch(command)
        try:
            if form is None:
                raise Refused
            name, question, values = form.groups()
            if name is None:
                return [], OK
            key = (name.upper(), "=" if values is not None else question or "")
            given = fields(values) if values is not None else []
            if key in self._more:
                return self._more[key](given), OK
            handler = COMMANDS.get(key)
            if handler is None:
                raise Refused
            return handler(self, given), OK
        except Refused as refused:
            if refused.number is None:
                return ["ERROR"], ERROR
            return [f"+CME ERROR: {refused.number}"], CME_ERROR

    # -- identity and SIM ----------------------------------------------------------------------------------------

    def _ati(self, _: list[str]) -> list[str]:
        return ["Quectel", self.board.profile.name, f"Revision: {self.board.profile.firmware_version}"]

    def _cgsn(self, _: list[str]) -> list[str]:
        return [self.board.identity.imei]

    def _cimi(self, _: list[str]) -> list[str]:
        self._need_sim()
        return [self.board.identity.imsi]

    def _qccid(self, _: list[str]) -> list[str]:
        if self.board.sim.status in (0, 18):
            raise Refused(SIM_NOT_INSERTED if self.board.sim.status == 0 else SIM_BUSY)
        return [f"+QCCID: {self.board.identity.iccid}"]

    def _cpin(self, _: list[str]) -> list[str]:
        if self.board.sim.status in (2, 3):
            return ["+CPIN: SIM PIN" if self.board.sim.status == 2 else "+CPIN: SIM PUK"]
        self._need_sim()
        return ["+CPIN: READY"]

    def _need_sim(self) -> None:
        causes = {0: SIM_NOT_INSERTED, 2: SIM_PIN, 3: SIM_PUK, 18: SIM_BUSY}
        if not self.board.sim.ready:
            raise Refused(causes.get(self.board.sim.status, SIM_FAILURE))

    # -- network -------------------------------------------------------------------------------------------------

    def _csq(self, _: list[str]) -> list[str]:
        return [f"+CSQ: {self.board.firmware['net'].csqQueryPoll()},99"]

    def _cereg_set(self, values: list[str]) -> list[str]:
        (value,) = _exactly(values, 1)
        self._cereg = number(value, 0, 5)
        return []

    def _cereg_read(self, _: list[str]) -> list[str]:
        """n,stat[,tac,ci,AcT[,cause type,cause[,active time,periodic TAU]]] (TS 27.007 §10.1.22): n = 4 ends with the
        granted T3324 and T3412 as bits, in that order."""
        radio = self.board.radio
        text = f"+CEREG: {self._cereg},{radio.state}"
        if self._cereg >= 2 and radio.registered:
            cell = radio.carrier.cell
            text += f',"{cell.tac:X}","{cell.cell_id:X}",7'
            if self._cereg >= 4 and radio.granted:
                text += f',,,"{radio.granted.active_bits}","{radio.granted.tau_bits}"'
        return [text]

    def _cgpaddr(self, _: list[str]) -> list[str]:
        """Without an address: zeros (inferred)."""
        up = self.board.radio.pdp or {1: ("0.0.0.0", None)}
        shown = {profile: ",".join(f'"{ip}"' for ip in addresses if ip) for profile, addresses in sorted(up.items())}
        return [f"+CGPADDR: {profile},{text}" for profile, text in shown.items()]

    def _qeng(self, values: list[str]) -> list[str]:
        """The guide's line (guide §6.1, ctwing.md §7.7); without a cell only "SEARCH" (inferred)."""
        if [value.lower() for value in values] != ["servingcell"]:
            raise Refused
        radio, cell = self.board.radio, self.board.radio.carrier.cell
        if not radio.registered:
            return ['+QENG: "servingcell","SEARCH"']
        state = "CONNECT" if radio.rrc == "connected" else "NOCONN"
        drift = self._rng.randint(-3, 3)
        self.board.firmware["net"]._sensed("rsrp", cell.rsrp + drift)
        return [f'+QENG: "servingcell","{state}","LTE","FDD",{cell.mcc},{int(cell.mnc)},{cell.cell_id:X},{cell.pci},'
                f"{cell.earfcn},{cell.band},{cell.bandwidth},{cell.bandwidth},{cell.tac:X},{cell.rsrp + drift},"
                f"{cell.rsrq},{cell.rssi + drift},{cell.sinr},{cell.srxlev}"]

    def _qidnscfg(self, values: list[str]) -> list[str]:
        """Shows the name servers, or sets them (guide's FAQ). Not kept over power-off (inferred)."""
        profile = number(values[0], 1, 3)
        radio = self.board.radio
        if len(values) == 1:
            return ['+QIDNSCFG: {},"{}","{}"'.format(profile, *radio.servers(profile))]
        if len(values) > 3 or not all(is_address(value) for value in values[1:]):
            raise Refused
        radio.dns[profile] = (values[1], values[2] if len(values) == 3 else NO_SERVER)
        return []

    def _cfun(self, _: list[str]) -> list[str]:
        return [f"+CFUN: {self.board.radio.fun}"]

    def _cscon_set(self, values: list[str]) -> list[str]:
        (value,) = _exactly(values, 1)
        self.urcs.cscon = number(value, 0, 1)
        return []

    def _cscon_read(self, _: list[str]) -> list[str]:
        """n,mode: 0 idle, 1 connected (TS 27.007 §10.1.30)."""
        return [f"+CSCON: {self.urcs.cscon},{int(self.board.radio.rrc == 'connected')}"]

    # -- sleep ---------------------------------------------------------------------------------------------------

    def _qsclk_set(self, values: list[str]) -> list[str]:
        """0 off, 1 light sleep; 2 or 3,<delay 1-255 s>,"<T3412>","<T3324>" is sleep with PSM: 3 in guide §6.1, 2 in
        another SDK (quecpython.md §4.4). The order of the timers is inferred (ctwing.md §7.3)."""
        mode = number(values[0], 0, 3)
        if mode < 2:
            _exactly(values, 1)
            self._sleep = [mode]
            self.board.firmware["pm"].autosleep(mode)
            return []
        self._need_psm()
        _, delay, tau, active = _exactly(values, 4)
        request = _timers(tau, active)
        self._sleep = [mode, number(delay, 1, 255)]
        self.board.firmware["pm"].autosleep(1)
        self.board.radio.request_psm([1, *request])
        return []

    def _qsclk_read(self, _: list[str]) -> list[str]:
        """The form is inferred from the setting's."""
        mode, delay = self._sleep[0], self._sleep[1:]
        if mode < 2:
            return [f"+QSCLK: {self.board.radio.autosleep}"]
        _, *request = self.board.nv.values["psm"]
        return [f'+QSCLK: {mode},{delay[0]},"{timers.bits(*request[:2])}","{timers.bits(*request[2:])}"']

    def _qsclkex_set(self, values: list[str]) -> list[str]:
        """mode, no data s (1-50, default 3), retry min (1-600, default 10): ranges of quecpython.md §4.3. Whether it
        outlives a power-off is unknown: lost here (estimate). An anomaly that would suspend it for the retry time does
        not occur, but see the carrier's `release_refusal`."""
        mode = number(values[0], 0, 1)
        if len(values) > 3:
            raise Refused
        no_data = number(values[1], 1, 50) if len(values) > 1 else 3
        retry = number(values[2], 1, 600) if len(values) > 2 else 10
        self.board.radio.arm_release(mode, no_data, retry)
        return []

    def _qsclkex_read(self, _: list[str]) -> list[str]:
        """The form is inferred from the setting's, as is the test command's."""
        armed = self.board.radio.release
        return [f"+QSCLKEX: 1,{armed.no_data_s},{armed.retry_min}" if armed else "+QSCLKEX: 0"]

    def _qsclkex_test(self, _: list[str]) -> list[str]:
        return ["+QSCLKEX: (0,1),(1-50),(1-600)"]

    def _cpsms_set(self, values: list[str]) -> list[str]:
        """mode[,,,"<T3412>","<T3324>"] (TS 27.007 §7.38); the GERAN timers in between are not used."""
        self._need_psm()
        mode = number(values[0], 0, 2)
        kept = self.board.nv.values.get("psm", [0, 0, 0, 0, 0])
        if len(values) == 1:
            self.board.radio.request_psm([0] * 5 if mode == 2 else [mode, *kept[1:]])
            return []
        _, _, _, tau, active = _exactly(values, 5)
        if mode == 2:
            raise Refused
        self.board.radio.request_psm([mode, *_timers(tau, active)])
        return []

    def _need_psm(self) -> None:
        if not self.board.profile.has_psm:
            raise Refused

    def _cpsms_read(self, _: list[str]) -> list[str]:
        self._need_psm()
        mode, *request = self.board.nv.values.get("psm", [0, 0, 0, 0, 0])
        return [f'+CPSMS: {mode},,,"{timers.bits(*request[:2])}","{timers.bits(*request[2:])}"']

    def _qcfg(self, values: list[str]) -> list[str]:
        """"urc/port", "URC/PSM" as in guide §6.1; "emmtimer" gives T3412 and T3324 in seconds, 0 for none: its form is
        in no source (estimate)."""
        key, rest = values[0].lower(), values[1:]
        if key == "urc/port":
            if rest:
                (self._urc_port,) = _one_of(rest, ("usbat", "usbmodem", "uart1", "all"))
                return []
            return [f'+QCFG: "urc/port","{self._urc_port}"']
        if key == "urc/psm":
            if rest:
                self.urcs.psm = number(_exactly(rest, 1)[0], 0, 1)
                return []
            return [f'+QCFG: "urc/psm",{self.urcs.psm}']
        if ("+QCFG", key) in self._more:
            return self._more["+QCFG", key](rest)
        if key == "emmtimer" and not rest:
            radio = self.board.radio
            tau_s = radio.granted.tau_s if radio.granted else radio.carrier.t3412_s
            return [f'+QCFG: "emmtimer",{tau_s},{radio.granted.active_s if radio.granted else 0}']
        raise Refused


def _exactly(values: list[str], count: int) -> list[str]:
    if len(values) != count:
        raise Refused
    return values


def _one_of(values: list[str], known: tuple[str, ...]) -> list[str]:
    if len(values) != 1 or values[0].lower() not in known:
        raise Refused
    return values


def _timers(tau: str, active: str) -> tuple[int, int, int, int]:
    tau_field, active_field = timers.parse(tau), timers.parse(active)
    if tau_field is None or active_field is None:
        raise Refused
    return (*tau_field, *active_field)


COMMANDS: dict[tuple[str, str], Callable[[Atcmd, list[str]], list[str]]] = {
    ("I", ""): Atcmd._ati,
    ("+CGSN", ""): Atcmd._cgsn,
    ("+CIMI", ""): Atcmd._cimi,
    ("+QCCID", ""): Atcmd._qccid,
    ("+CPIN", "?"): Atcmd._cpin,
    ("+CSQ", ""): Atcmd._csq,
    ("+CEREG", "="): Atcmd._cereg_set,
    ("+CEREG", "?"): Atcmd._cereg_read,
    ("+CGPADDR", ""): Atcmd._cgpaddr,
    ("+QENG", "="): Atcmd._qeng,
    ("+QIDNSCFG", "="): Atcmd._qidnscfg,
    ("+CFUN", "?"): Atcmd._cfun,
    ("+CSCON", "="): Atcmd._cscon_set,
    ("+CSCON", "?"): Atcmd._cscon_read,
    ("+QSCLK", "="): Atcmd._qsclk_set,
    ("+QSCLK", "?"): Atcmd._qsclk_read,
    ("+QSCLKEX", "="): Atcmd._qsclkex_set,
    ("+QSCLKEX", "?"): Atcmd._qsclkex_read,
    ("+QSCLKEX", "=?"): Atcmd._qsclkex_test,
    ("+CPSMS", "="): Atcmd._cpsms_set,
    ("+CPSMS", "?"): Atcmd._cpsms_read,
    ("+QCFG", "="): Atcmd._qcfg,
}
