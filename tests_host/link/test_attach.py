"""link.attach and link.cell: the stage that failed has a name; both shapes of every answer are read."""

from types import SimpleNamespace

import pytest

from tests_host.device.fakes import Ticks
from tests_host.store.bench import Bench
from tools.module.flash import Flash

DOWN, UP = [0, 0, "0.0.0.0", "0.0.0.0", "0.0.0.0"], [1, 1, "100.101.1.2", "1.1.1.1", "2.2.2.2"]
DOWN6, UP6 = [0, 0, "::", "::", "::"], [1, 1, "240e::1", "::", "::"]


class Modem:
    """Answers of checkNet, dataCall and net. `waited` are the time-outs checkNet was given; each wait takes `takes`
    seconds. `asked` is what attach asked the ladder, which helps as often as `helps` says. The module has been on for
    an hour; `result` is what each AT command ends in."""

    def __init__(self, ready, info=None, name="waitNetworkReady", fun=1, takes=None, helps=0, result=0):
        self.clock, self.waited, self.funs, self.asked, self.helps, self.sent = Ticks(), [], [], [], helps, []
        self.clock.ms = self.began = 3_600_000

        def wait(timeout):
            assert type(timeout) is int
            if not 1 <= timeout <= 3600:
                raise OSError(22)
            self.waited.append(timeout)
            self.clock.ms += int(1000 * (timeout if takes is None else takes))
            return ready if isinstance(ready, tuple) else ready.pop(0)

        bench = Bench(
            Flash(blocks=24), checkNet=SimpleNamespace(**{name: wait}),
            dataCall=SimpleNamespace(getInfo=info or (lambda profile, kind: (1, 2, UP, DOWN6))),
            net=SimpleNamespace(getModemFun=lambda: fun, setModemFun=lambda mode: self.funs.append(mode) or 0),
            atcmd=SimpleNamespace(sendSync=lambda command, *rest: self.sent.append(command) or result),
        )  # fmt: skip
        self.attach, self.fault = bench.load("link.attach"), bench.load("link.fault")

    def __call__(self, timeout=60):
        return self.attach.attach(timeout, self.clock, self.ladder)

    def took(self):
        return self.clock.now() - self.began

    def ladder(self, stage, part):
        self.asked.append((stage, part))
        self.helps -= 1
        return self.helps >= 0


@pytest.mark.parametrize("name", ["waitNetworkReady", "wait_network_connected"])
def test_either_name_of_checknets_call_is_found(name):
    assert Modem((3, 1), name=name, takes=0)() == "100.101.1.2"


@pytest.mark.parametrize(
    ("info", "address"),
    [
        (lambda p, kind: (1, 2, UP, DOWN6), "100.101.1.2"), (lambda p, kind: (1, 2, DOWN, UP6), "240e::1"),
        (lambda p, kind: (1, 2, UP, UP6), "100.101.1.2"),
        (lambda p, kind: (1, 0, UP) if kind == 0 else -1, "100.101.1.2"),
        (lambda p, kind: (1, 1, UP6) if kind == 1 else -1, "240e::1"),
        (lambda p, kind: (1, 2, UP, DOWN6) if kind == 2 else -1, "100.101.1.2"),
        (lambda p, kind: (1, 2, [1, 0, "100.101.1.2", "", ""], DOWN6), "100.101.1.2"),  # it does not dial by itself
        (lambda p, kind: (1, 2, [0, 1, "100.101.1.2", "", ""], DOWN6), ""),  # the last call's
        (lambda p, kind: (1, 2, [1, 1, "0.0.0.0", "", ""], UP6), "240e::1"),
        (lambda p, kind: -1, ""), (lambda p, kind: (1, 0, DOWN), ""), (lambda p, kind: (1, 2, DOWN, DOWN6), ""),
        (lambda p, kind: (1, 2, [1, 1, "", "", ""], DOWN6), ""),
    ],
)  # fmt: skip
def test_address_is_read_from_every_shape_of_getinfo(info, address):
    assert Modem((3, 1), info).attach.address() == address


