"""quecpython.md §0, §1.6, §7: what EC800E's firmware offers, and what it lacks."""

import ast
from pathlib import Path

import pytest

from tests_host.module.modem_rig import EC800E, Rig
from tools.module.modem.meter import STATES
from tools.module.profiles import FAMILIES

STUBS = Path(__file__).parents[2] / "tools/module/stubs"


def offered(family: str = "EC800E") -> dict[str, dict]:
    return Rig(FAMILIES[family]).board.surface()


def test_uname_is_six_key_value_strings():
    names = EC800E.uname()
    assert [name.split("=", 1)[0] for name in names] == [
        "sysname", "nodename", "release", "version", "machine", "qpyver",
    ]
    assert names[1].split("=", 1)[1] == "EC800E"


def test_there_is_no_native_lwm2m():
    assert "lwm2m" not in offered()


PSM = {"set_psm_time", "get_psm_time"}


@pytest.mark.parametrize(("family", "module", "names"), [
    ("EC800E", "pm", {"sclkEx_set", "set_edrx_time", "get_psm_netinfo"}), ("EC800E", "dataCall", {"setDNSServer"}),
    ("EC800E", "net", {"getT3412", "getT3324"}), ("EC800E", "sim", {"switchCard"}),
    ("EC800M", "pm", PSM | {"Forcehib", "WakeUp", "sclkEx_set"}), ("EC800M", "dataCall", {"setDNSServer"}),
    ("EC800K", "pm", PSM | {"Forcehib", "WakeUp", "sclkEx_set"}),
    ("EC200U", "pm", {"Forcehib", "WakeUp", "set_edrx_time"}),
])
def test_functions_that_a_family_lacks(family, module, names):
    assert not names & {*offered(family)[module]["functions"], *offered(family)[module]["classes"]}


def test_what_families_have_that_others_lack():
    assert set(offered("EC800E")["pm"]["functions"]) > PSM | {"Forcehib"}
    assert set(offered("EC200U")["pm"]["functions"]) > PSM | {"sclkEx_set"}
    assert "powerDownReason" in offered("EC800E")["misc"]["classes"]["Power"]["methods"]
    assert "powerDownReason" not in offered("EC200U")["misc"]["classes"]["Power"]["methods"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_names_itself_and_has_a_current_for_every_state(family):
    assert FAMILIES[family].uname()[1] == "nodename=" + family
    assert set(FAMILIES[family].currents_ua) == set(STATES)


@pytest.mark.parametrize(("family", "text"), [
    ("EC800E", "+32 0"), ("EC800M", " 8 0"), ("EC800K", " 8 0"), ("EC200U", "+32 0"),
])
def test_network_time_writes_the_zone_in_the_familys_way(family, text):
    rig = Rig(FAMILIES[family]).until_ready()
    assert rig.ask("net.nitzTime")[0].endswith(text)
    assert rig.ask("utime.getTimeZone") == 8


@pytest.mark.parametrize(("family", "mcc"), [("EC800E", 1120), ("EC800M", 1120), ("EC800K", 460), ("EC200U", 460)])
def test_the_country_code_is_hex_read_as_decimal_on_e_and_m(family, mcc):
    rig = Rig(FAMILIES[family]).until_ready()
    assert rig.ask("net.getServingMcc") == mcc
    assert rig.ask("net.getCellInfo")[2][0][2] == mcc


@pytest.mark.parametrize("family", FAMILIES)
def test_a_data_call_that_is_down_is_minus_one_on_one_family(family):
    info = Rig(FAMILIES[family]).ask("dataCall.getInfo", 1, 0)
    assert (info == -1) == (family == "EC800M")


@pytest.mark.parametrize(("family", "result"), [("EC800E", 0), ("EC800M", 1), ("EC800K", 1), ("EC200U", 0)])
def test_the_at_commands_for_psm_are_refused_where_the_firmware_has_none(family, result):
    rig = Rig(FAMILIES[family]).until_ready()
    assert rig.at('AT+CPSMS=1,,,"00100001","00000001"')[0] == result
    assert rig.at("AT+CPSMS?")[0] == result
    assert rig.at('AT+QSCLK=3,2,"01011111","00000001"')[0] == result
    assert rig.at("AT+QSCLKEX=1,1,30")[0] == 0


def test_fast_release_by_function_on_u():
    rig = Rig(FAMILIES["EC200U"]).until_ready()
    assert rig.ask("pm.sclkEx_set", 1, 0, 60) == -1
    assert rig.ask("pm.sclkEx_set", 1, 1, 1800) == 0
    assert rig.at("AT+QSCLKEX?")[1].split()[-1] == "1,1,30"


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
