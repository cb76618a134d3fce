# runs in: vm, old
"""What the lint's table states as measured, held by the interpreters themselves."""


def refused(source):
    try:
        exec(source, {})
    except (SyntaxError, AttributeError, TypeError, NameError):
        return True
    return False


def test_syntax_that_no_micropython_has():
    for source in ("[*[1]]", "(*[1],)", "{**{}}", "def f(a, /): pass", "match 1:\n  case 1: pass"):
        assert refused(source), source


def test_methods_that_no_micropython_has():
    for source in ("'1'.zfill(2)", "'1'.ljust(2)", "'a'.title()", "'a'.removeprefix('a')", "(1).bit_length()"):
        assert refused(source), source
    assert refused("memoryview(b'a').tobytes()")


def test_names_that_no_micropython_has():
    for name in ("IOError", "ConnectionError", "FileNotFoundError", "UnicodeDecodeError", "ascii", "vars", "format"):
        assert refused(name), name


def test_built_ins_that_take_no_keywords():
    for source in ("'a b'.split(sep=' ')", "sum([1], start=1)", "int('5', base=10)", "print(1, flush=True)"):
        assert refused(source), source


def test_function_attributes_cannot_be_set():
    assert refused("def f(): pass\nf.x = 1")


def test_signature_annotations_are_parsed_and_never_evaluated():
    assert not refused("def f(a: int | None, b: list[Absent], *, c: Absent = 1) -> 'Absent': return a\nf(1, 2)")


def test_const_and_percent_on_bytes_work():
    assert not refused("from micropython import const\n_A = const(5)\nassert b'%d' % _A == b'5'")
