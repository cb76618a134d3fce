"""EC200U: Unisoc UIS8910, the customer's image "SANX" (quecpython.md §0, §3.13).

Its firmware has a `lwm2m` module of its own: `with_client("native")` of this profile. Its
littlefs 1 on /usr is simulated as littlefs 2.
"""

from dataclasses import replace

from tools.module.profiles.ec800e import EC800E

CURRENTS_UA = {
    # Published for ECx00U (quecpython.md §4.1, Quectel's "Power Consumption" page):
    "idle": 12_340,
    "sleep": 2_050,
    "flight_sleep": 1_290,
    # Estimates: "similar to shut down" (quecpython.md §4.1), and EC800E's, no lower than idle.
    "psm": 10,
    "off": 10,
    "boot": 25_000,
    "searching": 60_000,
    "connected": 70_000,
    "flight": 11_000,
}

EC200U = replace(
    EC800E,
    name="EC200U",
    sysname="EC200U-EUAB",
    firmware_version="EC200UEUABR03A01M08_OCPU_QPY_SANX",  # estimate
    absent={
        **EC800E.absent,
        "pm": frozenset({"get_psm_netinfo", "Forcehib"}),
        "misc": frozenset({"Power.powerDownReason"}),  # quecpython.md §3.6
    },
    currents_ua=CURRENTS_UA,
    at_groups=(),  # no source names one
    lacks=frozenset({"hashlib"}),  # frozen in EIGEN images only (quecpython.md §1.3)
    usr_blocks=75,  # about 0.3 MB for users (quecpython.md §1.4)
    rtc_alarm_wakes=True,  # documented for EC600U and EC200U (quecpython.md §4.2)
    mcc_as_hex=False,  # not among those that read it so (quecpython.md §3.1)
)
