"""quecpython.md §0, §1.6, §7: what EC800E's firmware offers, and what it lacks."""

import ast
from pathlib import Path

import pytest

from tests_host.module.modem_rig import EC800E, Rig

STUBS = Path(__file__).parents[2] / "tools/module/stubs"


def offered() -> dict[str, dict]:
    return Rig().board.surface()


def test_uname_is_six_key_value_strings():
    names = EC800E.uname()
    assert [name.split("=", 1)[0] for name in names] == [
        "sysname", "nodename", "release", "version", "machine", "qpyver",
    ]
    assert names[1].split("=", 1)[1] == "EC800E"


def test_there_is_no_native_lwm2m():
    assert "lwm2m" not in offered()


@pytest.mark.parametrize(("module", "names"), [
    ("pm", {"sclkEx_set", "set_edrx_time", "get_psm_netinfo"}), ("dataCall", {"setDNSServer"}),
    ("net", {"getT3412", "getT3324"}), ("sim", {"switchCard"}),
])
def test_functions_that_this_family_lacks(module, names):
    assert not names & set(offered()[module]["functions"])


def test_no_private_name_reaches_the_application():
    for module in offered().values():
        for name in [*module["functions"], *module["constants"], *module["classes"]]:
            assert not name.startswith("_")


def stub_names(body: list[ast.stmt]) -> set[str]:
    found = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("name", [n for n in EC800E.modules if n != "uos"])
def test_type_stubs_name_what_the_stand_in_offers(name):
    spec = offered()[name]
    tree = ast.parse((STUBS / f"{name}.pyi").read_text())
    optional = set(EC800E.absent.get(name, ()))
    assert stub_names(tree.body) - optional == {*spec["functions"], *spec["constants"], *spec["classes"]}
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for cls, inner in spec["classes"].items():
        methods = {node.name for node in classes[cls].body if isinstance(node, ast.FunctionDef)}
        assert methods - {"__init__", "__bool__"} == set(inner["methods"])
