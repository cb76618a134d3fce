"""A run as a person follows it: one line per fact, on the module's own clock. Colour helps, nothing depends on it."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.checker import Verdict
from tools.tables import errors
from tools.world.events import Event

CHINA = timezone(timedelta(hours=8))
STYLES = {"module": "cyan", "world": "red", "app": "white", "network": "red", "aep": "green"}

# Event kind -> how it reads. Kinds that are not here are not shown unless everything is asked for.
LINES: dict[str, Callable[[Event], str]] = {
    "product": lambda e: e.text,
    "boot": lambda e: f"boot {e.data['boot']}: powerOnReason() == {e.data['reason']} ({e.text})",
    "sim": lambda e: f"SIM {e.text}, ICCID {e.data['iccid']}",
    "registered": lambda e: f"network {e.text}, cell {e.data['cell']:x} tac {e.data['tac']:x}" if "cell" in e.data
                  else f"network {e.text}",
    "pdp": lambda e: f"data call {e.text}" + (f", IP {e.data['ip']}" if "ip" in e.data else ""),
    "psm": lambda e: f"PSM granted: T3412 {e.data['tau_s']} s, T3324 {e.data['active_s']} s" if e.text == "granted"
           else f"PSM {e.text}",
    "rrc": lambda e: f"RRC {e.text}" + (f" (released by {e.data['by']})" if "by" in e.data else ""),
    "valve": lambda e: f"the valve is {e.text}",
    "crash": lambda e: f"CRASH {e.text}",
    "power": lambda e: f"power off: {e.text}" if e.text != "psm" else "",
    "log": lambda e: e.text,
    "console": lambda e: e.text,
    "overflow": lambda e: "callback lost: " + e.text,
    "fault": lambda e: e.text,
    "clock": lambda e: f"the clock jumps by {e.data['seconds']} s" if e.text == "jumped" else "",
    "flash": lambda e: f"the flash is {e.text}",
    "mute": lambda e: f"the meter does not answer to {e.text}",
    "lost": lambda e: f"datagram lost on the way {e.text}, {e.data['bytes']} bytes",
    "dropped": lambda e: f"datagram dropped: {e.text}",
    "dtls": lambda e: "DTLS: " + e.text,
    "dtls-engine": lambda e: "DTLS: " + e.text,
    "dtls-refused": lambda e: "DTLS refused: " + e.text,
    "register": lambda e: "← Register {endpoint}, lifetime {lifetime} s, binding {binding}".format(**e.data),
    "login": lambda e: f"← login of {e.data['device']}, {e.data['binding']}",
    "rejected": lambda e: "← rejected: " + e.text,
    "observe": lambda e: "→ " + e.text,
    "observed": lambda e: "← " + e.text,
    "observe-failed": lambda e: "← " + e.text,
    "read": lambda e: f"← read {e.data['path']}: {_shown(e.data['payload'])}",
    "update": lambda e: f"← Update {e.data['endpoint']}",
    "deregister": lambda e: "← " + e.text,
    "uplink": lambda e: f"← {e.data['type']} {e.data['mid']}: {_shown(e.data['payload'])}",
    "discarded": lambda e: "← dropped: " + e.text,
    "stray": lambda e: "← " + e.text,
    "command-saved": lambda e: "command cached: " + (_shown(e.data["content"]) if "content" in e.data else e.text),
    "command-sent": lambda e: "→ command: " + e.text,
    "command-delivered": lambda e: "← command delivered: " + e.text,
    "command-answered": lambda e: "← command answered: " + _shown(e.data["answer"]),
    "command-failed": lambda e: "command failed: " + e.text,
    "command-expired": lambda e: "command expired: " + e.text,
    "request-answered": lambda e: "← " + e.text,
    "request-failed": lambda e: "request failed: " + e.text,
    "request-expired": lambda e: "request expired: " + e.text,
    "switch": lambda e: "SWITCH " + e.text,
    "offline": lambda e: e.text,
    "broker": lambda e: "mosquitto: " + e.text,
    "broker-failed": lambda e: e.text,
    "malformed": lambda e: "malformed: " + e.text,
    "reset": lambda e: "RST: " + e.text,
}


def _shown(payload: bytes) -> str:
    """The text where it is one, otherwise hex."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload.hex()
    return text if text.isprintable() else payload.hex()


