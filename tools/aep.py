"""`python -m tools aep`: the local AEP in real time, for a device or a simulator that speaks to it over UDP."""

import asyncio
import contextlib
import enum
import signal
import sqlite3
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from aiohttp import web
from rich.console import Console

from tools.ctwing.aep import Aep
from tools.ctwing.checks import BROKERS, ENCRYPTIONS, ENDPOINTS, POWER_MODES, PROTOCOLS, AepError
from tools.ctwing.mosquitto import NoBroker
from tools.ctwing.store import Store
from tools.ctwing.tls import BadAuthority
from tools.ctwing.web import application, text_of
from tools.things import listing
from tools.things.command import read
from tools.things.model import ModelError
from tools.timeline import Timeline
from tools.world.events import Event, Events

Broker = enum.Enum("Broker", {name: name for name in BROKERS}, type=str)  # type: ignore[misc]
Endpoint = enum.Enum("Endpoint", {name: name for name in ENDPOINTS}, type=str)  # type: ignore[misc]
Encryption = enum.Enum("Encryption", {name: name for name in ENCRYPTIONS}, type=str)  # type: ignore[misc]
Protocol = enum.Enum("Protocol", {name: name for name in PROTOCOLS}, type=str)  # type: ignore[misc]
Format = enum.Enum("Format", {name: name for name in ("json", "binary")}, type=str)  # type: ignore[misc]
PowerMode = enum.Enum("PowerMode", {name: name for name in POWER_MODES}, type=str)  # type: ignore[misc]

EVENTS_KEPT = 1000  # of those shown already; the database has what counts


class UnixLoop(asyncio.SelectorEventLoop):
    """Its clock is Unix time when it begins, and goes on evenly whatever is done to the computer's clock."""

    def __init__(self) -> None:
        super().__init__()
        self._offset = time.time() - time.monotonic()

    def time(self) -> float:
        return time.monotonic() + getattr(self, "_offset", 0.0)