@pytest.mark.parametrize(
    ("ready", "error", "text"),
    [((1, 18), "NoSim", "status 18 after (59|60) s"), ((1, 21), "NoSim", "status 21 after"),
     ((2, 2), "NotRegistered", "state 2 after (59|60) s"), ((2, -1), "NotRegistered", "state -1 after"),
     ((3, 0), "NoPdp", "within (59|60) s")],
)
@pytest.mark.parametrize("takes", [0, 0.1, None])
def test_stage_that_did_not_come_about_in_time_has_its_fault(ready, error, text, takes):
    """Some images return at once for a missing SIM, others wait to the end (quecpython.md §3.4)."""
    modem = Modem(ready, takes=takes)
    with pytest.raises(getattr(modem.fault, error), match=text):
        modem(60)
    assert 58_000 <= modem.took() <= 61_000
    assert len(modem.waited) <= 61, "a tight loop"


def test_what_comes_about_late_is_waited_for():
    modem = Modem([(1, 0), (2, 2), (3, 0), (3, 1)], takes=3)
    assert modem() == "100.101.1.2"


@pytest.mark.parametrize(("ready", "error"), [((1, 0), "NoSim"), ((1, 2), "NoSim"), ((2, 3), "NotRegistered")])
@pytest.mark.parametrize("takes", [0, None])
def test_what_no_waiting_changes_is_not_waited_for_with_the_radio_on(ready, error, takes):
    modem = Modem(ready, takes=takes)
    with pytest.raises(getattr(modem.fault, error)):
        modem(120)
    assert 15_000 < modem.took() < 45_000


def test_after_each_step_of_the_ladder_a_sim_or_network_that_refuses_is_given_time_again():
    modem = Modem((1, 0), takes=0, helps=1000)
    with pytest.raises(modem.fault.NoSim):
        modem(120)
    assert modem.took() >= 119_000


def test_the_ladder_is_asked_with_stage_and_share_of_the_time():
    modem = Modem((3, 0))
    with pytest.raises(modem.fault.NoPdp):
        modem(120)
    parts = [part for _, part in modem.asked]
    assert {stage for stage, _ in modem.asked} == {3} and parts == sorted(parts)
    assert parts[0] < 85 < parts[2] < 200 and parts[-1] <= 256


def test_a_refusal_is_half_the_time_at_least_so_that_the_radio_is_switched_soon():
    modem = Modem((2, 3), takes=20, helps=1)
    with pytest.raises(modem.fault.NotRegistered):
        modem(240)
    assert modem.asked[0][1] >= modem.attach.HALF


@pytest.mark.parametrize("info", [(1, 2, [1, 1, "100.1.1.1", "0.0.0.0", "0.0.0.0"], DOWN6), -1])
def test_name_servers_are_set_where_the_network_gives_none(info):
    modem = Modem((3, 1), lambda profile, kind: info)
    assert modem.attach.use_dns("61.132.163.68,202.102.213.68")
    assert modem.sent == ['AT+QIDNSCFG=1,"61.132.163.68","202.102.213.68"\r\n']


@pytest.mark.parametrize("servers", [("1.1.1.1", "2.2.2.2"), ("1.1.1.1", "0.0.0.0")])
def test_name_servers_of_the_network_are_left_alone(servers):
    modem = Modem((3, 1), lambda profile, kind: (1, 2, [1, 1, "100.1.1.1", *servers], DOWN6) if kind == 2 else -1)
    assert modem.attach.use_dns("61.132.163.68") and modem.sent == []


def test_a_module_that_refuses_name_servers_is_told_apart():
    assert Modem((3, 1), lambda profile, kind: -1, result=1).attach.use_dns("61.132.163.68") is False


