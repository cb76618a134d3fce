"""A module's firmware: one file per QuecPython module, and radio, meter and water meter behind them."""

import json
from importlib import import_module

from tools.module.board import Board, Firmware
from tools.module.modem.meter import Meter
from tools.module.modem.radio import Radio
from tools.module.modem.sim import SimCard


def fit(board: Board) -> None:
    """Puts the modem and the firmware modules of `board.profile` into `board`, and starts the modem.

    The order of fitting is the profile's: it decides the order of draws, so it is part of a seed's trace.
    """
    board.meter = Meter(board)
    board.sim = SimCard(board)
    board.radio = Radio(board)
    for name in board.profile.modules:
        board.firmware[name] = _firmware(name)(board)
    board.radio.power_up(autodial=_dials(board))


def _firmware(name: str) -> type[Firmware]:
    """The Firmware class in the file of that name."""
    for found in vars(import_module(f"tools.module.modem.{name}")).values():
        if isinstance(found, type) and issubclass(found, Firmware) and name == found.NAME:
            return found
    raise LookupError(f"no stand-in for {name}")


def _dials(board: Board) -> bool:
    """Whether `_boot` dials PDP 1: `datacallFlag` of /usr/system_config.json, 1 where the file or the key is absent or
    unreadable (quecpython.md §2.1); `dataCall.setAutoActivate` of older images can switch it off as well."""
    if board.nv.values.get("auto_activate", {}).get(1, 1) == 0:
        return False
    if board.flash is None:
        return True
    try:
        settings = json.loads(board.flash.read("/usr/system_config.json"))
    except (OSError, ValueError):
        return True
    return not isinstance(settings, dict) or settings.get("datacallFlag", 1) != 0
