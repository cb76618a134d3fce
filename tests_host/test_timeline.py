"""The lines that a person reads in a terminal, whatever a device says."""

import io

import pytest
from rich.console import Console

from tools.timeline import Timeline
from tools.world.events import Events


def shown(who, kind, text, **data):
    out = io.StringIO()
    events = Events(lambda: 0.0)
    events.listeners.append(Timeline(Console(file=out, width=200)))
    events.emit(who, kind, text, **data)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["discarded", "malformed", "broker", "stray"])
def test_what_a_device_says_moves_no_cursor_and_makes_no_line(kind):
    line = shown("aep", kind, "a\x1b[31m\x07\nb\x9b\u202e 温度 [bold]")
    assert line.endswith("a\\x1b[31m\\x07\\nb\\x9b\\u202e 温度 [bold]\n") and line.count("\n") == 1


def test_a_module_may_print_more_than_one_line():
    assert shown("module", "console", "one\ntwo").endswith("one\ntwo\n")
