"""Shared by all tests: the firmware's u-names, the MicroPython items, and `judge` for outside programs
(`from tests_host.conftest import judge`; `judge("tshark")` is its path, or skips, or fails when CI=true)."""

import pytest

from tests_host.interpreters import aliases
from tests_host.interpreters.collect import InterpreterFile, interpreters_of
from tests_host.interpreters.judges import judge

__all__ = ["judge"]

aliases.install()


class NotForCPython(pytest.File):
    """A test file whose header leaves CPython out."""

    def collect(self):
        return []


def pytest_collect_file(file_path, parent):
    is_test = file_path.suffix == ".py" and file_path.name.startswith("test_")
    if is_test and set(interpreters_of(file_path)) - {"cpython"}:
        return InterpreterFile.from_parent(parent, path=file_path)
    return None


def pytest_pycollect_makemodule(module_path, parent):
    names = interpreters_of(module_path)
    if names and "cpython" not in names:
        return NotForCPython.from_parent(parent, path=module_path)
    return None


def pytest_collection_modifyitems(items):
    """`make bench`, among the documents' commands, takes longest by itself: it does not begin when all else ends."""
    items.sort(key=lambda item: item.path.name != "test_docs.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """How `make test` divides the tests among processes."""
    from tests_host.interpreters.sharing import Sharing

    return Sharing(config, log)
