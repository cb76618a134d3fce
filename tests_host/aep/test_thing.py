# runs in: cpython, vm, old
"""aep.thing: compact binary against ctwing.md §7.5 and against struct; ranges; what is refused, and hostile bytes."""

import ujson
import ustruct
from ubinascii import hexlify, unhexlify

from aep import thing
from aep.thing import (
    BOOL,
    COMMAND,
    DOUBLE,
    ENUM,
    EVENT,
    FLOAT,
    INT32,
    REPORT,
    RESPONSE,
    TEXT,
    TIMESTAMP,
    WIRELESS,
    ThingError,
    field,
    service,
)


def standard():
    """AEP's water meter (ctwing.md §2.6), as far as the vectors need it."""
    thing.declared.clear()
    service(1, "data_report", REPORT, field("water_flow", FLOAT, unit="m3", low=0, high=99999))
    service(2, "signal_report", WIRELESS, *[field(name, INT32) for name in ("rsrp", "sinr", "pci", "ecl", "cell_id")])
    service(1001, "error_code_report", EVENT, field("error_code", ENUM))
    service(8001, "valve_onoff_cmd", COMMAND, field("valve_onoff", ENUM, values={0: "closed", 1: "open"}))
    service(9001, "valve_onoff_resp", RESPONSE, field("valve_onoff", ENUM), field("act_result", ENUM))
    thing.verify()


def one(*fields):
    thing.declared.clear()
    service(1, "one", REPORT, *fields)


def texts(values):
    return {name: ujson.dumps(values[name]) for name in values}


def packed(number, task=None, **values):
    return hexlify(thing.frame(number, thing.packed(thing.complete(number, texts(values))), task)).decode()


def refused(action, *args):
    try:
        action(*args)
    except ThingError as error:
        return str(error)
    raise AssertionError("not refused")


# -- vectors -----------------------------------------------------------------------------------------------------------


def test_vectors_of_the_platform():
    # ctwing.md §7.5
    standard()
    assert packed(1, water_flow=8.14) == "020001000441023d71"
    assert packed(9001, task=1, valve_onoff=0, act_result=0) == "862329000100020000"
    assert packed(1001, error_code=1) == "0703e9000101"
    assert packed(2, rsrp=-102, sinr=16, pci=475, ecl=0, cell_id=94537995) == (
        "0300020014ffffff9a00000010000001db0000000005a2890b"
    )
    number, task, body = thing.command(unhexlify("061f410001000100"))
    assert (number, task, thing.unpacked(number, body)) == (8001, 1, {"valve_onoff": 0})


def test_tcp_has_the_fields_alone():
    # ctwing.md §7.1: 02 0008 0001 0001 41023d71, its head is the session's
    standard()
    assert thing.packed(thing.complete(1, {"water_flow": "8.140"})) == unhexlify("41023d71")


def test_every_type_is_what_struct_makes_of_it_in_the_order_of_declaration():
    one(
        field("e", ENUM), field("i", INT32), field("f", FLOAT), field("d", DOUBLE), field("s", TEXT),
        field("x", TEXT, size=5), field("b", BOOL), field("t", TIMESTAMP),
    )  # fmt: skip
    values = {"t": 1795392000123, "b": True, "x": "ab", "s": "m\u00b3", "d": -0.25, "f": 1.5, "i": -2, "e": 255}
    wanted = b"".join([ustruct.pack(">" + c, v) for c, v in (("B", 255), ("i", -2), ("f", 1.5), ("d", -0.25))])
    wanted += b"\0\3m\xc2\xb3" + b"ab\0\0\0" + b"\1" + unhexlify("000001a205b3d07b")
    assert int("1a205b3d07b", 16) == 1795392000123
    data = thing.packed(thing.complete(1, texts(values)))
    assert data == wanted
    assert thing.unpacked(1, data) == values


def test_bounds_of_the_types_are_reached_and_not_passed():
    for kind, low, high in (
        (ENUM, 0, 255), (INT32, -2147483648, 2147483647), (TIMESTAMP, 0, 9223372036854775807),
    ):  # fmt: skip
        one(field("x", kind))
        for value in (low, high):
            assert thing.unpacked(1, thing.packed(thing.complete(1, {"x": str(value)}))) == {"x": value}
        for value in (low - 1, high + 1):
            assert "x " + str(value) + " is not a whole number" in refused(thing.complete, 1, {"x": str(value)})


# -- values ------------------------------------------------------------------------------------------------------------


def test_a_complaint_names_service_field_value_and_range():
    one(field("flow", FLOAT, unit="m3", low=0, high=100))
    assert refused(thing.complete, 1, {"flow": "101"}) == "one: flow 101 is not a number 0-100 m3"
    assert refused(thing.complete, 1, {}) == "one: flow is missing; wanted is a number 0-100 m3"
    one(field("valve", ENUM, values={1: "open", 0: "closed"}))
    assert refused(thing.complete, 1, {"valve": "2"}) == "one: valve 2 is not one of 0, 1"
    one(field("name", TEXT, low=1, high=4))
    assert refused(thing.complete, 1, {"name": '"12345"'}) == "one: name '12345' is not a text of 1-4 bytes"
    one(field("on", BOOL))
    assert refused(thing.complete, 1, {"on": "1"}) == "one: on 1 is not true or false"
    one(field("count", INT32))
    assert refused(thing.complete, 1, {"count": "1.5"}) == "one: count 1.5 is not a whole number"
    assert refused(thing.complete, 1, {"count": ujson.dumps("x" * 99)}) == (
        "one: count of this length is not a whole number"
    )


