"""What happens to datagrams on their way, and what comes from strangers."""

import random
from dataclasses import replace

from aiocoap import CON, Message
from aiocoap.numbers.codes import Code

from tools.deployment import AEP_ADDRESS, AEP_PORT
from tools.faults import act
from tools.faults.fault import Fault
from tools.faults.moment import when
from tools.plan import Plan
from tools.scenario import Run

KEPT = "readings, in the outbox until acknowledged"
REPEATED = KEPT + "; a message whose every acknowledgement was lost comes again under the same ids"
ASKED = ("register", "update", "uplink")  # the platform has just heard the device: its socket is open
STRANGER, PLATFORM = ("203.0.113.7", 5683), (AEP_ADDRESS, AEP_PORT)
FLOOD, SPACING = 300, 0.01  # datagrams, and seconds between two of them


def _network(**state: object):
    def strike(run: Run) -> None:
        for name, value in state.items():
            setattr(run.network, name, value)

    return strike


def _usual(run: Run) -> None:
    network = run.network
    network.loss, network.duplicated, network.held_up = run.plan.loss, 0.0, 0.0
    network.latency_ms = (35, 60)


def _blackout(run: Run) -> None:
    def strike(run: Run) -> None:
        run.network.blackout_until = run.aep.loop.time() + 20

    when(run, ("pdp",), strike)


def _rebind(run: Run) -> None:
    when(run, ("update", "register"), lambda run: run.network.forget_bindings())


def _readdress(run: Run) -> None:
    when(run, ("uplink",), act.new_address)


def _write(task: int, mid: int) -> bytes:
    """A Write on 19/1/0 as the platform sends it: close the valve."""
    body = b'{"valve_onoff":0,"taskId":%d,"serviceId":8001}' % task
    message = Message(code=Code.PUT, payload=body, uri_path=["19", "1", "0"])
    message.mid, message.mtype, message.token = mid, CON, b"\x0b\xad"
    return message.encode()


def _stranger(run: Run) -> None:
    def strike(run: Run) -> None:
        for task in range(900, 905):
            run.network.inject(_write(task, task), STRANGER)

    when(run, ASKED, strike)


def _unfiltered(plan: Plan) -> Plan:
    return replace(plan, connect_filters=False)


def _flood(run: Run, make) -> None:
    def strike(run: Run) -> None:
        for number in range(FLOOD):
            sender = PLATFORM if number % 2 else STRANGER
            run.aep.loop.call_later(number * SPACING, run.network.inject, make(number), sender)

    when(run, ASKED, strike)


def _garbage(run: Run) -> None:
    draws = random.Random(f"{run.plan.seed}/garbage")
    _flood(run, lambda number: draws.randbytes(draws.randint(1, 120)))


def _requests(run: Run) -> None:
    def read(number: int) -> bytes:
        message = Message(code=Code.GET, uri_path=["3", "0"])
        message.mid, message.mtype, message.token = 0x4000 + number, CON, number.to_bytes(2, "big")
        return message.encode()

    _flood(run, read)


def _empty(run: Run) -> None:
    when(run, ("uplink",), lambda run: run.network.inject(b"", PLATFORM))


FAULTS = (
    Fault("loss-10-percent", "one datagram in ten is lost, either way", 0, REPEATED,
          strike=_network(loss=0.1), heal=_usual, last=5, wakes=7, passing=True),
    Fault("duplicated-datagrams", "half of the datagrams arrive twice", 0, KEPT + "; nothing is stored or run twice",
          strike=_network(duplicated=0.5), heal=_usual, last=5, wakes=7, passing=True),
    Fault("reordered-datagrams", "a third of the datagrams are overtaken by later ones", 0, REPEATED,
          strike=_network(held_up=1 / 3), heal=_usual, last=5, wakes=7, passing=True),
    Fault("late-datagrams", "datagrams take 2.5 to 4 s each way: answers come after the first repeats", 0, REPEATED,
          strike=_network(latency_ms=(2500, 4000)), heal=_usual, last=3, wakes=5, passing=True),
    Fault("blackout-20-seconds", "every datagram is lost for 20 s after the data call is up", 0, REPEATED,
          strike=_blackout, passing=True),
    Fault("nat-rebinding-between-wakes", "the carrier's NAT forgets the module while it sleeps", 0, KEPT,
          strike=lambda run: run.network.forget_bindings(), passing=True),
    Fault("nat-rebinding-in-a-wake", "the carrier's NAT forgets the module after its first request", 0, REPEATED,
          strike=_rebind, passing=True),
    Fault("new-address-in-psm", "the network gives the data call another address during PSM", 0, KEPT,
          strike=act.new_address, passing=True),
    Fault("new-address-in-a-wake", "the data call drops while a report waits for its acknowledgement; the new one has "
          "another address", 0, REPEATED, strike=_readdress, passing=True),
    Fault("strangers-requests", "somebody else's address sends commands; the socket takes its peer's datagrams only", 0,
          KEPT + "; nothing of the stranger's is run or answered", strike=_stranger, passing=True),
    Fault("strangers-requests-unfiltered", "the same where the firmware's connect() filters nothing", 0,
          KEPT + "; what comes from another address is ignored and counted", plan=_unfiltered, strike=_stranger),
    Fault("flood-of-garbage", "300 datagrams of noise within 3 s, half of them from the platform's address", 0,
          REPEATED + "; the noise is dropped", strike=_garbage, passing=True),
    Fault("flood-of-requests", "300 reads within 3 s, half of them from the platform's address", 0,
          REPEATED + "; the work for it is bounded", strike=_requests, passing=True),
    Fault("empty-datagram", "an empty datagram makes the socket say \"closed\" for ever", 0, REPEATED,
          strike=_empty, passing=True),
    Fault("socket-errors", "the first three sends of a wake fail (113, 103, 12)", 0, KEPT,
          strike=lambda run: act.world(run, send_errors=[113, 103, 12]),
          heal=lambda run: act.world(run, send_errors=[]), passing=True),
    Fault("no-sockets", "the firmware has no socket left for a wake", 0, KEPT,
          strike=lambda run: act.world(run, sockets=0), heal=lambda run: act.world(run, sockets=15), passing=True),
)
