"""T3412 (extended) and T3324 as the network codes them: three bits of unit, five bits of value. No I/O.

The guide's `AT+QSCLK=3,2,"01011111","00000001"` (§6.1) labels its arguments "T3324, T3412". Read that way the active
time would be 186 min and the periodic update 10 min, so the module would be called back long before it could power
down: PSM would never be entered, yet the guide's log enters it at once. Read as T3412, T3324, the order of AT+CPSMS
(3GPP TS 27.007 §7.38), it is 310 h and 2 s, which fits. So the order is T3412 first.
"""

# (unit code, seconds), finest first. TS 24.008 10.5.7.4a (GPRS timer 3) and 10.5.7.3 (GPRS timer 2).
T3412_UNITS = ((3, 2), (4, 30), (5, 60), (0, 600), (1, 3600), (2, 36000), (6, 1152000))
T3324_UNITS = ((0, 2), (1, 60), (2, 360))
_OFF = 7
LONGEST_T3412 = 31 * 1152000


def encode(units: tuple, seconds: int):
    """(unit, value, seconds) of the shortest timer that is not shorter than `seconds`: rounded up, never down, so
    that a report is never due before the device can wake. Longer than the longest gives the longest."""
    best = None
    for unit, size in units:
        value = (seconds + size - 1) // size
        if value <= 31 and (best is None or value * size < best[2]):
            best = (unit, value, value * size)
    unit, size = units[-1]
    return best or (unit, 31, 31 * size)


def decode(units: tuple, text: str):
    """Seconds of eight characters "0"/"1", or None when the timer is deactivated (unit 7). ValueError otherwise."""
    if len(text) != 8 or text.strip("01"):
        raise ValueError("a timer is eight binary digits, not " + repr(text))
    unit, value = int(text[:3], 2), int(text[3:], 2)
    if unit == _OFF:
        return None
    for code, size in units:
        if code == unit:
            return value * size
    # TS 24.008 10.5.7.3: "other values shall be interpreted as multiples of 1 minute" (GPRS timer 2)
    return value * 60


def bits(unit: int, value: int) -> str:
    """The eight characters AT commands take."""
    text = ""
    for shift in range(7, -1, -1):
        text += "1" if (unit << 5 | value) >> shift & 1 else "0"
    return text
