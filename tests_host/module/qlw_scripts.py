"""The guide's LwM2M transcripts as scripts, and who replays them. IMEI, payloads, MIDs and ports are drawn for each
seed; the `>>` of the guide is left out, as are its comments.

A script's lines: `AT…` is typed; `< …` is the next line of its answer; `! …` is the next URC; `~ …` is a message that
the device sent since the last command, in the form of `said`; `@ …` happens on the platform. `{…}` stands for what was
drawn, `<name>` in `! …` for a number that is remembered under that name. +CSCON comes and goes as the network likes
(ctwing.md §1.9): it is passed over where the script does not name it.
"""

import re

from aiocoap import Message

from tests_host.module.at_port import PSK, Desk

ATTACHED = """
AT+CEREG?
< +CEREG: 0,1
< OK
"""

IN_SERVICE = "@ in service" + ATTACHED + """
AT+CGPADDR
< +CGPADDR: 1,"{ip}"
< OK
"""

OBJECTS = """
AT+QLWADDOBJ=19,0,1,0
< OK
AT+QLWADDOBJ=19,1,1,0
< OK
AT+QLWREG
< OK
! +QLWREG: 0
"""

REGISTER = ATTACHED + """
AT+QLWCFG?
< +QLWCFG: "retransmit",2,4
< +QLWCFG: "auto_ack",0
< +QLWCFG: "lifetime_enable",1
< +QLWCFG: "dtls_mode",0
< OK
AT+QLWCFG="lifetime_enable",0
< OK
AT+QLWCONFIG=0,"221.229.214.202",5683,"{imei}",86400,3,0
< OK
""" + OBJECTS + """
~ CON POST /rd?lwm2m=1.0&ep={imei}&b=U&lt=86400
~ ACK 2.05
"""

OBSERVED = """
! +QLWURC: "observe",<observe>,0,19,0,0
AT+QLWOBSRSP={observe},1,19,0,0,2,{size},"{up}",0
< OK
! +QLWOBSRSP: {observe},0
~ ACK 2.05 mid {observe} {up}
"""

CON = """
AT+QLWNOTIFY=19,0,0,2,{size},"{up}",0,1
< OK
! +QLWURC: "report",<report>
! +QLWNOTIFY: 0
! +QLWURC: "report_ack",0,{report}
~ CON 2.05 mid {report} {up}
"""

UPDATE = """
AT+QLWUPDATE=0,86400
< OK
! +QLWUPDATE: 0,<update>
~ CON POST /rd/{endpoint}?lt=86400 mid {update}
"""

WRITE = """
! +QLWURC: "write",<write>,19,1,0,2,{down_size},{down},0
AT+QLWWRRSP={write},2
< OK
! +QLWWRRSP: {write},0
~ ACK 2.04 mid {write}
"""

DEREGISTER = """
AT+QLWDEREG
< OK
! +QLWDEREG: 0
~ CON DELETE /rd/{endpoint}
"""

PLAIN = REGISTER + OBSERVED + CON + "@ command\n" + UPDATE + WRITE + UPDATE + DEREGISTER

DTLS = ATTACHED + """
AT+QLWCFG="lifetime_enable",0
< OK
AT+QLWCONFIG=0,"2000033383.nb.ctwing.cn",5684,"urn:imei:{imei}",86400,0,"{imei}","{psk}"
< OK
""" + OBJECTS + """
~ CON POST /rd?lwm2m=1.0&ep=urn:imei:{imei}&b=U&lt=86400
""" + OBSERVED + CON + "@ command\n" + UPDATE + WRITE + UPDATE + DEREGISTER

NON = """
AT+QLWNOTIFY=19,0,0,2,{size},"{up}",0,0
< OK
! +QLWNOTIFY: 0
~ NON 2.05 {up}
"""

BUFFER = REGISTER + OBSERVED + "@ command\n@ another command\n" + UPDATE + WRITE + """
! +QLWURC: "write",<other>,19,1,0,2,{other_size},{other_down},0
AT+QLWWRRSP={other},2
< OK
! +QLWWRRSP: {other},0
AT+QLWRD
< +QLWRD: 2,"observe",{observe},0,19,0,0
< OK
AT+QLWRD
< +QLWRD: 1,"write",{write},19,1,0,2,{down_size},{down},0
< OK
AT+QLWRD
< +QLWRD: 0,"write",{other},19,1,0,2,{other_size},{other_down},0
< OK
AT+QLWRD
< ERROR
"""

