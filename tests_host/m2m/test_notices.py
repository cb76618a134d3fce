# runs in: cpython, vm, old
"""Which observations are due (LwM2M 1.0 §5.1.2): periods, limits, and state that changed."""

from m2m import notices, objects

NOW = 1795392000


class Rig:
    def __init__(self, tokens, attributes=None):
        self.values = {(3, 0): "Quectel", (3, 7): [3600], (3, 9): 88, (3, 10): 100, (3, 11): [0], (3, 13): NOW,
                       (4, 2): -102, (4, 4): ["10.1.2.3"], (4, 8): 94537995, (5, 3): 0, (1, 1): 300}  # fmt: skip
        self.tokens = {path: b"tk" for path in tokens}
        self.attributes = attributes or {}
        self.marks = {}
        self.tree = objects.Tree(self.value)
        assert self.due(0) == []  # told by the answers to the Observes

    def value(self, number, resource):
        return self.values.get((number, resource))

    def due(self, after):
        return notices.due(self.tree, self.tokens, self.attributes, self.marks, NOW + after)

    def told(self, path, after):
        notices.told(self.tree, self.marks, path, NOW + after)

    def next(self):
        end = notices.next_due(self.tree, self.tokens, self.attributes, self.marks)
        return None if end is None else end - NOW


ALL = ("1", "3", "3/0", "4/0", "5/0/3", "3/0/9", "3/0/13", "3/0/7", "4/0/4", "4/0/8", "19/0/0")


def test_without_attributes_nothing_is_due_while_state_stays():
    rig = Rig(ALL)
    assert rig.due(10**8) == [] and rig.next() is None


def test_measurements_are_no_reason_to_tell():
    rig = Rig(ALL)
    rig.values.update({(3, 7): [3500], (3, 9): 12, (3, 10): 3, (3, 13): NOW + 86400, (4, 2): -60})
    assert rig.due(86400) == []


def test_each_measurement_alone_is_no_reason_to_tell():
    # LwM2M 1.0 appendix E.4, E.5
    for where in ((3, 7), (3, 8), (3, 9), (3, 10), (3, 13), (4, 2), (4, 3), (4, 6)):
        rig = Rig(["3", "3/0", "4", "4/0"])
        rig.values[where] = [1] if where[1] in (7, 8) else 1
        for path in rig.tokens:
            rig.told(path, 5)
        rig.values[where] = [2] if where[1] in (7, 8) else 2
        assert rig.due(10) == [], where


def test_a_mark_is_a_time_and_one_small_integer():
    rig = Rig(ALL + ("3/0/0",))
    assert len(rig.marks) == len(ALL)
    for path, (when, what) in rig.marks.items():
        assert when == NOW and isinstance(what, int) and 0 <= what < 1 << 30 or path == "3/0/13", path


def test_a_state_that_changed_is_told_once_to_all_who_see_it():
    cases = (
        ((3, 11), [4], ["3", "3/0"]), ((4, 4), ["10.9.9.9"], ["4/0", "4/0/4"]), ((4, 8), 5, ["4/0", "4/0/8"]),
        ((5, 3), 1, ["5/0/3"]), ((1, 1), 600, ["1"]), ((3, 0), None, ["3", "3/0"]), ((4, 8), None, ["4/0", "4/0/8"]),
    )  # fmt: skip
    for where, value, paths in cases:
        rig = Rig(ALL)
        rig.values[where] = value
        assert rig.due(10) == paths and rig.due(10) == paths
        for path in paths:
            rig.told(path, 10)
        assert rig.due(20) == [], where


def test_the_uplink_is_never_due():
    rig = Rig(["19/0/0"], {"19/0/0": {"pmax": 1}})
    assert rig.due(10**6) == [] and rig.marks == {} and rig.next() is None


def test_pmax_makes_due_whatever_the_value():
    rig = Rig(["3/0/9"], {"3/0": {"pmax": 3600}})
    assert rig.due(3599) == [] and rig.next() == 3600
    assert rig.due(3600) == ["3/0/9"]
    rig.told("3/0/9", 4000)
    assert rig.due(7599) == [] and rig.next() == 7600 and rig.due(7600) == ["3/0/9"]


