"""The radio: search, attach, PDP, PSM – what the network and the module's modem side do with each other.

    off -> searching -> registered (RRC connected <-> idle) -> PSM or off

Time comes from the carrier's figures (`tools/module/profiles/networks.py`), drawn by seed in whole milliseconds.
The application sees it through `net`, `dataCall`, `pm` and `atcmd`, sockets through `traffic`.
"""

import random
import time
from asyncio import TimerHandle
from collections.abc import Callable
from typing import Any

from tools.module.modem.psm import Grant, grant
from tools.module.modem.rrc import US, Rrc
from tools.module.modem.utime import set_rtc
from tools.module.profiles.networks import Carrier, Span

Addresses = tuple[str | None, str | None]
"""IPv4 and IPv6 of one context."""

NO_ADDRESSES: Addresses = (None, None)
AFTER_RESTART = 2
"""`powerOnReason()` after `powerRestart`: an estimate (tools/module/modem/misc.py)."""


class Radio:
    """One power-on of the modem side. Kept across PSM in `nv.values["registration"]`: state, address, timers."""

    def __init__(self, board: Any) -> None:
        self.board = board
        self.carrier: Carrier = board.profile.carrier
        self.rng = random.Random(board.rng.getrandbits(64))
        self.fun = 1  # AT+CFUN: 0 minimum, 1 full, 4 flight
        self.state = 0  # registration as net.getState says it: 0 idle, 1 home, 2 searching, 3 denied, 5 roaming
        self.pdp: dict[int, Addresses] = {}  # the contexts that are up
        self.dns: dict[int, tuple[str, str]] = {}  # name servers set by AT+QIDNSCFG
        self.reconnect: dict[int, bool] = {}  # contexts to dial after each registration
        self.autosleep = 0
        self.locked: set[int] = set()  # wakelocks that are locked
        self.usb = bool(board.nv.values.get("usb", False))  # VBUS keeps the module awake (quecpython.md §4.2)
        self.granted: Grant | None = None
        self.nitz: tuple[str, int, int] | None = None
        self.on_registration: int | None = None  # callbacks of the application, by id
        self.on_pdp: int | None = None
        self._link = Rrc(board, self.carrier, self.rng, self._later, self._note, self._idled)
        self._steps: list[TimerHandle] = []
        self._booting = True
        self._helped = {"", "restart"} if board.reason == AFTER_RESTART else {""}  # of the carrier's `pdp_after`
        self._forced = False
        self._working = 0
        self._tau_us: int | None = None  # when the periodic TAU is due
        board.power_off_at = self.power_off_at
        board.on_power_off.append(self._power_off)

    # -- what others read ----------------------------------------------------------------------------------------

    @property
    def ip(self) -> str | None:
        """IPv4 address of PDP 1, None while it has none."""
        return self.pdp.get(1, NO_ADDRESSES)[0]

    @property
    def ip6(self) -> str | None:
        """Its IPv6 address, None while it has none."""
        return self.pdp.get(1, NO_ADDRESSES)[1]

    @property
    def has_dns(self) -> bool:
        """Whether PDP 1 knows a name server."""
        return any(server != "0.0.0.0" for server in self.servers(1))

    def servers(self, profile: int) -> tuple[str, str]:
        """The name servers in use: those set by command, else those that came with the data call."""
        return self.dns.get(profile, self.carrier.dns)

    @property
    def ready(self) -> bool:
        """Whether PDP 1 carries data."""
        return 1 in self.pdp

    @property
    def rrc(self) -> str:
        """"idle" or "connected"."""
        return self._link.state

    @property
    def registered(self) -> bool:
        return self.state in (1, 5)

    @property
    def reachable(self) -> bool:
        """Whether a downlink finds the module: connected, or listening to its pages. Not in PSM, though the CPU may
        still be on (a wakelock, USB): the modem side stops listening when T3324 ends (TS 24.301 §5.3.11)."""
        return self.registered and not self._active_time_over()

    @property
    def connected_ms(self) -> int:
        """Milliseconds in RRC connected, attach included, over the module's life."""
        self._catch_up()
        return self.board.meter.us("connected") // 1000

    @property
    def may_sleep(self) -> bool:
        """autosleep(1), no wakelock, no VBUS, and CFUN=0 or registered: a module that searches, is denied or in flight
        mode stays awake (quecpython.md §4.2)."""
        settled = self.fun == 0 or self.registered
        return bool(self.autosleep) and not self.locked and not self.usb and settled

    def tau_expires_at(self) -> float | None:
        """World seconds at which the granted T3412 wakes the module from PSM; also valid after power-off."""
        if self._tau_us is None or self.granted is None:
            return None
        return self._tau_us / US

    def power_off_at(self) -> float | None:
        """World seconds at which PSM cuts the power if nothing changes: T3324 after RRC idle, when PSM is granted and
        nothing on the module vetoes it (quecpython.md §4.2). The application must be parked: `Board.wait` asks."""
        self._catch_up()
        if self.granted is None or not self.registered or not self.may_sleep:
            return None
        if self._working or self._link.connected or self._link.being_paged:
            return None
        return self._link.idle_us / US + self.granted.active_s

    def traffic(self, direction: str) -> float | None:
        """A datagram is about to go "up" or "down": seconds until the radio carries it, 0 when connected.

        Idle: RRC set-up first, for a downlink the page before it. None: a downlink that finds nobody.
        """
        self._catch_up()
        if direction == "down":
            return self._link.carry(paged=True) if self.reachable else None
        if not self.registered:
            return 0.0
        return self._link.carry(lost_cell=self._active_time_over())

    def arm_release(self, mode: int, no_data_s: int = 3, retry_min: int = 10) -> None:
        """AT+QSCLKEX."""
        self._link.arm(mode, no_data_s, retry_min)

    @property
    def release(self) -> Any:
        """AT+QSCLKEX as armed, or None."""
        return self._link.armed

    async def work(self, seconds: float) -> None:
        """A call that keeps modem and CPU at work for so long: no PSM meanwhile (inferred)."""
        self._working += 1
        try:
            await self.board.wait(seconds)
        finally:
            self._working -= 1

    # -- power-on and registration -------------------------------------------------------------------------------

    def power_up(self, *, autodial: bool) -> None:
        """From here the modem works by itself: `_boot` dials PDP 1 with auto-reconnect on (quecpython.md §2.1)."""
        self.reconnect[1] = autodial
        self.board.meter.enter("boot")
        self.board.later(self._draw(self.carrier.sim_ready_ms), self._sim_ready)

    def _sim_ready(self) -> None:
        self._booting = False
        sim = self.board.sim
        sim.started()
        text = "ready" if sim.ready else "not ready"
        self.board.events.emit("module", "sim", text, status=sim.status, iccid=self.board.identity.iccid)
        self.search()

    def search(self) -> None:
        """Looks for the network, when CFUN and SIM allow; then attaches, or resumes what PSM has kept."""
        if self.fun != 1 or not self.board.sim.ready:
            self._note()
            return
        self.state = 2
        self._note()
        kept = self.board.nv.values.pop("registration", None)
        welcome = self.carrier.state in (1, 5)
        if kept is not None and welcome and self.board.loop.now_us < kept["tau_us"] + self.carrier.forget_s * US:
            self._later(self._draw(self.carrier.resync_ms), self._resume, kept)
        elif self.carrier.state != 2:
            self._later(self._draw(self.carrier.search_ms), self._attach)

    def _attach(self) -> None:
        self.board.events.emit("module", "attach", self.carrier.name)
        self._link.open()
        self._later(self._draw(self.carrier.attach_ms), self._attached)

    def _attached(self) -> None:
        self.state = self.carrier.state
        if not self.registered:
            self.board.events.emit("module", "registered", "denied", state=self.state)
            self._registration_changed()
            self._link.close("network")
            return
        self._grant()
        self._tell_time()
        self._in_service("attached", None)

    def _resume(self, kept: dict[str, Any]) -> None:
        """After PSM the module is still registered and its PDP context has stayed, with its address. Woken by T3412 it
        owes the network a TAU, otherwise nothing (TS 24.301 §5.3.11)."""
        self.granted = Grant(*kept["granted"]) if kept["granted"] else None
        self._tau_us = kept["tau_us"]
        self._link.idle_us = self.board.loop.now_us
        if kept["tau_us"] <= self.board.loop.now_us:
            self._link.signal(self.carrier.tau_ms, self._updated, kept)
        else:
            self.state = kept["state"]
            self._in_service("resumed", kept["addresses"])

    def _updated(self, kept: dict[str, Any]) -> None:
        self.state = kept["state"]
        self._grant()
        self._in_service("updated", kept["addresses"])

    def _in_service(self, how: str, addresses: Addresses | None) -> None:
        cell = self.carrier.cell
        self.board.events.emit("module", "registered", how, state=self.state, cell=cell.cell_id, tac=cell.tac)
        self._registration_changed()
        for profile, again in self.reconnect.items():
            if again:
                self.dial(profile, addresses if profile == 1 else None)
        self._note()

    def _registration_changed(self) -> None:
        """quecpython.md §3.1: event 1 = data registration: (1, status, lac, cid, act)."""
        cell, here = self.carrier.cell, self.registered
        told = (1, self.state, cell.tac if here else 0, cell.cell_id if here else 0, 7 if here else 10)
        self.board.call_back(self.on_registration, told)

    def _tell_time(self) -> None:
        """NITZ: delivered once, with the attach (quecpython.md §3.1), and sets the RTC."""
        if not self.carrier.nitz:
            return
        now = int(self.board.loop.time())
        self.nitz = (_nitz_text(now, self.carrier.zone_quarters, self.board.profile.nitz_hours), now, 0)
        set_rtc(self.board, now, self.carrier.zone_quarters // 4)
        self.board.events.emit("network", "clock", "told")

    # -- PDP -----------------------------------------------------------------------------------------------------

    def dial(self, profile: int, addresses: Addresses | None = None) -> float:
        """Brings a context up after a while; gives the seconds that takes."""
        seconds = self._draw(self.carrier.pdp_ms)
        self._later(seconds, self._pdp_up, profile, addresses)
        return seconds

    def dialled(self) -> None:
        """The application dials itself, as the firmware did before it."""
        self._helped.add("dial")

    def _pdp_up(self, profile: int, addresses: Addresses | None) -> None:
        if not self.registered or profile in self.pdp:
            return
        if self.carrier.pdp_after not in self._helped:
            self.board.events.emit("module", "pdp", "refused", profile=profile)
            return
        self.pdp[profile] = addresses or self._new_addresses()
        known = ", ".join(ip for ip in self.pdp[profile] if ip)
        self.board.events.emit("module", "pdp", "up", profile=profile, ip=known)
        self.board.call_back(self.on_pdp, (profile, 1))
        self._note()

    def _new_addresses(self) -> Addresses:
        carrier, v4, v6 = self.carrier, None, None
        if carrier.ip_version != 6:
            v4 = f"{carrier.ip_net}.{self.rng.randint(1, 254)}.{self.rng.randint(1, 254)}"
        if carrier.ip_version != 4:
            v6 = f"{carrier.ip6_net}:{self.rng.randint(1, 0xFFFF):x}::1"
        return v4, v6

    def drop_pdp(self, profile: int = 1) -> None:
        """The network takes a context down; with auto-reconnect it is dialled again and has another address."""
        if profile in self.pdp:
            self.hang_up(profile)
            if self.reconnect.get(profile):
                self.dial(profile)

    def moved(self, carrier: Carrier) -> None:
        """The network is another from now on: registration is lost where there is none any more, and searched for
        again where there was none."""
        before, self.carrier, self._link.carrier = self.carrier, carrier, carrier
        if carrier.state == before.state:
            return
        if self.registered:
            self.lost_service()
        elif self.state != 0:
            self.search()

    def lost_service(self) -> None:
        """The network is gone, or does not want us any more; CFUN stays, so the module searches."""
        self.detach()
        self.search()

    def hang_up(self, profile: int) -> None:
        """Takes a context down."""
        if self.pdp.pop(profile, None) is not None:
            self.board.events.emit("module", "pdp", "down", profile=profile)
            self.board.call_back(self.on_pdp, (profile, 0))
            self._note()

    def set_fun(self, fun: int) -> None:
        """AT+CFUN: 0 and 4 detach, 1 searches again."""
        if fun == self.fun:
            return
        was, self.fun = self.fun, fun
        if was == 1:
            self.detach()
        elif fun == 1 and not self._booting:
            self._helped.add("cfun")
            self.board.sim.restarted()
            self.search()
        self._note()

    def detach(self) -> None:
        """Leaves the network: nothing is kept."""
        for profile in list(self.pdp):
            self.hang_up(profile)
        was, self.state = self.registered, 0
        self.granted, self._tau_us = None, None
        self.board.nv.values.pop("registration", None)
        for step in self._steps:
            step.cancel()
        self._link.close("detach")
        if was:
            self.board.events.emit("module", "registered", "detached", state=0)
            self._registration_changed()
        self._note()

    # -- PSM -----------------------------------------------------------------------------------------------------

    def request_psm(self, request: list[int]) -> None:
        """[mode, tau_unit, tau, act_unit, act]: kept in NV (quecpython.md §4.2, inferred) and negotiated by a TAU."""
        if self.board.nv.values.get("psm") == request:
            return
        self.board.nv.values["psm"] = list(request)
        if self.registered:
            self._link.signal(self.carrier.tau_ms, self._grant)

    def force_hibernate(self) -> None:
        """`pm.Forcehib`: the power goes as in PSM, whatever T3324 says (quecpython.md §3.5, §4.2; wake inferred)."""
        self._forced = True
        self.board.doom("psm", "Forcehib")

    def _grant(self) -> None:
        """The network's answer to the request, with an attach or a TAU."""
        request = self.board.nv.values.get("psm", [0, 0, 0, 0, 0])
        before, self.granted = self.granted, grant(request, self.carrier)
        if self.granted is not None:
            self.board.events.emit("module", "psm", "granted", tau_s=self.granted.tau_s, active_s=self.granted.active_s)
        elif request[0] == 1 or before is not None:
            self.board.events.emit("module", "psm", "not granted")
        self._note()

    def _active_time_over(self) -> bool:
        if self.granted is None or self._link.connected or self._link.being_paged:
            return False
        return self.board.loop.now_us >= self._link.idle_us + self.granted.active_s * US

    def _idled(self) -> None:
        """T3412 runs from the moment RRC becomes idle (TS 24.301 §5.3.5)."""
        self._tau_us = self._link.idle_us + self._tau_s() * US if self.registered else None

    def _tau_s(self) -> int:
        return self.granted.tau_s if self.granted is not None else self.carrier.t3412_s

    def _catch_up(self) -> None:
        """Periodic TAUs that fell due while the module was on and idle. They are booked when somebody looks: a timer
        for them would keep a world alive in which nothing else can happen."""
        now = self.board.loop.now_us
        while self._tau_us is not None and self._tau_us <= now and self.registered and not self._link.connected:
            spent = self._link.draw_us(self.carrier.tau_ms) + self._link.draw_us(self.carrier.drop_ms)
            self.board.meter.shift(min(spent, now - self._tau_us), "connected")
            self._link.idle_us = self._tau_us + spent
            self._idled()

    def _power_off(self) -> None:
        """The power goes now. In PSM registration, address and timers stay; otherwise all is lost."""
        cut = self.power_off_at()
        values = self.board.nv.values
        values.pop("registration", None)
        if not self._forced and (cut is None or cut - self.board.loop.time() > 1e-6):
            self._tau_us = None
            self.board.meter.enter("off")
            return
        self._link.close("module")
        self.board.meter.enter("psm")
        self.board.events.emit("module", "psm", "entered", wakes=self.tau_expires_at())
        if self.registered and self._tau_us is not None:
            held = self.granted
            values["registration"] = {
                "state": self.state, "addresses": self.pdp.get(1), "tau_us": self._tau_us,
                "granted": [held.tau_bits, held.active_bits, held.tau_s, held.active_s] if held else None,
            }

    # -- small things --------------------------------------------------------------------------------------------

    def plug(self, usb: bool) -> None:
        """VBUS comes or goes."""
        self.usb = usb
        self.note_sleep()

    def note_sleep(self) -> None:
        """autosleep, a wakelock or VBUS has changed."""
        self._link.schedule()
        self._note()

    def _note(self) -> None:
        """Books the state with the meter and wakes whoever waits for a change."""
        if not self._booting:
            self._catch_up()
            self.board.meter.enter(self._power_state())
        self.board.changed.set()

    def _power_state(self) -> str:
        if self.fun != 1 or not self.board.sim.ready:
            return "flight_sleep" if self.may_sleep else "flight"
        if self._link.connected:
            return "connected"
        if self.state == 2:
            return "searching"
        return "sleep" if self.may_sleep else "idle"

    def _later(self, seconds: float, step: Callable[..., None], *args: Any) -> TimerHandle:
        """A step of a procedure that a detach breaks off."""
        now = self.board.loop.time()
        self._steps = [step for step in self._steps if not step.cancelled() and step.when() > now]
        handle = self.board.later(seconds, step, *args)
        self._steps.append(handle)
        return handle

    def _draw(self, span: Span) -> float:
        return self._link.draw_us(span) / US


def _nitz_text(unix: int, quarters: int, hours: bool) -> str:
    """'20/11/26 02:13:25 +32 0': UTC, zone in quarter hours, as EC800E writes it; '21/10/26 06:08:03 8 0' in hours, as
    EC800M does (quecpython.md §3.1)."""
    zone = str(quarters // 4) if hours else f"{quarters:+d}"
    return time.strftime("%y/%m/%d %H:%M:%S", time.gmtime(unix)) + f" {zone} 0"
