"""What the local AEP remembers: products, devices, registrations, uplinks, commands, requests and every datagram, in
SQLite.

Times are seconds of the loop's clock. It decides nothing and sends nothing: that is aep.py and lwm2m.py.
"""

import sqlite3
from dataclasses import fields
from typing import Any, TypeVar

from tools.ctwing.rows import Command, Device, Notification, Product, Registration, Request, TraceRow, Uplink

# Command states, ctwing.md §6.2 ("指令已保存 → 指令已发送 / 指令发送失败 …"), §6.3 for DELIVERED, FAILED, EXPIRED.
SAVED, SENT, DELIVERED, FAILED, EXPIRED = "SAVED", "SENT", "DELIVERED", "FAILED", "EXPIRED"
ANSWERED = "ANSWERED"  # a request's end, whatever its code
CONSOLE_WORDS = {SAVED: "指令已保存", SENT: "指令已发送", FAILED: "指令发送失败"}
"""The console's own words, for the states whose words are documented."""

# Life cycle of a device, ctwing.md §2.8 (the API numbers them 0, 1, 2).
REGISTERED, ACTIVATED, CANCELLED = "registered", "activated", "cancelled"

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, protocol TEXT NOT NULL, endpoint_format TEXT NOT NULL,
    power_mode TEXT NOT NULL, auto_observe INTEGER NOT NULL, transparent INTEGER NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS devices (
    id TEXT PRIMARY KEY, product INTEGER NOT NULL REFERENCES products(id), name TEXT NOT NULL, imei TEXT NOT NULL,
    imsi TEXT NOT NULL, endpoint TEXT NOT NULL, life_cycle TEXT NOT NULL, created REAL NOT NULL, activated REAL);
DROP INDEX IF EXISTS one_imei;
CREATE UNIQUE INDEX IF NOT EXISTS imei_once ON devices(imei) WHERE life_cycle != 'cancelled' AND imei != '';
CREATE UNIQUE INDEX IF NOT EXISTS one_endpoint ON devices(endpoint) WHERE life_cycle != 'cancelled';
CREATE TABLE IF NOT EXISTS registrations (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL REFERENCES devices(id), t REAL NOT NULL, peer TEXT NOT NULL,
    lifetime INTEGER NOT NULL, binding TEXT NOT NULL, objects TEXT NOT NULL, updated REAL NOT NULL,
    ended REAL, reason TEXT);
CREATE INDEX IF NOT EXISTS live ON registrations(device) WHERE ended IS NULL;
CREATE TABLE IF NOT EXISTS uplinks (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL REFERENCES devices(id), t REAL NOT NULL, payload BLOB NOT NULL,
    mid INTEGER NOT NULL, token BLOB NOT NULL, kind TEXT NOT NULL, acked_at REAL);
