"""`dataCall`: PDP contexts (quecpython.md §3.3). EC800E has no `setDNSServer`."""

from typing import Any

from tools.module.board import Board, Firmware
from tools.module.modem.radio import NO_ADDRESSES

NOWHERE = [0, 0, "0.0.0.0", "0.0.0.0", "0.0.0.0"]
APN_BYTES, LOGIN_BYTES = 63, 15  # S21's limits, the strictest (newer: 64)
DEFAULT: tuple[int, str, str, str, int] = (0, "", "", "", 0)


class DataCall(Firmware):
    """0 or -1 nearly everywhere; ValueError for a profile outside 1-3. Contexts are kept in NV."""

    NAME = "dataCall"

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._asynchronous = 0

    def setPDPContext(self, profile: int, ip_type: int, apn: str | None, user: str | None, password: str | None,
                      auth: int) -> int:
        """ip_type 0 v4, 1 v6, 2 both; auth 0 none, 1 PAP, 2 CHAP. None keeps the stored value; a login without a
        method becomes CHAP silently. Another ip_type or auth is -1 (inferred)."""
        self._check(profile)
        if ip_type not in (0, 1, 2) or auth not in (0, 1, 2):
            return -1
        kept = self._contexts().get(profile, DEFAULT)
        fields = [old if new is None else new for new, old in zip((apn, user, password), kept[1:4], strict=True)]
        for text, limit in zip(fields, (APN_BYTES, LOGIN_BYTES, LOGIN_BYTES), strict=True):
            if len(text.encode()) > limit:
                raise ValueError("too long")
        if auth == 0 and (fields[1] or fields[2]):
            auth = 2
        self._contexts()[profile] = (ip_type, *fields, auth)
        return 0

    def getPDPContext(self, profile: int) -> tuple[int, str, str, str, int] | int:
        self._check(profile)
        return tuple(self._contexts().get(profile, DEFAULT))

    async def activate(self, profile: int) -> int:
        """Blocks until the context is up, unless `setAsynMode(1)`. -1 when not registered (inferred)."""
        self._check(profile)
        radio = self.board.radio
        if profile in radio.pdp:
            return 0
        if not radio.registered:
            return -1
        radio.dialled()
        seconds = radio.dial(profile)
        if self._asynchronous:
            return 0
        return 0 if await self.board.wait(seconds + 0.001, lambda: profile in radio.pdp) else -1

    def deactivate(self, profile: int) -> int:
        self._check(profile)
        self.board.radio.hang_up(profile)
        return 0

    async def start(self, profile: int, ip_type: int = 0, apn: str = "", user: str = "", password: str = "",
                    auth: int = 0) -> int:
        """The old call: context and dial in one."""
        if self.setPDPContext(profile, ip_type, apn, user, password, auth) != 0:
            return -1
        return await self.activate(profile)

    def stop(self, profile: int, ip_type: int) -> int:
        return self.deactivate(profile)

    def getInfo(self, profile: int, ip_type: int) -> Any:
        """(profile, ip_type, [state, reconnect, address, DNS, DNS]); ip_type 2: two lists, IPv4's and IPv6's. Of a
        version that the network has not given, and down: zeros, or -1 down on older images (the profile's
        `no_pdp_is_minus_one`). That IPv6 shows IPv4's name servers is inferred."""
        self._check(profile)
        if ip_type not in (0, 1, 2):
            return -1
        radio = self.board.radio
        if profile not in radio.pdp and self.board.profile.no_pdp_is_minus_one:
            return -1
        reconnect = int(radio.reconnect.get(profile, False))
        v4, v6 = [
            list(NOWHERE) if address is None else [1, reconnect, address, *radio.servers(profile)]
            for address in radio.pdp.get(profile, NO_ADDRESSES)
        ]
        return (profile, ip_type, *{0: (v4,), 1: (v6,), 2: (v4, v6)}[ip_type])

    def setAutoActivate(self, profile: int, enable: int) -> int:
        """Dials at the next boot or not: what older images do. S25's is a stub that gives -1: version dependent."""
        self._check(profile)
        if enable not in (0, 1):
            return -1
        self.board.nv.values.setdefault("auto_activate", {})[profile] = enable
        return 0

    def setAutoConnect(self, profile: int, enable: int) -> int:
        """Dials again after a loss. S25's wrapper gives None instead of 0: version dependent."""
        self._check(profile)
        if enable not in (0, 1):
            return -1
        self.board.radio.reconnect[profile] = bool(enable)
        return 0

    def setAsynMode(self, mode: int) -> int:
        if mode not in (0, 1):
            return -1
        self._asynchronous = mode
        return 0

    def setCallback(self, callback: int | None) -> int:
        """cb((profile, state)): 0 lost, 1 connected; 0."""
        self.board.radio.on_pdp = callback
        return 0

    @staticmethod
    def _check(profile: int) -> None:
        if profile not in (1, 2, 3):
            raise ValueError("profile id must be 1-3")

    def _contexts(self) -> dict[int, Any]:
        return self.board.nv.values.setdefault("pdp", {})
