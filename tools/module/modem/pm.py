"""`pm`: autosleep, wakelocks, PSM, fast release (quecpython.md §3.5, §4). E, M and K have no `sclkEx_set`: there
AT+QSCLKEX does that. M and K have no PSM."""

from typing import Any

from tools.module.board import Board, Firmware

WAKELOCKS = 16  # how many there are is not documented: estimate


class Pm(Firmware):
    NAME = "pm"

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._wakelocks: dict[int, str] = {}

    def autosleep(self, flag: int) -> int:
        """0; -1 for anything but 0 and 1. Not kept over power-off (inferred)."""
        if flag not in (0, 1):
            return -1
        self.board.radio.autosleep = int(flag)
        self.board.radio.note_sleep()
        return 0

    # -- wakelocks -----------------------------------------------------------------------------------------------

    def create_wakelock(self, name: str, size: int = 0) -> int:
        """An id from 0, or -1: empty name, none left."""
        free = [i for i in range(WAKELOCKS) if i not in self._wakelocks]
        if not name or not free:
            return -1
        self._wakelocks[free[0]] = name
        return free[0]

    def delete_wakelock(self, lock: int) -> int:
        if lock not in self._wakelocks:
            return -1
        self.wakelock_unlock(lock)
        del self._wakelocks[lock]
        return 0

    def wakelock_lock(self, lock: int) -> int:
        if lock not in self._wakelocks:
            return -1
        self.board.radio.locked.add(lock)
        self.board.radio.note_sleep()
        return 0

    def wakelock_unlock(self, lock: int) -> int:
        if lock not in self._wakelocks:
            return -1
        self.board.radio.locked.discard(lock)
        self.board.radio.note_sleep()
        return 0

    def get_wakelock_num(self) -> int:
        """Created ones, locked or not."""
        return len(self._wakelocks)

    def sclkEx_set(self, mode: int, no_data_s: int, punish_s: int) -> int:
        """AT+QSCLKEX as a function; 0 or -1. In the sources of 1603 and 8910 builds only. The ranges are the AT
        command's, whose third value is minutes where this one is seconds (quecpython.md §3.5, §4.3)."""
        if mode not in (0, 1) or not 1 <= no_data_s <= 50 or punish_s <= 0:
            return -1
        self.board.radio.arm_release(mode, no_data_s, max(1, punish_s // 60))
        return 0

    # -- PSM -----------------------------------------------------------------------------------------------------

    def set_psm_time(self, *args: Any) -> bool:
        """(mode 0/1) or (tau_unit, tau, act_unit, act), the latter switching PSM on too. False: a non-int, another
        number of arguments, a value outside its field (the last inferred: unit 0-7, value 0-31)."""
        if len(args) not in (1, 4) or any(type(arg) is not int for arg in args):
            return False
        if len(args) == 1:
            if args[0] not in (0, 1):
                return False
            kept = self.board.nv.values.get("psm", [0, 0, 0, 0, 0])
            self.board.radio.request_psm([args[0], *kept[1:]])
            return True
        tau_unit, tau, act_unit, act = args
        if not (0 <= tau_unit <= 7 and 0 <= tau <= 31 and act_unit in (0, 1, 2, 7) and 0 <= act <= 31):
            return False
        self.board.radio.request_psm([1, tau_unit, tau, act_unit, act])
        return True

    def get_psm_time(self) -> list[int] | None:
        """[mode, tau_unit, tau, act_unit, act] as asked for, not as granted; None while nothing is set (inferred).
        Older documents give None also while PSM is off (quecpython.md §3.5, W23): handle both."""
        kept = self.board.nv.values.get("psm")
        return list(kept) if kept is not None else None

    def get_psm_netinfo(self) -> tuple[int, int, int] | int:
        """(mode, tau s, active s) as granted, or -1. Newer images only: absent unless a profile lets it in."""
        granted = self.board.radio.granted
        return (1, granted.tau_s, granted.active_s) if granted else -1

    def Forcehib(self) -> int:
        """Hibernates whatever T3412 says; undocumented, S25's EIGEN branch. 0, and the power goes with the next wait.
        Without a granted T3412 nothing wakes the module again (inferred)."""
        self.board.radio.force_hibernate()
        return 0