START = """
! RDY
! +CFUN: 1
! +CPIN: READY
! +QUSIM: 1
! +QIND: SMS DONE
! +QIND: PB DONE
AT+QCFG="urc/port","uart1"
< OK
AT+CSCON=1
< OK
AT+CPIN?
< +CPIN: READY
< OK
AT+CGSN
< {imei}
< OK
AT+CIMI
< {imsi}
< OK
AT+QCCID
< +QCCID: 89860320845515190439
< OK
""" + IN_SERVICE + """
AT+QENG="SERVINGCELL"
< +QENG: "servingcell",<state>,"LTE","FDD",460,11,5A2890B,475,1650,3,5,5,DF5C,<rsrp>,-9,<rssi>,16,19
< OK
"""

SLEEP = """
AT+QSCLKEX=1,1,30
< OK
! +CSCON: 0
AT+QSCLK=3,2,"01011111","00000001"
< OK
! +QIND: ENTER PSM
"""

LOW_POWER = START + REGISTER + OBSERVED + CON + "@ command\n" + UPDATE + WRITE + UPDATE + """
AT+QCFG="URC/PSM",1
< OK
""" + SLEEP + """
AT+QLWNOTIFY=19,0,0,2,{size},"{up}",0,1
< OK
! +QIND: EXIT PSM
! +QLWURC: "report",<report>
! +QLWNOTIFY: 0
! +CSCON: 1
! +QLWURC: "report_ack",0,{report}
~ CON 2.05 mid {report} {up}
""" + UPDATE + SLEEP


def said(raw: bytes) -> str:
    """A message in a line: type, method or code, path and query, MID, payload."""
    message = Message.decode(raw)
    query = "?" + "&".join(message.opt.uri_query) if message.opt.uri_query else ""
    where = f" /{'/'.join(message.opt.uri_path)}{query}" if message.opt.uri_path else ""
    code = str(message.code).split()[0] if message.code.is_response() else message.code.name
    return f"{message.mtype.name} {code}{where} mid {message.mid} {message.payload.hex()}"


class Replay:
    def __init__(self, desk: Desk) -> None:
        rng, self.desk = desk.rng, desk
        up = rng.randbytes(rng.randint(1, 200))
        self.downs = [rng.randbytes(rng.randint(1, 200)) for _ in range(2)]
        self.known: dict[str, str] = {
            "imei": desk.identity.imei, "imsi": desk.identity.imsi, "size": str(len(up)), "up": up.hex(),
            "down": self.downs[0].hex().upper(), "down_size": str(len(self.downs[0])), "psk": PSK.encode().hex(),
            "other_down": self.downs[1].hex().upper(), "other_size": str(len(self.downs[1])),
            "endpoint": desk.aep.device(desk.device).endpoint,
        }
        self.up, self.mark, self.answer = up, 0, []

    def play(self, script: str) -> "Replay":
        for line in script.strip().splitlines():
            if not line.strip():
                continue
            kind, _, text = line.partition(" ")
            {"<": self._line, "!": self._urc, "~": self._wire, "@": self._platform}.get(kind, self._type)(
                text if kind in "<!~@" else line)
        assert not self.answer
        return self

    def _type(self, command: str) -> None:
        assert not self.answer, f"{self.answer} was not expected before {command}"
        self.mark = len(self.desk.up())
        self.answer = self.desk.type(command.format(**self.known))

    def _line(self, wanted: str) -> None:
        self._match(wanted, self.answer.pop(0))

    def _urc(self, wanted: str) -> None:
        text = self.desk.urc()
        while text.startswith("+CSCON") and not wanted.startswith("+CSCON"):
            text = self.desk.urc()
        self._match(wanted, text)

    def _match(self, wanted: str, text: str) -> None:
        pattern = re.escape(wanted).replace(r"\{", "{").replace(r"\}", "}").format(**self.known)
        match = re.fullmatch(re.sub("<([a-z]+)>", r"(?P<\1>[-\\w\"]+)", pattern), text)
        assert match is not None, f"{text!r} instead of {wanted!r}"
        self.known.update(match.groupdict())

    def _wire(self, wanted: str) -> None:
        """The platform has it, or gets it within a second: the datagram may be on its way."""
        parts = set(wanted.format(**self.known).split())
        for _ in range(10):
            if any(parts <= set(said(raw).split()) for raw in self.desk.up()[self.mark :]):
                return
            self.desk.wait(0.1)
        raise AssertionError(f"no {wanted!r} among {[said(raw) for raw in self.desk.up()[self.mark:]]}")

    def _platform(self, what: str) -> None:
        if what == "in service":
            self.desk.run(self.desk.board.wait(60, lambda: self.desk.board.radio.ready))
            self.known["ip"] = str(self.desk.board.radio.ip)
        else:
            self.desk.aep.command(self.desk.device, self.downs[what == "another command"].hex(), data_type="hex")
