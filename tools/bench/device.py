"""Our side of the figures: the application on the simulated module, made to report PAYLOAD bytes, and what it said."""

from tools.bench.exchanges import count
from tools.ctwing.store import TraceRow
from tools.figures import resumed
from tools.plan import Plan, quicker
from tools.scenario import Run, play

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


def warm_plan(wakes: int, *, engine: str = "cpython", interval: int = 21600) -> Plan:
    """So many wakes, `interval` s apart, of a device that stays on in light sleep and keeps its session."""
    return Plan(engine=engine, wakes=wakes, commands=False, app=APP, measure_heap=False,
                config={"power.mode": "sleep", "report.interval": interval})


def warm_report() -> list[TraceRow]:
    """The platform's trace of such a wake. Raises BenchError where it does not bring its one report."""
    run = play(warm_plan(3))
    found = [len(uplink.payload) for uplink in run.aep.uplinks(run.device)]
    if run.problem is not None or found != [PAYLOAD] * 3:
        raise BenchError(f"light sleep: reports of {found} bytes: {run.problem}")
    return wake_rows(run, 2)


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
