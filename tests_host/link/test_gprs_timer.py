# runs in: cpython, vm, old
"""T3412 and T3324 (TS 24.008 10.5.7.3, 10.5.7.4a): the guide's two strings, and rounding that is never down."""

from link import gprs_timer as t

# The standard's tables, written again from its text: unit code -> seconds.
TIMER_3 = {0: 600, 1: 3600, 2: 36000, 3: 2, 4: 30, 5: 60, 6: 1152000}
TIMER_2 = {0: 2, 1: 60, 2: 360}


def refused(text):
    try:
        t.decode(t.T3412_UNITS, text)
    except ValueError:
        return True
    return False


def test_the_guides_strings_in_both_readings():
    # ctwing.md §7.3: as the label says, 186 min awake and an update every 10 min; as T3412, T3324: 310 h and 2 s
    assert t.decode(t.T3324_UNITS, "01011111") == 11160 == 186 * 60
    assert t.decode(t.T3412_UNITS, "00000001") == 600
    assert t.decode(t.T3412_UNITS, "01011111") == 1116000 == 310 * 3600
    assert t.decode(t.T3324_UNITS, "00000001") == 2


def test_the_guides_strings_are_what_310_hours_and_2_seconds_encode_to():
    unit, value, seconds = t.encode(t.T3412_UNITS, 310 * 3600)
    assert t.bits(unit, value) == "01011111" and seconds == 1116000
    unit, value, seconds = t.encode(t.T3324_UNITS, 2)
    assert t.bits(unit, value) == "00000001" and seconds == 2


def test_every_unit_of_both_timers_is_read():
    for units, table in ((t.T3412_UNITS, TIMER_3), (t.T3324_UNITS, TIMER_2)):
        for unit, seconds in table.items():
            for value in range(32):
                assert t.decode(units, t.bits(unit, value)) == value * seconds


def test_unit_7_means_deactivated():
    for value in range(32):
        assert t.decode(t.T3412_UNITS, t.bits(7, value)) is None
        assert t.decode(t.T3324_UNITS, t.bits(7, value)) is None


def test_unknown_units_of_t3324_are_minutes():
    # TS 24.008 10.5.7.3: "other values shall be interpreted as multiples of 1 minute"
    for unit in (3, 4, 5, 6):
        assert t.decode(t.T3324_UNITS, t.bits(unit, 5)) == 300


def check_rounding(units, table, wanted):
    unit, value, seconds = t.encode(units, wanted)
    reachable = sorted([v * size for size in table.values() for v in range(32)])
    assert 0 <= value <= 31 and table[unit] * value == seconds
    assert seconds == [s for s in reachable if s >= wanted][0], (wanted, seconds)


def test_a_timer_is_rounded_up_to_the_next_it_can_say_never_down():
    for wanted in (1, 2, 3, 61, 62, 63, 931, 1861, 18600, 18601, 86400, 111600, 111601, 1116001, 1152001):
        check_rounding(t.T3412_UNITS, TIMER_3, wanted)
    for wanted in range(0, 20000, 617):
        check_rounding(t.T3412_UNITS, TIMER_3, wanted)
    for wanted in range(0, 11161, 31):
        check_rounding(t.T3324_UNITS, TIMER_2, wanted)


def test_what_can_be_said_exactly_is():
    for seconds in (60, 900, 3600, 21600, 86400):
        assert t.encode(t.T3412_UNITS, seconds)[2] == seconds


def test_longer_than_the_longest_gives_the_longest():
    assert t.encode(t.T3412_UNITS, t.LONGEST_T3412 + 1) == (6, 31, t.LONGEST_T3412)
    assert t.encode(t.T3412_UNITS, t.LONGEST_T3412) == (6, 31, 35712000)
    assert t.encode(t.T3324_UNITS, 11161) == (2, 31, 11160)


def test_anything_but_eight_binary_digits_is_refused():
    for text in ("", "0101111", "010111110", "0101111x", "01011112", " 1011111", "-0000001", "0b000001"):
        assert refused(text), text
