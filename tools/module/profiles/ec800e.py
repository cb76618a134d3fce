"""EC800E: Eigencomm EC618, the family of the guide (quecpython.md §0)."""

from tools.module.profiles.base import Profile

CURRENTS_UA = {
    # Published for ECx00E (quecpython.md §4.1, Quectel's "Power Consumption" page):
    "idle": 4_000,  # registered, LTE-FDD 64 ms paging, no autosleep
    "sleep": 640,  # registered, 64 ms paging, autosleep
    # Another vendor's figure for the same silicon, not Quectel's: Air780E's "PSM+" 2.9 uA (quecpython.md §4.1).
    "psm": 3,
    "off": 3,  # estimate: "similar to shut down" (quecpython.md §4.1)
    # Estimates; nothing is published for Cat.1 on this silicon (quecpython.md §4.1: take them from measurement):
    "boot": 25_000,  # CPU and SIM start, flash reads, radio still off
    "searching": 55_000,  # receiver on without pause
    "connected": 65_000,  # receiver nearly always on, transmitter in bursts, C-DRX not used
    "flight": 3_000,  # CFUN 0 or 4 with the CPU on
    "flight_sleep": 500,  # CFUN 0 in autosleep: ECx00M's 0.80 mA is the nearest published row (quecpython.md §4.1)
}

EC800E = Profile(
    name="EC800E",
    sysname="EC800E-CNLC",
    release="1.13.0",  # 1.13-era base (quecpython.md §1.1); what a real image prints is unknown
    version="v1.13.0 on 2023-06-23",  # estimate
    qpyver="V0001",
    firmware_version="EC800ECNLCR01A01M04_OCPU_QPY",  # estimate: the package is QPY_OCPU_EC800E_CNLC_FW (§0)
    modules=(
        "utime", "uos", "usocket", "net", "sim", "modem", "dataCall", "checkNet", "pm", "misc", "machine", "atcmd",
        "osTimer", "ussl",
    ),
    absent={
        # Extended net module: only in some builds (quecpython.md §3.1).
        "net": frozenset({"getT3412", "getT3324"}),
        # ST25 only, newer images (quecpython.md §0 matrix, §3.5).
        "pm": frozenset({"get_psm_netinfo", "sclkEx_set"}),
    },
    currents_ua=CURRENTS_UA,
    at_groups=("qlw",),  # the guide's transcripts are its (§4.1.3.1); whether QuecPython's image has them is unknown
    usr_blocks=256,  # estimate: EC800E's /usr size is unknown; 256 x 4096 B is the doc's statvfs sample (§1.4)
    boot_ms=1500,  # estimate
)
