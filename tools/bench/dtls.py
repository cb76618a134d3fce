"""What DTLS adds: a handshake beside other clients' before the same local AEP, reports in new and kept sessions, code,
heap and instructions.

Bytes of a handshake are UDP payload, as its limit has them; those of reports include IP and UDP headers.
"""

import asyncio
import random
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

from tools.bench.device import APP, PAYLOAD, BenchError
from tools.bench.footprint import boot
from tools.bench.instructions import counted
from tools.ctwing import dtls_own
from tools.ctwing.aep import Aep
from tools.ctwing.dtls_own_records import PSK_AES_128_CCM_8
from tools.deployment import PSK
from tools.module.tree import TREE
from tools.plan import Plan
from tools.scenario import Run, Wake, play
from tools.world.events import Event, Events

LIMITS = {
    "handshake": {"datagrams": 6, "bytes": 600},
    "cold_update": {"bytes": 1120},
    "cold": {"bytes": 970},
    "kept": {"bytes": 200},
}
"""UDP payload for the handshake; a kept session's is without its connection ids."""

ID = 8  # bytes of a connection id
IMEI = "868543060974334"
PEERS = {
    "openssl": ["openssl", "s_client", "-dtls1_2", "-connect", "{host}:{port}", "-psk", "{hex}", "-psk_identity",
                "{imei}", "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0", "-quiet"],
    "libcoap": ["coap-client-openssl", "-m", "get", "-k", "{psk}", "-u", "{imei}", "-B", "3", "coaps://{host}:{port}/"],
}
"""OpenSSL's own client restricted to the one suite, libcoap's with its defaults."""
PATIENCE = 10.0  # real seconds for a peer's handshake
WAKES = 12
RECORDS = 20  # of PAYLOAD bytes each way, over which a record's cost is taken
RANDOM = bytes(range(32))

_MAIN = """
import gc
import usys
from misc import Power
from ubinascii import hexlify

usys.path.insert(0, "/usr/{tree}")
import dtls
from dtls import ccm, client, handshake, primitives, soft_aes
if {pure}:
    primitives._aes = None
del usys.modules["dtls.handshake"], dtls.handshake, handshake
gc.collect()
before = gc.mem_alloc()
peak = 0
{work}
print(peak - before)
Power.powerDown()
"""
_SHAKE = """
made = client.Client({imei}, {psk}, ({suite},), 1000, 4, False)
made.start(0, {random})
for answer in {answers}:
    gc.collect()
    peak = max(peak, gc.mem_alloc())
    made.receive(answer, 0)
"""
_SAID = """
for datagram in made.out[-1:]:
    print(hexlify(datagram).decode())
"""
_TALK = """
if made.state != 2:
    raise ValueError(made.error)
for answer in {records}:
    made.send(bytes({payload}))
    made.receive(answer, 0)
if len(made.inbox) != {count}:
    raise ValueError(len(made.inbox))
"""

Step = Callable[[str], object]


def measure(step: Step = lambda text: None) -> dict[str, Any]:
    """All of it. A peer that is not installed is None, as are instructions without valgrind."""
    step("DTLS: reports")
    found = reports()
    found["overhead"] = overhead()
    step("DTLS: other clients")
    found["handshake"] = {"ours": found.pop("handshake"), **{name: peer(name) for name in PEERS}}
    step("DTLS: heap")
    found["heap"] = {name: _peak(plan) for name, plan in _whole().items()}
    answers, _ = recorded()
    found["heap"]["handshake"] = int(boot(_script(answers, [], pure=False))[-1])
    found["instructions"] = instructions(step)
    return found


def _peak(plan: Plan) -> int:
    """Live heap at the peak of a run, less that of an empty application."""
    module = play(plan).module
    return module.heap_peak - (module.empty_heap() or 0)


def _whole() -> dict[str, Plan]:
    plan = Plan(protocol="lwm2m-dtls", wakes=4)
    return {"wake": plan, "wake_by_id": Plan(protocol="lwm2m-dtls", wakes=3, connection_id=ID),
            "wake_pure": Plan(protocol="lwm2m-dtls", wakes=4, lacks=("ucryptolib",))}


# -- reports -----------------------------------------------------------------------------------------------------------


def reports() -> dict[str, Any]:
    """{"handshake", "cold_update", "cold", "kept", "resumed"}: datagrams and bytes of what DTLS has a device send."""
    cold, kept, resumed = _run(0), _run(ID), _run(0, resumes=True)
    shaken = [event.data for event in cold.events.of("dtls") if event.data.get("how") == "new"]
    whole = {name: _cheapest(cold, update) for name, update in (("cold_update", True), ("cold", False))}
    by_id = min((_count(kept, wake) for wake in kept.wakes[1:]), key=lambda found: found["bytes"])
    shorter = [event.data for event in resumed.events.of("dtls") if event.data.get("how") == "resumed"]
    if not shorter:
        raise BenchError("no session was resumed")
    return {
        "handshake": _least(shaken),
        **whole,
        "kept": by_id,
        "resumed_handshake": _least(shorter),
        "resumed": _cheapest(resumed, False),
        "connected_ms": {"new": _connected(cold, True), "resumed": _connected(resumed, False),
                         "kept": min(wake.connected_ms for wake in kept.wakes[1:])},
    }


def _least(handshakes: list[dict[str, Any]]) -> dict[str, int]:
    """Of handshakes, one in which nothing was sent twice: datagrams may overtake each other on the way."""
    found = min(handshakes, key=lambda one: one["bytes"])
    return {"datagrams": found["datagrams"], "bytes": found["bytes"]}


