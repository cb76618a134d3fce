"""Our side of the figures: the application on the simulated module, made to report PAYLOAD bytes, and what it said."""

from tools.bench.exchanges import count
from tools.ctwing.store import TraceRow
from tools.figures import resumed
from tools.scenario import Plan, Run, play, quicker

PAYLOAD = 64
"""Bytes of the report that figures are stated for."""

DAY = 86400

# An application whose every report has PAYLOAD bytes while ids have one digit.
_SHELL = '{"serviceId":1,"id":1,"t":1795392000,"pad":""}'
APP = f'''from device.readings import reading


@reading("pad")
def pad():
    return "{"x" * (PAYLOAD - len(_SHELL))}"
'''

# Reports from a session that is kept, as in light sleep.
_WARM = '''import utime
from misc import Power

from aep import lwm2m
from device import settings
from link import attach, cell
from link.clock import Clock


class Numbers:
    drawn = 0

    def next(self, name):
        self.drawn += 1
        return self.drawn


clock = Clock()
attach.attach(120, clock)
session = lwm2m.Session(
    settings.Settings().values, {{}}, cell.imei(), clock, Numbers(), 320, lambda *path: None, lambda payload: 1
)
session.open(clock.now() + 60000)
for _ in range({count}):
    utime.sleep(30)
    session.send({payload}, clock.now() + 60000)
Power.powerDown()
'''


class BenchError(Exception):
    """A run that was to be measured did not do what it is measured for."""


def report_run(
    endpoint: str, token: int | None, *, wakes: int = 2, engine: str = "cpython", interval: int | None = None
) -> Run:
    """A cold wake and further ones, one PAYLOAD-byte report each; these resume, unless `interval` (s) is given. Raises
    BenchError when a report has another size."""
    config = {} if interval is None else {"report.interval": interval}
    run = play(Plan(engine=engine, wakes=wakes, endpoint_format=endpoint, token_length=token, commands=False, app=APP,
                    measure_heap=False, config=config))
    if run.problem is not None:
        raise BenchError(f"{endpoint}, token {token}: {run.problem}")
    found = [len(uplink.payload) for uplink in run.aep.uplinks(run.device)]
    if found != [PAYLOAD] * wakes or interval is None and len(resumed(run)) != wakes - 1:
        raise BenchError(f"{endpoint}, token {token}: reports of {found} bytes, {len(resumed(run))} wakes resumed")
    return run


def warm_plan(count: int, engine: str = "cpython") -> Plan:
    """A wake of `count` reports through one session."""
    app = _WARM.format(count=count, payload=b"x" * PAYLOAD)
    return Plan(engine=engine, wakes=1, commands=False, app=app, measure_heap=False)


def warm_report() -> list[TraceRow]:
    """What is on the wire for a report from a session that is kept. Raises BenchError where it does not come up."""
    run = play(warm_plan(2))
    if len(run.aep.uplinks(run.device)) != 2:
        raise BenchError(f"a kept session: {run.problem}")
    last = run.aep.uplinks(run.device)[-1]
    return [row for row in run.aep.trace() if row.t >= last.t]


def command_run() -> Run:
    """A wake that fetches one command and answers it."""
    run = play(quicker(Plan(wakes=2)))
    if run.problem is not None or len(run.given) != 1:
        raise BenchError(f"{len(run.given)} commands: {run.problem}")
    return run


def wake_rows(run: Run, number: int) -> list[TraceRow]:
    """The platform's trace of one wake."""
    wake = run.wakes[number]
    return [row for row in run.aep.trace() if wake.began <= row.t <= wake.ended]


def per_day(interval: int, *, registers: bool) -> dict[str, int | float]:
    """What the wakes of one day cost that are `interval` s apart: counts, and by the radio model RRC-connected time and
    charge, that of sleep included. `registers`: each of them must have registered anew. Raises BenchError where the
    wakes did something else."""
    run = report_run("imei", 4, wakes=5, interval=interval)
    if len(resumed(run)) != (0 if registers else 4):
        raise BenchError(f"{len(resumed(run))} of 4 wakes {interval} s apart resumed")
    share = DAY / interval / 4  # of a day, for each of the wakes after the first
    sent = count([row for number in range(1, 5) for row in wake_rows(run, number)])
    asleep = run.ledger()["psm_mc"]  # there are as many sleeps as wakes after the first
    return {
        "interval_s": interval,
        "wakes": DAY // interval,
        "datagrams": round(share * sent["datagrams"]),
        "bytes": round(share * sent["bytes"]),
        "connected_ms": round(share * sum(wake.connected_ms for wake in run.wakes[1:])),
        "charge_mc": round(share * (sum(wake.charge_mc for wake in run.wakes[1:]) + asleep), 1),
    }