class Timeline:
    """Prints events as they come. `everything` shows AT commands and sensors too."""

    def __init__(self, console: Console, *, everything: bool = False) -> None:
        self.console, self.everything = console, everything
        self._day = ""

    def __call__(self, event: Event) -> None:
        reading = LINES.get(event.kind)
        if reading is None and not self.everything:
            return
        text = reading(event) if reading is not None else f"{event.kind} {event.text} {event.data or ''}"
        if not text:
            return
        if event.who == "aep":
            text = _in_one_line(text)
        when = datetime.fromtimestamp(event.t, CHINA)
        if event.kind == "boot":
            self.console.rule(f"wake-up at {when:%Y-%m-%d %H:%M} (UTC+8)", style="dim", characters="─")
        stamp = f"{when:%a %H:%M:%S}.{when.microsecond // 1000:03d}"
        line = Text()
        line.append(f"{stamp}  ", style="dim")
        line.append(f"{event.who:<8}", style=STYLES.get(event.who, ""))
        line.append(text, style="bold red" if _bad(event) else "bold" if event.kind == "uplink" else "")
        self.console.print(line, soft_wrap=True)


def _in_one_line(text: str) -> str:
    """With what a device may have put in to move the terminal's cursor written out."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _bad(event: Event) -> bool:
    return event.kind in ("crash", "fault", "rejected", "command-failed", "command-expired", "observe-failed",
                          "dtls-refused", "broker-failed") or (
        event.kind == "log" and event.text.startswith(("ERROR", "CRITICAL")))


def summary(console: Console, result: dict, verdict: Verdict, days: float, seconds: float) -> None:
    """The table at the end."""
    wakes = f"{result['wakes']} wake" + "s" * (result["wakes"] != 1)
    table = Table(title=f"{wakes} of a simulated {result['family']}, engine {result['engine']}, seed {result['seed']}",
                  title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")

    def row(name: str, value: object) -> None:
        table.add_row(name, "–" if value is None else str(value))

    row("on the module's clock", f"{days:.2f} days")
    row("on yours", f"{seconds:.1f} s")
    row("boots / powered down in PSM", f"{result['boots']} / {result['psm_entered']}")
    row("readings taken / acknowledged / lost / doubled",
        f"{result['readings_taken']} / {result['readings_acknowledged']} / {result['readings_lost']} / "
        f"{result['readings_duplicated']}")
    row("commands sent / answered", f"{result['commands_sent']} / {result['commands_answered']}")
    row("packets per report, resumed wake", result["datagrams_per_report"])
    row("bytes per report, all headers included", result["wire_bytes_per_report"])
    row("radio connected per report", _unit(result["connected_ms_per_report"], "ms"))
    row("charge per report (estimate)", _unit(result["charge_mc_per_report"], "mC"))
    row("flash programs per resumed wake", result["flash_programs_per_wake"])
    row("live heap at the peak", _unit(result["heap_peak_bytes"], "bytes"))
    console.print(table)
    if result["datagrams_per_report"] is None and result["wakes"] > 1:
        console.print("Each wake registered anew: of a resumed one nothing can be said.")
    fault = result["fault"]
    if fault is not None:
        met = fault["expected"] == fault["ended"]
        console.print(f"{fault['name']}: {'as the table says' if met else 'NOT as the table says'}: "
                      f"{_end(fault['ended'])}" + ("" if met else f" instead of {_end(fault['expected'])}"),
                      style="bold green" if met else "bold red", soft_wrap=True)
        if met and fault["ended"]:
            console.print(result["error"]["hint"], soft_wrap=True)
            return
    if result["error"] is None:
        repeats = result["readings_duplicated"]
        doubled = f"{repeats} repeated because every acknowledgement was lost" if repeats else "nothing doubled"
        console.print(f"Nothing lost, {doubled}, every command answered.", style="bold green")
        return
    console.print(f"FAILED: {result['error']['name']} (code {result['error']['code']})", style="bold red")
    console.print(result["error"]["hint"], soft_wrap=True)
    for problem in verdict.problems[:10]:
        console.print("  " + problem, soft_wrap=True)


def _end(code: int) -> str:
    """How a fault ended, in words."""
    return f"error {code} {errors().get(code, '')}".strip() if code else "recovered"


def _unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value} {unit}"