CREATE INDEX IF NOT EXISTS uplinks_of ON uplinks(device);
CREATE TABLE IF NOT EXISTS commands (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL REFERENCES devices(id), content BLOB NOT NULL,
    data_type TEXT NOT NULL, ttl INTEGER NOT NULL, created REAL NOT NULL, sent_at REAL, finished REAL,
    status TEXT NOT NULL, result TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS commands_of ON commands(device);
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL REFERENCES devices(id), kind TEXT NOT NULL, path TEXT NOT NULL,
    payload BLOB NOT NULL, format INTEGER, query TEXT NOT NULL, accept INTEGER, ttl INTEGER NOT NULL,
    created REAL NOT NULL, finished REAL, status TEXT NOT NULL, result TEXT NOT NULL, answer_format INTEGER,
    answer BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS requests_of ON requests(device);
CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL REFERENCES devices(id), t REAL NOT NULL, path TEXT NOT NULL,
    format INTEGER, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS notifications_of ON notifications(device);
CREATE TABLE IF NOT EXISTS trace (
    id INTEGER PRIMARY KEY, t REAL NOT NULL, direction TEXT NOT NULL, peer TEXT NOT NULL, raw BLOB NOT NULL,
    device TEXT);
CREATE INDEX IF NOT EXISTS trace_orphans ON trace(peer) WHERE device IS NULL;
"""

ADDED = (
    ("products", "encryption TEXT NOT NULL DEFAULT 'plain'"),
    ("products", "payload_format TEXT NOT NULL DEFAULT 'json'"),
    ("products", "services TEXT NOT NULL DEFAULT '[]'"),
    ("devices", "psk TEXT NOT NULL DEFAULT ''"),
    ("devices", "number TEXT NOT NULL DEFAULT ''"),
    ("devices", "token TEXT NOT NULL DEFAULT ''"),
    ("uplinks", "topic TEXT NOT NULL DEFAULT ''"),
    ("uplinks", "service INTEGER NOT NULL DEFAULT 0"),
    ("trace", "note TEXT NOT NULL DEFAULT ''"),
    ("commands", "service INTEGER NOT NULL DEFAULT 0"),
    ("commands", "answer BLOB NOT NULL DEFAULT x''"),
)
"""Columns that the first version did not have, with what stands for them in its files."""


Row = TypeVar("Row", Product, Device, Registration, Uplink, Command, Request, Notification, TraceRow)
ONLINE = "EXISTS (SELECT 1 FROM registrations r WHERE r.device = devices.id AND r.ended IS NULL)"
TABLES = {
    Product: "products",
    Device: f"(SELECT *, rowid AS rowid_, {ONLINE} AS online FROM devices)",
    Registration: "registrations",
    Uplink: "uplinks",
    Command: "commands",
    Request: "requests",
    Notification: "notifications",
    TraceRow: "trace",
}
FLAGS = ("auto_observe", "transparent", "online")


class Store:
    """The platform's database. `path` is a file, or ":memory:"."""

    def __init__(self, path: str = ":memory:") -> None:
        self._db = sqlite3.connect(path, isolation_level=None)  # every statement stands when it returns
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)
        for table, column in ADDED:
            if column.split()[0] not in [row[1] for row in self._db.execute(f"PRAGMA table_info({table})")]:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")

    def close(self) -> None:
        self._db.close()

    def _select(self, row: type[Row], where: str = "1", *wanted: Any, order: str = "id") -> list[Row]:
        names = [field.name for field in fields(row)]
        found = self._db.execute(f"SELECT {', '.join(names)} FROM {TABLES[row]} WHERE {where} ORDER BY {order}", wanted)
        rows: list[Row] = []
        for line in found:
            values: dict[str, Any] = dict(zip(names, line, strict=True))
            values.update((name, bool(values[name])) for name in FLAGS if name in values)
            rows.append(row(**values))
        return rows

    def newest(self, row: type[Row], device: str | None, *, after: int, limit: int) -> list[Row]:
        """The newest `limit` rows after that id, of one device or (for the trace) of all; oldest first."""
        found = self._select(row, "(? IS NULL OR device = ?) AND id > ?", device, device, after,
                             order=f"id DESC LIMIT {limit}")
        return found[::-1]

    def _insert(self, table: str, **values: Any) -> int:
        marks = ", ".join("?" * len(values))
        done = self._db.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
        assert done.lastrowid is not None
        return done.lastrowid

    # products and devices

    def add_product(self, product: Product) -> None:
        self._insert("products", **vars(product))

    def product(self, number: int) -> Product | None:
        if abs(number) >= 2**63:  # SQLite's integers
            return None
        return next(iter(self._select(Product, "id = ?", number)), None)

    def products(self) -> list[Product]:
        return self._select(Product, order="rowid")

    def add_device(self, device: Device) -> None:
        values = dict(vars(device))
        del values["online"]
        self._insert("devices", **values)

    def device(self, device: str) -> Device | None:
        return next(iter(self._select(Device, "id = ?", device)), None)

    def device_by(self, column: str, value: str) -> Device | None:
        """The device in use with this `imei` or `endpoint`."""
        assert column in ("imei", "endpoint")
        return next(iter(self._select(Device, f"{column} = ? AND life_cycle != ?", value, CANCELLED)), None)

    def devices(self, *, cancelled: bool = False) -> list[Device]:
        """Devices in the order of their creation; the cancelled ones only when asked for."""
        return self._select(Device, "1" if cancelled else f"life_cycle != '{CANCELLED}'", order="created, rowid_")

    def set_life_cycle(self, device: str, state: str, t: float) -> None:
        self._db.execute("UPDATE devices SET life_cycle = ?, activated = CASE WHEN ? = ? THEN ? ELSE activated END "
                         "WHERE id = ?", (state, state, ACTIVATED, t, device))

    def renew_device(self, device: str, token: str, t: float) -> None:
        """As if it were deleted and added again under the same id: another token, and not activated yet."""
        self._db.execute("UPDATE devices SET token = ?, created = ?, activated = NULL, life_cycle = ? WHERE id = ?",
                         (token, t, REGISTERED, device))

    # registrations

    def open_registration(self, device: str, t: float, peer: str, lifetime: int, binding: str, objects: str) -> int:
        return self._insert("registrations", device=device, t=t, peer=peer, lifetime=lifetime, binding=binding,
                            objects=objects, updated=t)

    def update_registration(self, number: int, t: float, peer: str, lifetime: int, binding: str) -> None:
        self._db.execute("UPDATE registrations SET updated = ?, peer = ?, lifetime = ?, binding = ? WHERE id = ?",
                         (t, peer, lifetime, binding, number))

    def end_registration(self, number: int, t: float, reason: str) -> None:
        self._db.execute("UPDATE registrations SET ended = ?, reason = ? WHERE id = ?", (t, reason, number))

    def registrations(self, device: str) -> list[Registration]:
        return self._select(Registration, "device = ?", device)

    # uplinks

    def add_uplink(self, device: str, t: float, payload: bytes, mid: int, token: bytes, kind: str, topic: str = "",
                   service: int = 0) -> int:
        return self._insert("uplinks", device=device, t=t, payload=payload, mid=mid, token=token, kind=kind,
                            topic=topic, service=service)

    def acknowledge(self, uplink: int, t: float) -> None:
        self._db.execute("UPDATE uplinks SET acked_at = ? WHERE id = ?", (t, uplink))

    def uplinks(self, device: str) -> list[Uplink]:
        return self._select(Uplink, "device = ?", device)

    # commands

    def add_command(self, device: str, content: bytes, data_type: str, ttl: int, t: float, service: int = 0) -> int:
        return self._insert("commands", device=device, content=content, data_type=data_type, ttl=ttl, created=t,
                            status=SAVED, result="", service=service)

    def command(self, number: int) -> Command | None:
        return next(iter(self._select(Command, "id = ?", number)), None)

    def commands(self, device: str | None = None, status: str | None = None) -> list[Command]:
        """Commands in the order they were given, of one device or all, in one state or any."""
        return self._select(Command, "(? IS NULL OR device = ?) AND (? IS NULL OR status = ?)",
                            device, device, status, status)

    def set_command(self, number: int, status: str, t: float, result: str = "") -> None:
        """`SENT` stamps sent_at; the three final states stamp finished."""
        stamp = {SAVED: "", SENT: ", sent_at = :t"}.get(status, ", finished = :t")
        self._db.execute(f"UPDATE commands SET status = :status, result = :result{stamp} WHERE id = :number",
                         {"status": status, "result": result, "t": t, "number": number})

    def answer_command(self, number: int, answer: bytes) -> None:
        self._db.execute("UPDATE commands SET answer = ? WHERE id = ?", (answer, number))

    # requests and notifications

    def add_request(self, device: str, kind: str, path: str, payload: bytes, t: float, **values: Any) -> int:
        """`values`: format, query, accept, ttl."""
        return self._insert("requests", device=device, kind=kind, path=path, payload=payload, created=t, status=SAVED,
                            result="", answer=b"", **values)

    def request(self, number: int) -> Request | None:
        return next(iter(self._select(Request, "id = ?", number)), None)

    def requests(self, device: str | None = None, status: str | None = None) -> list[Request]:
        """Requests in the order they were given, of one device or all, in one state or any."""
        return self._select(Request, "(? IS NULL OR device = ?) AND (? IS NULL OR status = ?)",
                            device, device, status, status)

    def set_request(self, number: int, status: str, result: str = "") -> None:
        self._db.execute("UPDATE requests SET status = ?, result = ? WHERE id = ?", (status, result, number))

    def end_request(self, number: int, status: str, t: float, result: str, answer_format: int | None = None,
                    answer: bytes = b"") -> None:
        self._db.execute("UPDATE requests SET status = ?, finished = ?, result = ?, answer_format = ?, answer = ? "
                         "WHERE id = ?", (status, t, result, answer_format, answer, number))

    def add_notification(self, device: str, t: float, path: str, content_format: int | None, payload: bytes) -> int:
        return self._insert("notifications", device=device, t=t, path=path, format=content_format, payload=payload)

    def notifications(self, device: str) -> list[Notification]:
        return self._select(Notification, "device = ?", device)

    # trace

    def add_trace(self, t: float, direction: str, peer: str, raw: bytes, device: str | None) -> int:
        return self._insert("trace", t=t, direction=direction, peer=peer, raw=raw, device=device)

    def note(self, row: int, text: str) -> None:
        self._db.execute("UPDATE trace SET note = ? WHERE id = ?", (text, row))

    def adopt(self, row: int, peer: str, device: str) -> None:
        """Trace row `row`, and what this peer sent and got before anyone knew it, belong to `device`."""
        self._db.execute("UPDATE trace SET device = ? WHERE peer = ? AND device IS NULL", (device, peer))
        self._db.execute("UPDATE trace SET device = ? WHERE id = ?", (device, row))

    def trace(self, device: str | None = None) -> list[TraceRow]:
        """Every datagram, or those of one device, in the order the platform saw them."""
        return self._select(TraceRow, "? IS NULL OR device = ?", device, device)

    def forget_sessions(self, t: float, reason: str) -> None:
        """A platform that starts anew knows no session; what is under way goes back to the cache."""
        self._db.execute("UPDATE registrations SET ended = ?, reason = ? WHERE ended IS NULL", (t, reason))
        self._db.execute("UPDATE commands SET status = ? WHERE status = ?", (SAVED, SENT))
        self._db.execute("UPDATE requests SET status = ? WHERE status = ?", (SAVED, SENT))