def test_values_of_other_types_are_refused():
    for kind, wrong in (
        (ENUM, ("true", "1.0", '"1"', "null", "[1]", "256", "-1", "{")),
        (INT32, ("true", "1.0", '"1"', "null", "1e3", "2147483648")),
        (FLOAT, ("true", '"1"', "null", "[]", "1e39", "-1e39", "1e999")),
        (DOUBLE, ("false", '"1"', "null", "1e999")),
        (TEXT, ("1", "null", "true", "{}")),
        (BOOL, ("0", "1", '"true"', "null")),
        (TIMESTAMP, ("1.5", "-1", '"0"', "null")),
    ):
        one(field("x", kind))
        for text in wrong:
            assert refused(thing.complete, 1, {"x": text}).startswith("one: x ")


def test_whole_numbers_will_do_for_a_float():
    one(field("x", FLOAT), field("y", DOUBLE))
    assert thing.packed(thing.complete(1, {"x": "2", "y": "3"})) == ustruct.pack(">f", 2.0) + ustruct.pack(">d", 3.0)


def test_a_field_without_a_value_is_sent_as_its_empty_one():
    one(field("flow", FLOAT), field("battery", FLOAT, empty=0), field("note", TEXT, empty="none"))
    found = thing.complete(1, {"flow": "1.000"})
    assert [text for _, _, text in found] == ["1.000", "0", '"none"']
    assert thing.packed(found) == ustruct.pack(">f", 1.0) + bytes(4) + b"\0\4none"


def test_what_is_not_declared_is_left_out_and_named():
    one(field("flow", FLOAT))
    assert len(thing.complete(1, {"flow": "1", "z": "2", "a": "3"})) == 1
    assert thing.unknown(1, {"flow": "1", "z": "2", "a": "3"}) == ["a", "z"]


def test_text_counts_bytes_and_a_fixed_one_is_filled_up():
    one(field("x", TEXT, size=3))
    assert thing.packed(thing.complete(1, {"x": '"\u00b3"'})) == b"\xc2\xb3\0"
    assert thing.packed(thing.complete(1, {"x": '""'})) == bytes(3)
    assert "is not a text of 0-3 bytes" in refused(thing.complete, 1, {"x": '"\u00b3\u00b3"'})
    assert thing.unpacked(1, b"a\0\0") == {"x": "a"}
    one(field("x", TEXT))
    assert thing.unpacked(1, b"\0\2a\0") == {"x": "a\0"}


def test_answer_is_always_possible_somehow():
    thing.declared.clear()
    service(
        9001, "resp", RESPONSE, field("level", INT32, low=5, high=9), field("cold", INT32, high=-3), field("on", BOOL),
        field("state", ENUM, values={2: "a", 3: "b"}), field("note", TEXT, low=2), field("x", DOUBLE, empty=7),
        field("act_result", ENUM),
    )  # fmt: skip
    found = thing.complete(9001, {"act_result": "1", "level": "99", "note": "5"}, True)
    assert [value for _, value, _ in found] == [5, -3, False, 2, "  ", 7, 1]
    assert thing.unpacked(9001, thing.packed(found))["act_result"] == 1


def test_values_of_a_command_are_held_to_their_ranges():
    standard()
    thing.check(8001, {"valve_onoff": 1})
    thing.check(8001, {"valve_onoff": 1, "more": 2})  # device/commands.py refuses what is unknown
    for given in ({}, {"valve_onoff": None}, {"valve_onoff": 2}, {"valve_onoff": True}, {"valve_onoff": 1.0}):
        assert refused(thing.check, 8001, given).startswith("valve_onoff_cmd: valve_onoff ")


# -- declarations ------------------------------------------------------------------------------------------------------


def test_services_are_found_by_id_and_by_identifier():
    standard()
    assert thing.identifier(8001) == "valve_onoff_cmd"
    assert (thing.number_of("valve_onoff_cmd"), thing.number_of("no such")) == (8001, 0)
    assert refused(thing.identifier, 7) == "service 7 is not declared"