def test_pmin_holds_back_a_change_and_also_pmax():
    rig = Rig(["4/0/8"], {"4": {"pmin": 60}})
    rig.values[4, 8] = 1
    assert rig.due(59) == [] and rig.due(60) == ["4/0/8"]
    rig = Rig(["4/0/8"], {"4": {"pmin": 60}, "4/0/8": {"pmax": 10}})
    assert rig.due(59) == [] and rig.due(60) == ["4/0/8"] and rig.next() == 60


def test_the_nearest_attribute_counts_and_object_1_where_there_is_none():
    attributes = {"3": {"pmax": 10}, "3/0": {"pmax": 20}, "3/0/9": {"pmax": 30}, "4": {"pmin": 5}}
    rig = Rig(["3/0/9", "4/0", "5/0/3"], attributes)
    rig.values[1, 3] = 40
    assert rig.due(29) == [] and rig.due(30) == ["3/0/9"] and rig.due(40) == ["3/0/9", "4/0", "5/0/3"]
    assert rig.next() == 30
    rig.values[1, 2] = 50  # the default pmin: 4 has its own, 3/0/9 and 5/0/3 have none
    assert rig.due(40) == ["4/0"] and rig.next() == 40
    rig.values[1, 3] = 0
    assert rig.due(10**6) == ["3/0/9"]


def test_greater_and_less_are_told_when_they_are_crossed():
    rig = Rig(["3/0/9"], {"3/0/9": {"gt": 80, "lt": 20}})
    for value, expected in ((90, False), (80, True), (81, True), (50, True), (20, False), (19, True), (5, False),
                            (19, False), (20, True), (85, True)):  # fmt: skip
        rig.values[3, 9] = value
        assert bool(rig.due(1)) == expected, value
        rig.told("3/0/9", 1)


def test_a_jump_over_both_limits_is_told():
    rig = Rig(["3/0/9"], {"3/0/9": {"gt": 80, "lt": 20}})
    rig.values[3, 9] = 5
    assert rig.due(1) == ["3/0/9"]


def test_a_step_counts_from_what_was_told():
    rig = Rig(["4/0/2"], {"4/0/2": {"st": 5}})
    for value, expected in ((-98, False), (-97, True), (-106, False), (-107, True)):
        rig.values[4, 2] = value
        assert bool(rig.due(1)) == expected, value
    rig.told("4/0/2", 1)
    rig.values[4, 2] = -104
    assert rig.due(2) == []


def test_a_limit_replaces_any_change_for_a_state_too():
    rig = Rig(["4/0/8"], {"4/0/8": {"gt": 10**9}})
    rig.values[4, 8] = 5
    assert rig.due(1) == []


def test_a_number_that_comes_or_goes_is_told():
    rig = Rig(["3/0/9"], {"3/0/9": {"st": 5}})
    rig.values[3, 9] = None
    assert rig.due(1) == ["3/0/9"]
    rig.told("3/0/9", 1)
    assert rig.due(2) == []
    rig.values[3, 9] = 88
    assert rig.due(3) == ["3/0/9"]


def test_marks_follow_the_observations():
    rig = Rig(["3/0", "4/0/8"])
    assert sorted(rig.marks) == ["3/0", "4/0/8"] and rig.marks["4/0/8"] == [NOW, 94537995]
    del rig.tokens["3/0"]
    rig.tokens["5/0/3"] = b"tk"
    assert rig.due(50) == [] and rig.marks["5/0/3"] == [NOW + 50, 0] and sorted(rig.marks) == ["4/0/8", "5/0/3"]


def test_a_clock_that_was_set_back_blocks_nothing():
    rig = Rig(["4/0/8"], {"4/0/8": {"pmin": 60}})
    rig.values[4, 8] = 1
    assert rig.due(-10**6) == ["4/0/8"]
    rig.told("4/0/8", -10**6)
    assert rig.due(-10**6 + 59) == []


def test_an_end_of_what_is_not_observed_any_more_plans_no_wake():
    rig = Rig(["3/0"], {"3/0": {"pmax": 60}})
    rig.tokens.clear()
    assert rig.next() is None
