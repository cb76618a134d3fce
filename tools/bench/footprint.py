"""What the application takes of the module: live heap, and of that what each room takes by being imported."""

import asyncio
import json

from tools.module.module import Module
from tools.module.profiles import FAMILIES
from tools.module.tree import TREE, build, sources
from tools.plan import Plan
from tools.scenario import play
from tools.tables import ROOT
from tools.world.clock import WorldLoop
from tools.world.events import Events
from tools.world.network import Network

ORDER = ("link", "store", "coap", "m2m", "dtls", "mqtt", "aep", "device")
"""A room after those it imports from, so that each counts what it adds. Rooms that are not named come last."""

_MAIN = """
import gc
import ujson
import usys
from misc import Power

def used():
    gc.collect()
    return gc.mem_alloc()

usys.path.insert(0, "/usr/{tree}")
taken = {{}}
for room, modules in {rooms}:
    before = used()
    for module in modules:
        __import__(module)
    taken[room] = used() - before
print(ujson.dumps(taken))
Power.powerDown()
"""


def heap_peak() -> int | None:
    """Live heap at the peak of three wakes of the main job, less that of an empty application."""
    run = play(Plan(wakes=3))
    empty = run.module.empty_heap()
    return run.module.heap_peak - empty if empty is not None else None


ALL = "600k"
"""Heap for every room at once: no deployment has them all."""


def boot(main: str, heap: str = "250k") -> list[str]:
    """What a module with this main.py beside our tree prints in one power-on, in the VM."""
    loop = WorldLoop()
    asyncio.set_event_loop(loop)
    try:
        events = Events(loop.time)
        network = Network(loop, events, seed=1)
        module = Module(loop, network, events, profile=FAMILIES["EC800E"], heap=heap)
        module.flash.install({**build(ROOT, engine="vm"), "main.py": main.encode()})
        loop.run_until_complete(module.power_on(3))
        loop.run_until_complete(network.close())
        return [event.text for event in events.of("console")]
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def heap_of_rooms() -> dict[str, int]:
    """Bytes of live heap that importing each room adds, in ORDER."""
    modules: dict[str, list[str]] = {room: [] for room in ORDER}
    for path in sources(ROOT):
        if "/" in path:
            modules.setdefault(path.split("/")[0], []).append(path.removesuffix(".py").replace("/", "."))
    (line,) = boot(_MAIN.format(tree=TREE, rooms=list(modules.items())), ALL)
    taken = json.loads(line)
    return {room: taken[room] for room in modules}