def test_a_declaration_that_makes_no_sense_is_refused_with_its_service_and_field():
    thing.declared.clear()
    x = field("x", INT32)
    service(5, "five", REPORT, x)
    for args, why in (
        ((0, "a", REPORT, x), "the id is not 1-65535"), ((65536, "a", REPORT, x), "the id is not"),
        ((True, "a", REPORT, x), "the id is not"), ((1, "", REPORT, x), "the identifier is a text"),
        ((1, "a/#", REPORT, x), "the identifier is a text without"), ((1, "+", REPORT, x), "the identifier is a text"),
        ((1, "a\0", REPORT, x), "the identifier is a text"),
        ((1, 2, REPORT, x), "the identifier is a text"), ((1, "a", 1, x), "the kind is none of REPORT"),
        ((5, "a", REPORT, x), "declared twice"), ((1, "five", REPORT, x), "declared twice"),
        ((1, "a", REPORT), "it has no field"), ((1, "a", REPORT, x, x), "x is there twice"),
        ((1, "a", REPORT, field("", INT32)), "a field's name is a text"),
        ((1, "a", REPORT, field("y", 0)), "y has no type"), ((1, "a", REPORT, field("y", "int")), "y has no type"),
        ((1, "a", REPORT, field("y", INT32, size=2)), "y: size is the length of a TEXT"),
        ((1, "a", REPORT, field("y", TEXT, size=513)), "y: size is the length of a TEXT, at most 512"),
        ((1, "a", REPORT, field("y", INT32, values={0: "a"})), "y: values are those of an ENUM"),
        ((1, "a", REPORT, field("y", ENUM, values={256: "a"})), "y: values are those of an ENUM"),
        ((1, "a", REPORT, field("y", ENUM, high=256)), "y: its range is not one of its type"),
        ((1, "a", REPORT, field("y", INT32, low="0")), "y: its range is not one of its type"),
        ((1, "a", REPORT, field("y", INT32, low=2, high=1)), "y: its range ends before it begins"),
        ((1, "a", REPORT, field("y", INT32, low=1, empty=0)), "y: empty is not a whole number 1-2147483647"),
        ((1, "a", REPORT, field("y", TEXT, empty=0)), "y: empty is not a text of 0-512 bytes"),
    ):  # fmt: skip
        assert refused(service, *args).startswith("service " + str(args[0]) + " " + str(args[1]) + ": " + why), why
    assert list(thing.declared) == [5]


def test_a_command_without_a_response_is_refused():
    thing.declared.clear()
    service(8001, "cmd", COMMAND, field("x", ENUM))
    assert refused(thing.verify) == "service 8001 cmd: no RESPONSE 9001"
    service(9001, "resp", EVENT, field("x", ENUM))
    assert refused(thing.verify) == "service 8001 cmd: no RESPONSE 9001"


# -- hostile bytes -----------------------------------------------------------------------------------------------------


def test_frames_that_are_no_command_are_refused():
    standard()
    for data in (
        "", "06", "061f4100010001", "021f410001000100", "061f41000100", "061f41000100010000", "861f410001000100",
    ):  # fmt: skip
        refused(thing.command, unhexlify(data))


def test_fields_cut_short_or_followed_by_more_are_refused():
    one(field("e", ENUM), field("s", TEXT, high=3), field("f", FLOAT))
    good = b"\1\0\2ab" + ustruct.pack(">f", 1.0)
    assert thing.unpacked(1, good) == {"e": 1, "s": "ab", "f": 1.0}
    for size in range(len(good)):
        assert refused(thing.unpacked, 1, good[:size]).startswith("one: ")
    assert refused(thing.unpacked, 1, good + b"\0") == "one: 10 bytes where 9 are declared"
    assert "s is cut short" in refused(thing.unpacked, 1, b"\1\xff\xffab")
    assert "s" in refused(thing.unpacked, 1, b"\1\0\4abcd" + good[-4:])
    assert "s is missing" in refused(thing.unpacked, 1, b"\1\0\2\xff\xfe" + good[-4:])  # not UTF-8
    assert "f nan is not" in refused(thing.unpacked, 1, good[:-4] + unhexlify("7fc00000"))
    assert "f inf is not" in refused(thing.unpacked, 1, good[:-4] + unhexlify("7f800000"))


def test_any_bytes_are_fields_or_refused_and_what_is_taken_is_sent_back_alike():
    one(
        field("e", ENUM), field("s", TEXT), field("x", TEXT, size=2), field("b", BOOL), field("f", FLOAT),
        field("t", TIMESTAMP), field("d", DOUBLE),
    )  # fmt: skip
    state = 7
    taken = 0
    for _ in range(500):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        raw = bytearray((state >> 8) % 40)
        for i in range(len(raw)):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            raw[i] = state >> 16 & 0xFF if state & 0x300 else 0
        if state & 0x800:  # of the right length, which chance alone never finds
            tail = bytes(raw[:2]) + b"\1" + bytes(raw[:20])
            raw = b"\5\0" + bytes([len(raw) & 3]) + bytes(raw[: len(raw) & 3]) + tail
        try:
            found = thing.unpacked(1, bytes(raw))
        except ThingError:
            continue
        taken += 1
        found["f"], found["d"] = 1, 2  # a float's text need not be its bits
        again = thing.packed(thing.complete(1, texts(found)))
        assert len(again) == len(raw)
        assert again[: 6 + len(found["s"].encode())] == bytes(raw)[: 6 + len(found["s"].encode())]
    assert taken > 10