def _run(connection_id: int, *, resumes: bool = False) -> Run:
    plan = Plan(engine="cpython", protocol="lwm2m-dtls", connection_id=connection_id, wakes=WAKES, commands=False,
                app=APP, measure_heap=False, resumes=resumes)
    run = play(plan)
    found = {len(uplink.payload) for uplink in run.aep.uplinks(run.device)}
    if run.problem is not None or not found <= {PAYLOAD, PAYLOAD + 1}:
        raise BenchError(f"DTLS: reports of {found} bytes: {run.problem}")
    return run


def _cheapest(run: Run, update: bool) -> dict[str, int]:
    """Of the wakes that began a session and did, or did not, send an Update: the one without a try in vain."""
    return min((_count(run, wake) for wake in _wakes(run, update)), key=lambda found: found["bytes"])


def _connected(run: Run, update: bool) -> int:
    return min(wake.connected_ms for wake in _wakes(run, update))


def _wakes(run: Run, update: bool) -> list[Wake]:
    began = [event.t for event in run.events.of("dtls") if "how" in event.data]
    updated = [event.t for event in run.events.of("update")]
    found = []
    for wake in run.wakes[1:]:
        inside = [[t for t in times if wake.began <= t <= wake.ended] for times in (began, updated)]
        if inside[0] and bool(inside[1]) == update:
            found.append(wake)
    if not found:
        raise BenchError(f"no wake with a handshake {'and' if update else 'without'} an Update")
    return found


def _count(run: Run, wake: Wake) -> dict[str, int]:
    trace = run.network.trace[wake.mark : wake.end_mark]
    return {"datagrams": len(trace), "bytes": sum(datagram.wire_bytes for datagram in trace)}


def overhead() -> dict[str, int]:
    """Bytes of a record beyond its content, by the wire: without a connection id, and with one."""
    out = {}
    for name, connection_id in (("plain", 0), ("by_id", ID)):
        run = _run(connection_id)
        last = [d for d in run.network.trace if d.direction == "up" and run.opened(d)][-1]
        out[name] = len(last.data) - len(run.opened(last))
    return out


# -- other clients -----------------------------------------------------------------------------------------------------


def peer(name: str) -> dict[str, int] | None:
    """Datagrams and bytes of this client's handshake with the local AEP, on loopback in real time."""
    command = PEERS[name]
    if shutil.which(command[0]) is None:
        return None
    return asyncio.run(_peer(command))


async def _peer(command: list[str]) -> dict[str, int]:
    loop = asyncio.get_running_loop()
    events = Events(loop.time)
    aep = Aep(loop, events)
    done: asyncio.Future[Event] = loop.create_future()
    events.listeners.append(lambda event: _settle(done, event))
    product = aep.create_product("meters", encryption="dtls")
    aep.create_device(product, name="meter", imei=IMEI, psk=PSK)
    host, port = await aep.start_dtls()
    words = [word.format(host=host, port=port, hex=PSK.encode().hex(), psk=PSK, imei=IMEI) for word in command]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        event = await asyncio.wait_for(done, PATIENCE)
    except asyncio.TimeoutError:
        raise BenchError(f"{command[0]}: no handshake within {PATIENCE:.0f} s") from None
    finally:
        process.kill()
        process.communicate()
        aep.stop()
    return {"datagrams": event.data["datagrams"], "bytes": event.data["bytes"]}


def _settle(done: "asyncio.Future[Event]", event: Event) -> None:
    if event.kind == "dtls" and "how" in event.data and not done.done():
        done.set_result(event)


# -- instructions ------------------------------------------------------------------------------------------------------


def recorded() -> tuple[list[bytes], list[bytes]]:
    """What a server says to our client whose random is RANDOM: in the handshake, and RECORDS records after it. The
    client runs in the VM, from the beginning for each of its datagrams."""
    engine = dtls_own.Engine({IMEI: PSK.encode()}, random.Random("bench"), dtls_own.Options(cid=0))
    session = engine.session("device")
    answers: list[bytes] = []
    while not session.established:
        said = boot(_script(answers, [], pure=False, said=True))[:-1]
        if not said:
            raise BenchError("the handshake stops")
        for line in said:
            answers += session.receive(bytes.fromhex(line))[0]
    return answers, [datagram for _ in range(RECORDS) for datagram in session.send(bytes(PAYLOAD))]


def instructions(step: Step = lambda text: None) -> dict[str, dict[str, int]] | None:
    """{"native", "pure"} -> {"handshake", "record"}: of the VM, a record both sealed and opened. None without
    valgrind."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    answers, records = recorded()
    out = {}
    for name, pure in (("native", False), ("pure", True)):
        step(f"DTLS: instructions, AES {name}")
        idle, shaken, spoken = [
            counted(valgrind, partial(boot, _script(*some, pure=pure)))[-1]
            for some in (([], []), (answers, []), (answers, records))
        ]
        out[name] = {"handshake": shaken - idle, "record": (spoken - shaken) // RECORDS}
    return out


def _script(answers: list[bytes], records: list[bytes], *, pure: bool, said: bool = False) -> str:
    work = ""
    if answers or said:
        work += _SHAKE.format(
            suite=PSK_AES_128_CCM_8, imei=IMEI.encode(), psk=PSK.encode(), random=RANDOM, answers=answers
        )
    if said:
        work += _SAID
    if records:
        work += _TALK.format(records=records, payload=PAYLOAD, count=len(records))
    return _MAIN.format(tree=TREE, pure=pure, work=work)