def test_ready_without_an_address_is_no_data_call():
    modem = Modem((3, 1), lambda profile, kind: (1, 2, DOWN, DOWN6), takes=0)
    with pytest.raises(modem.fault.NoPdp):
        modem(30)


@pytest.mark.parametrize(("fun", "set_to"), [(1, []), (0, [1]), (4, [1]), (-1, [1])])
def test_radio_that_is_off_is_switched_on(fun, set_to):
    modem = Modem((3, 1), fun=fun, takes=0)
    modem()
    assert modem.funs == set_to
    modem.attach.off()
    assert modem.funs == [*set_to, 0]


# -- cell --------------------------------------------------------------------------------------------------------------


def cell(**functions):
    def answer(name):
        return functions.get(name, lambda *args: -1)

    def send_sync(command, buffer, include, timeout):
        text = functions.get("at", b"")
        buffer[:] = text.ljust(len(buffer), b"\0")
        return 0 if text else 1

    names = ("getDevImei", "getDevFwVersion")
    bench = Bench(
        Flash(blocks=24), modem=SimpleNamespace(**{name: answer(name) for name in names}),
        sim=SimpleNamespace(getImsi=answer("getImsi"), getIccid=answer("getIccid")),
        net=SimpleNamespace(getSignal=answer("getSignal")), atcmd=SimpleNamespace(sendSync=send_sync),
        uos=SimpleNamespace(uname=answer("uname")),
    )  # fmt: skip
    return bench.load("link.cell")


def test_modem_that_says_minus_one_has_no_identity_and_no_cell():
    found = cell()
    assert (found.imei(), found.imsi(), found.iccid(), found.firmware()) == ("", "", "", "")
    assert found.signal() is None
    assert found.serving() is None


def test_identity_is_what_the_modem_says():
    found = cell(getDevImei=lambda: "868543060974334", getImsi=lambda: "460115472446714",
                 getIccid=lambda: "89860320845515190439", getDevFwVersion=lambda: "R01")
    assert (found.imei(), found.imsi()) == ("868543060974334", "460115472446714")
    assert (found.iccid(), found.firmware()) == ("89860320845515190439", "R01")


@pytest.mark.parametrize("node", ["nodename=EC800E", "EC800E", "nodename=EC=800E"])
def test_model_is_the_nodes_name_with_or_without_its_key(node):
    assert cell(uname=lambda: ("sysname=x", node, "release=y")).model() == node.removeprefix("nodename=")


@pytest.mark.parametrize(
    ("lte", "signal"),
    [
        ([-73, -102, -9, 10, 16], (-102, -9, 16)), ([-73, -102, -9, 10], (-102, -9, None)),
        ([-73, -102, -9, 10, 255], (-102, -9, None)), ([99, 99, 255, 255, 255], None), ([0, 0, 0, 0, 0], None),
        ([255, 255, 255, 255], None),
    ],
)  # fmt: skip
def test_signal_is_of_the_lte_cell_and_none_where_it_is_unknown(lte, signal):
    assert cell(getSignal=lambda sinr: ([99, 99, 255, 255], lte) if sinr == 1 else -1).signal() == signal


def test_serving_cell_is_read_from_the_guides_line():
    line = b'\r\n+QENG: "servingcell","NOCONN","LTE","FDD",460,11,5A2890B,475,1650,3,5,5,DF5C,-102,-9,-73,16,19\r\n'
    assert cell(at=line).serving() == {
        "mcc": 460, "mnc": 11, "cid": 0x5A2890B, "pci": 475, "earfcn": 1650, "tac": 0xDF5C,
    }  # fmt: skip


@pytest.mark.parametrize(
    "line", [b'\r\n+QENG: "servingcell","SEARCH"\r\n', b"\r\n+QENG: 1,2,3,4,x,y,z\r\n", b"\r\nnoise\r\n", b"\xff\xff"]
)
def test_answer_without_an_lte_cell_is_none(line):
    assert cell(at=line).serving() is None
