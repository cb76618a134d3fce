"""What a carrier's network does to a module: how long it takes, what it grants, the cell it serves.

Every duration is (least, most) in whole milliseconds; each use draws from it by the module's seed. No source publishes
these figures for a Cat.1 module on CTWing: where a line says "estimate" it is ours, of the usual order, to be replaced
by measurements on hardware.
"""

from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True)
class Cell:
    """A serving cell. The default is the guide's own log line (guide §6.1; ctwing.md §7.7)."""

    mcc: str = "460"
    mnc: str = "11"
    cell_id: int = 0x5A2890B
    pci: int = 475
    earfcn: int = 1650
    band: int = 3
    bandwidth: int = 5  # code 5 = 20 MHz (ctwing.md §7.7, inferred)
    tac: int = 0xDF5C
    rsrp: int = -102
    rsrq: int = -9
    rssi: int = -73
    sinr: int = 16
    srxlev: int = 19


@dataclass(frozen=True)
class Carrier:
    """A network's behaviour towards one SIM."""

    name: str = "China Telecom"
    operator: tuple[str, str] = ("CHN-CT", "CT")  # long and short name; estimate
    cell: Cell = Cell()
    state: int = 1
    """What registration ends in: 1 home, 5 roaming, 3 denied, 2 never found (`net.getState`, quecpython.md §3.1)."""

    sim_ready_ms: Span = (400, 700)  # estimate: from power to +CPIN: READY
    search_ms: Span = (1200, 2500)  # estimate: cell search with nothing remembered
    resync_ms: Span = (250, 500)  # estimate: the cell remembered over PSM is found again
    attach_ms: Span = (600, 1100)  # estimate: RRC set-up, authentication, attach with default bearer
    tau_ms: Span = (200, 400)  # estimate: a tracking area update, RRC set-up included
    pdp_ms: Span = (150, 350)  # estimate: `_boot`'s dial after registration; the bearer came with the attach
    detach_ms: Span = (300, 600)  # estimate: AT+CFUN=0/4, power-down
    drop_ms: Span = (20, 60)  # estimate: the network's release after a signalling-only connection

    rrc_setup_ms: Span = (90, 150)  # estimate: idle -> connected, around 120 ms
    inactivity_ms: Span = (12_000, 12_000)  # estimate within the "typically 10-20 s" of quecpython.md §4.3 (inferred)
    paging_cycle_ms: int = 1280  # estimate: DRX cycle of 1.28 s, usual; a page waits for its occasion
    release_ms: Span = (800, 1600)  # from QSCLKEX's no_data_time to RRC idle: guide §6.1 sees +CSCON: 0 after 2-3 s
    release_refusal: float = 0.0
    """Share of armings of AT+QSCLKEX that have no effect (guide §6.1 tries up to three times); 0 = always works."""

    psm: bool = True
    """Whether PSM is granted; by guide §6.1 Telecom and Unicom do, Mobile does not."""
    tau_limits_s: tuple[int, int] = (0, 31 * 320 * 3600)
    """Least and greatest periodic TAU that is granted; what is asked for beyond is moved to the limit."""
    active_limits_s: tuple[int, int] = (0, 31 * 360)
    """Least and greatest active time that is granted."""
    t3412_s: int = 3240
    """Periodic TAU where no other was granted: 54 min, the default of TS 24.301 table 10.2.1."""
    forget_s: int = 480
    """After a missed periodic TAU the network detaches the module: mobile reachable timer = T3412 + 4 min
    (TS 24.301 §5.3.5), then an implicit detach timer of the network's choice (4 min is an estimate)."""

    nitz: bool = True
    zone_quarters: int = 32  # UTC+8
    ip_version: int = 4
    """What the APN gives: 4, 6, or 46 for both."""
    pdp_after: str = ""
    """What must come before a data call: "" nothing, "dial" the application's own, "cfun" CFUN 0 and 1, "restart"
    `powerRestart`, "never" nothing helps."""
    ip_net: str = "100.101"  # carrier-grade NAT, as in the guide's log: 100.101.185.160 (guide §6.1)
    ip6_net: str = "240e:470:811"  # estimate: China Telecom's prefix, the rest drawn
    dns: tuple[str, str] = ("61.132.163.68", "202.102.213.68")  # the guide's QIDNSCFG answer (ctwing.md §1.6)
    """The name servers that come with the data call; zeros where the network names none (guide's FAQ)."""


CHINA_TELECOM = Carrier()
CHINA_MOBILE = Carrier(name="China Mobile", operator=("CHINA MOBILE", "CMCC"), cell=Cell(mnc="00"), psm=False)
