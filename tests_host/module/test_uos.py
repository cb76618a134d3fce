"""`uos.uname` and `uos.urandom` (quecpython.md §1.6). Its file functions are tested with the engines."""

from tests_host.module.bench import BareBoard
from tools.module.modem.uos import Uos
from tools.module.profiles import FAMILIES


def test_uname_is_six_key_value_strings():
    bench = BareBoard(Uos)
    bench.board.profile = FAMILIES["EC800E"]
    name = bench.ask("uos.uname")
    assert [part.split("=")[0] for part in name] == ["sysname", "nodename", "release", "version", "machine", "qpyver"]
    assert name[1] == "nodename=EC800E"


def test_urandom_is_random_and_the_same_for_a_seed():
    first, second = BareBoard(Uos), BareBoard(Uos)
    drawn = first.ask("uos.urandom", 16)
    assert len(drawn) == 16 and drawn != first.ask("uos.urandom", 16)
    assert drawn == second.ask("uos.urandom", 16)
