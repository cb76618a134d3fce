"""T3412-extended and T3324 as the network writes them: three bits of unit, five of value (TS 24.008 §10.5.7.3, .4a).

The stand-ins' own codec; the application has its own in `lib/link/`, so that a mistake in one does not hide in both.
"""

TAU_UNITS = {0: 600, 1: 3600, 2: 36_000, 3: 2, 4: 30, 5: 60, 6: 320 * 3600}
"""Seconds per unit of T3412-extended, GPRS timer 3; unit 7 switches it off."""

ACTIVE_UNITS = {0: 2, 1: 60, 2: 360}
"""Seconds per unit of T3324, GPRS timer 2; unit 7 switches it off, any other unit counts minutes."""

OFF = 7


def seconds(units: dict[int, int], unit: int, value: int) -> int | None:
    """What (unit, value) lasts, or None when the unit means "deactivated"."""
    if unit == OFF:
        return None
    return units.get(unit, 60) * value


def bits(unit: int, value: int) -> str:
    """The octet as AT commands write it, e.g. (2, 31) -> "01011111"."""
    return f"{unit:03b}{value:05b}"


def parse(text: str) -> tuple[int, int] | None:
    """Inverse of `bits`; None unless `text` is eight binary digits."""
    if len(text) != 8 or set(text) - {"0", "1"}:
        return None
    return int(text[:3], 2), int(text[3:], 2)


def nearest(units: dict[int, int], wanted: int) -> tuple[int, int]:
    """(unit, value) of the shortest time not below `wanted` seconds, or the longest there is."""
    fits = [
        (step * -(-wanted // step), step, unit) for unit, step in units.items() if -(-wanted // step) <= 31
    ]
    if not fits:
        step, unit = max((step, unit) for unit, step in units.items())
        return unit, 31
    total, step, unit = min(fits)
    return unit, total // step
