"""Numbers for names: what the compiled tree says is what the sources say, with fewer names."""

import ast

import pytest

from tools.module.inline import inlined
from tools.module.tree import bytecode, linked, sources
from tools.scenario import ROOT

A = '''"""A."""
from micropython import const

TEXT = const(0)
CODE = const(0x45)  # 2.05
_OWN = const(7)
NAMES = ("TEXT", CODE, _OWN)


def code(CODE=CODE):
    return CODE
'''


def link(**files):
    found = inlined({name.replace("__", "/") + ".py": text.encode() for name, text in files.items()})
    return {name[:-3]: text.decode() for name, text in found.items()}


def run(text, **names):
    scope = {"const": lambda value: value, **names}
    exec(text.replace("from micropython import const\n", ""), scope)
    return scope


def test_constants_of_another_file_become_numbers_and_their_import_goes():
    text = link(room__a=A, b="from room.a import CODE, TEXT, code\n\nx = [TEXT, CODE, code]\n")["b"]
    assert text == "from room.a import CODE, code\n\nx = [0, CODE, code]\n"  # CODE is a parameter's name in a.py too


def test_attributes_of_an_imported_file_become_numbers():
    files = link(room__a=A, b="from room import a as m\n\nx = m.TEXT + m.NAMES[1]\n")
    assert files["b"] == "from room import a as m\n\nx = 0 + m.NAMES[1]\n"


def test_import_that_served_constants_alone_goes_and_lines_stay():
    files = link(room__a=A, b="from room import a\nfrom room.a import (\n    TEXT,\n)\n\nx = a.TEXT + TEXT\ny = 1\n")
    assert files["b"] == "pass\npass\n\n\n\nx = 0 + 0\ny = 1\n"


def test_constants_become_private_in_their_own_file():
    text = link(room__a=A)["room/a"]
    assert "_TEXT_ = const(0)" in text and '"TEXT"' in text and "_OWN = const(7)" in text
    assert "\nCODE = const(0x45)" in text, "a parameter has the same name"
    assert run(text)["NAMES"] == ("TEXT", 0x45, 7) and run(text)["code"]() == 0x45


@pytest.mark.parametrize("other", [
    "from room import a\n\ndef f(a):\n    return a.TEXT\n",
    "from room.a import TEXT\n\ndef f(TEXT):\n    return TEXT\n",
    "from room.a import TEXT\nTEXT = 5\n",
])  # fmt: skip
def test_what_is_not_plainly_a_use_stays_as_it_is_and_the_constant_public(other):
    files = link(room__a=A, b=other)
    assert files["b"] == other and "\nTEXT = const(0)" in files["room/a"]


def test_negative_numbers_and_text_in_utf_8_are_replaced_in_place():
    files = link(a="N = const(-1)\n", b='from a import N\n\nx = ("阀", 3 - N, "é") + (N,)\n')
    assert files["b"] == 'pass\n\nx = ("阀", 3 - (-1), "é") + ((-1),)\n'


def test_the_whole_tree_is_linked_line_by_line_and_names_no_constant_of_another_file():
    texts = sources(ROOT)
    found = linked(texts)
    assert found.keys() == texts.keys() and found != texts
    for name in texts:
        assert found[name].count(b"\n") == texts[name].count(b"\n"), name
        ast.parse(found[name])
        assert b"import events" not in found[name]
    smaller = sum(len(bytecode(found[name], name)) for name in texts)
    assert smaller < sum(len(bytecode(texts[name], name)) for name in texts) - 1500


def test_a_file_that_is_no_python_is_left_to_the_compiler():
    broken = {"app.py": b"def broken(:\n"}
    assert linked(broken) == broken