def aep(
    port: Annotated[int, typer.Option(min=0, max=65535, help="UDP port for devices; 0 draws a free one.")] = 5683,
    dtls_port: Annotated[int, typer.Option(min=0, max=65535, help="UDP port for devices with a key.")] = 5684,
    tcp_port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port for devices of protocol tcp.")] = 8996,
    mqtt_port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port for devices of protocol mqtt.")] = 1883,
    mqtts_port: Annotated[int, typer.Option(min=0, max=65535, help="The same, over TLS; the page has the CA.")] = 8883,
    http: Annotated[int, typer.Option(min=0, max=65535, help="TCP port of page and API; 0 draws one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    db: Annotated[Path | None, typer.Option(help="SQLite file that outlives the run; without it, memory.")] = None,
    device: Annotated[list[str] | None, typer.Option(help="IMEI of a device to create, or its number where it speaks "
                                                     "MQTT or TCP; may be repeated.")] = None,
    protocol: Annotated[Protocol, typer.Option(help="What these devices speak.")] = Protocol.lwm2m,  # type: ignore[attr-defined]
    services: Annotated[str, typer.Option(metavar="FILE", help="Services of their product: the platform's list or a "
                                          "services.py, `standard`: AEP's water meter. Without it: transparent.")] = "",
    payload_format: Annotated[Format | None, typer.Option(help="How these services are said.",
                                                          show_default="the protocol's first")] = None,
    ca: Annotated[Path | None, typer.Option(help="Keep the CA of MQTTS in this file; without it, another at each "
                                            "start.")] = None,
    token: Annotated[str, typer.Option(help="Their token (MQTT, TCP); without it each is given one.")] = "",
    endpoint_format: Annotated[
        Endpoint, typer.Option(help="Endpoint format of the product of these devices.")
    ] = Endpoint.imei,  # type: ignore[attr-defined]
    power_mode: Annotated[PowerMode, typer.Option(help="Its power saving: DRX gets commands at once.")] = PowerMode.PSM,  # type: ignore[attr-defined]
    encryption: Annotated[
        Encryption, typer.Option(help="Its encryption; dtls: every device has a key.")
    ] = Encryption.plain,  # type: ignore[attr-defined]
    psk: Annotated[str, typer.Option(help="Their key as text; without it each is given one.")] = "",
    connection_id: Annotated[int, typer.Option(min=0, max=32, help="Bytes of a DTLS connection id (RFC 9146); 0: none. "
                                               "With one our own server speaks DTLS, else Mbed TLS.")] = 0,
    broker: Annotated[
        Broker, typer.Option(help="What serves MQTT; mosquitto is started and ended with the AEP.")
    ] = Broker.own,  # type: ignore[attr-defined]
    imsi: Annotated[str, typer.Option(help="IMSI of the devices, for urn:imei-imsi.")] = "",
    seconds: Annotated[float, typer.Option("--for", min=0, help="End after so many seconds; 0: at Ctrl-C.")] = 0.0,
) -> None:
    """Run the local AEP in real time, with its page and JSON API, until Ctrl-C.

    The page has no password and is not encrypted: it is for the desk, not for the Internet.
    """
    out = Console(highlight=False)
    loop = UnixLoop()
    asyncio.set_event_loop(loop)
    try:
        store = Store(":memory:" if db is None else str(db))
    except sqlite3.Error as error:
        _fail(out, f"{db} cannot be used: {error}", "name another file with --db, or leave it out")
    try:
        events = Events(loop.time)
        events.listeners += [Timeline(out), lambda event: _forget(events, event)]
        platform = Aep(loop, events, store=store, seed=time.time_ns(), token_length=None,
                       connection_id=connection_id, broker=broker.value, ca_file=ca)
        _authority(out, platform)
        product = {"protocol": protocol.value, "endpoint_format": endpoint_format.value,
                   "power_mode": power_mode.value, "encryption": encryption.value,
                   **_model(out, services, payload_format)}
        _devices(out, platform, device or [], product, {"imsi": imsi, "psk": psk, "token": token})
        ports = {"port": port, "dtls-port": dtls_port, "tcp-port": tcp_port, "mqtt-port": mqtt_port,
                 "mqtts-port": mqtts_port}
        loop.run_until_complete(_serve(out, platform, host, ports, http, seconds))
    finally:
        store.close()
        asyncio.set_event_loop(None)
        loop.close()


def _forget(events: Events, event: Event) -> None:
    if len(events.log) > 2 * EVENTS_KEPT:
        del events.log[:-EVENTS_KEPT]


def _authority(out: Console, platform: Aep) -> None:
    """The CA is read or written before anything listens."""
    try:
        if platform.ca_file is not None:
            _ = platform.authority
    except BadAuthority as error:
        _fail(out, str(error), "name another file with --ca; one that is not there is made")
    except OSError as error:
        _fail(out, f"{platform.ca_file}: {_reason(error)}", "name another file with --ca")


def _model(out: Console, source: str, payload_format: Format | None) -> dict[str, Any]:
    """What a product with these services is created with."""
    if not source:
        return {}
    try:
        found, warnings, _ = read(source)
    except ModelError as error:
        _fail(out, f"{source}: {error}", "see python -m tools services --help")
    for warning in warnings:
        out.print(f"warning: {warning}", markup=False, soft_wrap=True)
    return {"transparent": False, "services": listing.rows(found),
            "payload_format": payload_format.value if payload_format else None}


def _devices(
    out: Console, platform: Aep, names: list[str], properties: dict[str, Any], given: dict[str, str]
) -> None:
    """Creates the devices that are not there yet, under one product."""
    known = {one.imei or one.number for one in platform.devices()}
    new = [name for name in dict.fromkeys(names) if name not in known]
    named = "imei" if properties["protocol"] == "lwm2m" else "number"
    try:
        if new:
            product = platform.create_product("devices", **properties)
        for name in new:
            platform.create_device(product, name=name, **{named: name}, **given)
    except AepError as error:
        _fail(out, str(error), "see python -m tools aep --help")
    for one in platform.devices():
        key = f", PSK {text_of(one.psk) or one.psk}" if one.psk else ""
        text = f"IMEI {one.imei}, registers as {one.endpoint}{key}"
        if one.number:
            text = f"{platform.product_of(one).protocol}, token {one.token}"
        out.print(f"device {one.id}, {text}", soft_wrap=True)


async def _serve(
    out: Console, platform: Aep, host: str, ports: dict[str, int], http: int, seconds: float
) -> None:
    runner = web.AppRunner(application(platform), access_log=None)
    try:
        opened = await _opened(out, platform, host, ports)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, http)
            await site.start()
        except OSError as error:
            _fail(out, f"TCP {host}:{http}: {_reason(error)}", "end what listens there, or choose another --http")
        name = runner.addresses[0]
        out.print(f"devices: {', '.join(opened[:-1])} and {opened[-1]}", soft_wrap=True)
        out.print(f"page and API: http://{_joined(*name[:2])}/", soft_wrap=True)
        if not platform.devices():
            out.print("there is no device yet: add one on the page, or with --device")
        await _until_stopped(platform.loop, seconds)
    finally:
        platform.stop()
        await runner.cleanup()


async def _opened(out: Console, platform: Aep, host: str, ports: dict[str, int]) -> list[str]:
    """Opens the fronts; where they listen."""
    starts = {"coap": platform.start, "coaps": platform.start_dtls, "tcp": platform.start_tcp,
              "mqtt": platform.start_mqtt, "mqtts": platform.start_mqtts}
    opened = []
    for (scheme, start), (option, number) in zip(starts.items(), ports.items(), strict=True):
        try:
            opened.append(f"{scheme}://{_joined(*await start(host, number))}")
        except NoBroker as error:
            _fail(out, str(error), "or leave out --broker")
        except OSError as error:
            _fail(out, f"{'UDP' if scheme.startswith('coap') else 'TCP'} {host}:{number}: {_reason(error)}",
                  f"end what listens there, or choose another --{option} or --host")
    return opened


async def _until_stopped(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt ends it
            loop.add_signal_handler(number, stopped.set)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stopped.wait(), seconds or None)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _fail(out: Console, text: str, hint: str) -> NoReturn:
    out.print(f"FAILED: {text}\n{hint}", style="bold red", soft_wrap=True)
    raise typer.Exit(1)
