"""What distinguishes one module family from another. Plain data; the behaviour is in `tools/module/modem/`."""

from dataclasses import dataclass, field, replace

from tools.module.profiles.networks import CHINA_TELECOM, Carrier

OPTIONAL = ("ucryptolib", "uhashlib", "hashlib", "uos.urandom")
"""What may be missing from any image: `ucryptolib` and native `uhashlib` are expected in each and proven in none, the
frozen `hashlib` is EIGEN's (quecpython.md §1.3, §1.7), newer sources comment `uos.urandom` out (§1.6)."""


CLIENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), ()), "qlw": (("qlw",), ()), "ncdp": (("ncdp",), ()), "native": (("qlw",), ("lwm2m",)),
}
"""What an image may have of an LwM2M client: groups of AT commands, and firmware modules. "native" is QuecPython's own
`lwm2m`, which a few customers' images have (quecpython.md §3.13)."""


@dataclass(frozen=True)
class Profile:
    """One family's firmware and the SIM's network it is used in. Vary it with `dataclasses.replace`."""

    name: str
    """Family, e.g. EC800E; also `modem.getDevModel()` and the nodename of `uos.uname()`."""

    sysname: str
    release: str
    version: str
    qpyver: str
    firmware_version: str
    """What `modem.getDevFwVersion()` and ATI say."""

    modules: tuple[str, ...]
    """QuecPython modules of this firmware that have a stand-in under `tools/module/modem/`, in the order of fitting."""

    absent: dict[str, frozenset[str]]
    """Functions, classes and constants that the stand-in has and this family lacks: {module: names}; "Class.method" for
    one of a class."""

    currents_ua: dict[str, int]
    """Mean supply current in microampere for each state of `tools/module/modem/meter.py`."""

    usr_blocks: int = 256
    """Blocks of 4096 B in /usr."""

    boot_ms: int = 1500
    """From power to the first line of main.py."""

    rtc_alarm_wakes: bool = False
    """Whether an RTC alarm switches the module on again after `Power.powerDown` (quecpython.md §4.2)."""

    no_pdp_is_minus_one: bool = False
    """`dataCall.getInfo` of a PDP that is down: -1 as on older images, or a tuple of zeros (quecpython.md §3.3)."""

    connect_filters: bool = True
    """Whether a connected UDP socket takes its peer's datagrams only. lwIP does; no source says what the firmware makes
    of it (inferred)."""

    nitz_hours: bool = False
    """`net.nitzTime` writes the zone in hours, not in quarters of one (quecpython.md §3.1)."""

    mcc_as_hex: bool = True
    """`getCellInfo` reads the MCC's hex digits as decimal: 0x460 -> 1120 (quecpython.md §3.1)."""

    at_groups: tuple[str, ...] = ()
    """Groups of AT commands beside those of every image, by the file that has them: "qlw" (the guide's LwM2M
    commands), "ncdp" (the AEP group). Optional in each image, and default off in the one source (quecpython.md §3.13).
    """

    lacks: frozenset[str] = frozenset()
    """Those of OPTIONAL that this image has not."""

    carrier: Carrier = field(default=CHINA_TELECOM)

    def __post_init__(self) -> None:
        if unknown := self.lacks - {*OPTIONAL}:
            raise ValueError(f"no image lacks {', '.join(sorted(unknown))}; may be missing: {', '.join(OPTIONAL)}")

    def with_client(self, name: str) -> "Profile":
        """Another image of the family, by its LwM2M client: one of CLIENTS."""
        groups, more = CLIENTS[name]
        modules = tuple(module for module in self.modules if module != "lwm2m") + more
        return replace(self, at_groups=groups, modules=modules)

    @property
    def has_psm(self) -> bool:
        """Whether its firmware can power down in PSM; where the API is missing AT+CPSMS is taken not to work either
        (quecpython.md §4.4: unknown)."""
        return "set_psm_time" not in self.absent.get("pm", ())

    def uname(self) -> tuple[str, ...]:
        """The six "key=value" strings of `uos.uname()` (quecpython.md §1.6)."""
        return (
            f"sysname={self.sysname}",
            f"nodename={self.name}",
            f"release={self.release}",
            f"version={self.version}",
            f"machine={self.name} with QUECTEL",
            f"qpyver={self.qpyver}",
        )
