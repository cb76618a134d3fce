"""EC800M and EC800K: ASR1606 and ASR1602. No PSM: between two reports they sleep lightly (quecpython.md §0, §3.5).

Most EC800M images have littlefs 1 on /usr (quecpython.md §0); the simulated flash is littlefs 2 for every family.
"""

from dataclasses import replace

from tools.module.profiles.ec800e import EC800E

CURRENTS_UA = {
    # Published for ECx00M (quecpython.md §4.1, Quectel's "Power Consumption" page):
    "idle": 16_720,
    "sleep": 1_370,
    "flight_sleep": 800,
    "psm": 0,  # it never is
    "off": 50,  # estimate: a power-down of this class of silicon
    # Estimates: EC800E's, no lower than idle.
    "boot": 25_000,
    "searching": 65_000,
    "connected": 75_000,
    "flight": 15_000,
}

NO_PSM = frozenset({"set_psm_time", "get_psm_time", "get_psm_netinfo", "Forcehib", "sclkEx_set"})

EC800M = replace(
    EC800E,
    name="EC800M",
    sysname="EC800M-CNGA",
    firmware_version="EC800MCNGAR06A01M08_OCPU_QPY",  # estimate: the package is QPY_OCPU_EC800M_CNGA_FW (§0)
    absent={**EC800E.absent, "pm": NO_PSM},
    currents_ua=CURRENTS_UA,
    at_groups=(),  # no source names one
    lacks=frozenset({"hashlib"}),  # frozen in EIGEN images only (quecpython.md §1.3)
    no_pdp_is_minus_one=True,  # an older image (quecpython.md §3.3)
    nitz_hours=True,
)

EC800K = replace(
    EC800M,
    name="EC800K",
    sysname="EC800K-CNLC",
    firmware_version="EC800KCNLCR01A01M02_OCPU_QPY",  # estimate
    # Nothing is published for K (quecpython.md §4.1): M's currents stand for it. NITZ in hours: inferred, as M's.
    no_pdp_is_minus_one=False,
    mcc_as_hex=False,  # not among those that read it so (quecpython.md §3.1)
)

