"""quecpython.md §3.2."""

from tests_host.module.modem_rig import Rig


def test_identity_is_text():
    rig = Rig()
    assert rig.ask("modem.getDevImei") == "868543060974334"
    assert rig.ask("modem.getDevModel") == "EC800E"
    for name in ("getDevSN", "getDevFwVersion", "getDevProductId"):
        assert isinstance(rig.ask("modem." + name), str)
