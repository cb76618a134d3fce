"""What faults do to a world, whether the module is on or off at the time."""

import json
from dataclasses import replace
from typing import Any

from littlefs import LittleFSError

from tools.ctwing.tls import Authority
from tools.deployment import PORTS, STREAM_ADDRESS
from tools.module.modem.radio import Radio
from tools.scenario import Run, profile


def radio(run: Run) -> Radio | None:
    """The modem side, None while the module is off."""
    return run.module.board.radio if run.module.powered and run.module.board is not None else None


def carrier(run: Run, **changes: Any) -> None:
    """The network does so from now on."""
    module = run.module
    module.profile = replace(module.profile, carrier=replace(module.profile.carrier, **changes))
    modem = radio(run)
    if modem is not None:
        modem.moved(module.profile.carrier)


def carrier_again(run: Run) -> None:
    """The network is as the plan has it."""
    usual = profile(run.plan).carrier
    carrier(run, **{name: getattr(usual, name) for name in usual.__dataclass_fields__})


def card(run: Run, **state: Any) -> None:
    """The SIM is in this state; a card that is gone is missed at once."""
    run.module.nv.values.setdefault("sim", {}).update(state)
    modem = radio(run)
    if modem is not None and state.get("status") == 0:
        modem.board.sim.removed()


def world(run: Run, **state: Any) -> None:
    """Sets what the stand-ins ask of the world (`nv.values`); None takes it away."""
    for name, value in state.items():
        run.module.nv.values[name] = value
        if value is None:
            del run.module.nv.values[name]


def meter(run: Run, **state: Any) -> None:
    """The water meter's line or valve."""
    if "watermeter" in run.module.nv.values:
        run.module.nv.values["watermeter"].update(state)


def new_address(run: Run) -> None:
    """The data call is dropped and has another address when it is back; in PSM the module does not notice."""
    modem = radio(run)
    if modem is not None:
        modem.drop_pdp()
    elif "registration" in run.module.nv.values:
        run.module.nv.values["registration"]["addresses"] = None


def jump_clock(run: Run, seconds: int) -> None:
    """The RTC goes by so much, where it has ever been set."""
    if run.module.nv.rtc_offset_us is not None:
        run.module.nv.rtc_offset_us += seconds * 1_000_000
        run.events.emit("world", "clock", "jumped", seconds=seconds)


def reset(run: Run, how: str, reason: int) -> None:
    """The module is reset where it stands."""
    modem = radio(run)
    if modem is not None:
        run.module.nv.values["down_reason"] = reason
        modem.board.doom(how, "fault")


BALLAST = "ballast.bin"


def fill_flash(run: Run) -> None:
    """A file takes every free block; only while the module is off: its file system is its own while it is on."""
    if radio(run) is not None or run.module.flash.exists(BALLAST):
        return
    usage = run.module.flash.statvfs()
    for blocks in range(usage["free"], 0, -1):
        try:
            run.module.flash.write(BALLAST, bytes(usage["block_size"] * blocks))
        except LittleFSError:  # its own tables take blocks too
            continue
        run.events.emit("world", "flash", "full")
        return


def free_flash(run: Run) -> None:
    """It is gone again, at the latest when the power goes."""
    if radio(run) is not None:
        run.events.listeners.append(lambda event: free_flash(run) if event.kind == "power" else None)
    elif run.module.flash.exists(BALLAST):
        run.module.flash.remove(BALLAST)
        run.events.emit("world", "flash", "free")


def file(run: Run, name: str, content: bytes | None) -> None:
    """A file of /usr is this now, or is gone; only while the module is off."""
    assert radio(run) is None
    if content is not None:
        run.module.flash.write(name, content)
    elif run.module.flash.exists(name):
        run.module.flash.remove(name)


def configure(run: Run, **settings: Any) -> None:
    """Somebody has written other settings to config.json, with `_` for the dot; only while the module is off."""
    known = json.loads(run.module.flash.read("config.json"))
    known.update({name.replace("_", ".", 1): value for name, value in settings.items()})
    file(run, "config.json", json.dumps(known, indent=1).encode())


def serve(run: Run, protocol: str, authority: Authority | None = None) -> None:
    """The platform opens its front of this protocol as well, or anew with what this authority signs."""

    async def opened() -> None:
        if authority is not None:
            run.aep.authority = authority
        real = await getattr(run.aep, "start_" + protocol)()
        run.network.serve_stream(STREAM_ADDRESS, PORTS[protocol], real)

    run.aep.loop.create_task(opened())
