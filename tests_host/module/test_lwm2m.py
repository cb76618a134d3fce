"""`lwm2m`, the class of a few customers' images (quecpython.md §3.13): it drives the client of AT+QLW…."""

import pytest

from tests_host.module.at_port import Desk
from tools.module.profiles import FAMILIES

NATIVE = FAMILIES["EC200U"].with_client("native")
RESET, SECURITY, SERVER, MODE, NAME = 0, 2, 3, 4, 5


class Native:
    """The object as an application holds it."""

    def __init__(self, port: Desk) -> None:
        self.port, self.told = port, []
        port.board.deliver = self._deliver
        self.handle = port.run(port.board.call("lwm2m.lwm2m", []))
        self("register_call", 1)

    async def _deliver(self, callback, argument):
        self.told.append(argument)

    def __call__(self, name, *args):
        return self.port.run(self.port.board.call(f"@{self.handle}.{name}", list(args)))


@pytest.fixture
def native(desk):
    return Native(desk(1, family=NATIVE).ready())


def configured(native, uri="coap://221.229.214.202:5683", *key):
    assert native("config", SECURITY, [1, 1000, uri, 0, 0 if key else 3, *key]) == 0
    assert native("config", SERVER, [1, 86400, 0, 0, 86400, 1, "U"]) == 0
    assert native("config", MODE, [1]) == 0
    assert native("config", NAME, [native.port.identity.imei]) == 0
    for instance in (0, 1):
        assert native.port.type(f"AT+QLWADDOBJ=19,{instance},1,0") == ["OK"]
    return native


def test_other_images_have_no_such_module():
    assert "lwm2m" not in FAMILIES["EC800E"].modules and "lwm2m" not in FAMILIES["EC200U"].modules


def test_it_registers_and_tells_by_an_event_and_data_go_by_at(native):
    port = configured(native).port
    port.type('AT+QLWCFG="auto_ack",1')
    assert native("stat") == -1 and native("register") == 0
    port.wait(2)
    assert native.told == [(0, 0, '"ready","successfully"')] and native("stat") == 0
    assert port.type('AT+QLWNOTIFY=19,0,0,2,2,"6869",0,1') == ["OK"]
    port.wait(2)
    assert [u.payload for u in port.aep.uplinks(port.device)] == [b"hi"]
    assert native("update", 1000) == 0
    port.wait(1)
    assert len(port.events.of("update")) == 1
    assert native("unregister") == 0
    port.wait(1)
    assert not port.aep.device(port.device).online


def test_a_registration_that_fails_is_an_event_too(native):
    configured(native)
    native("config", NAME, ["nobody"])
    native("register")
    native.port.wait(3)
    assert native.told == [(0, -9, '"ready","failed"')]


@pytest.mark.parametrize(("kind", "values", "result"), [
    (99, [], -2), (SECURITY, [], -1), (SECURITY, [0, 100, "coap://a:1", 1, 3], -1),
    (SECURITY, [1, 1000, "http://a:1", 0, 3], -1), (SECURITY, [1, 1000, "coap://a:x", 0, 3], -1),
    (SECURITY, [1, 1000, "coap://a:1", 0, 2], -1), (SECURITY, [1, 1000, "coap://240e::1:5683", 0, 3], -1),
    (SECURITY, [1, 1000, "coap://[240e::1]:5683", 0, 3], 0), (SECURITY, [1, 1000, "coaps://a:1", 0, 0], -1),
    (SERVER, [1, 0], -1), (SERVER, [1, "x"], -1), (MODE, [9], -1), (RESET, [], 0),
])
def test_what_is_wrong_is_minus_one_and_what_is_unknown_minus_two(native, kind, values, result):
    assert native("config", kind, values) == result


def test_without_configuration_nothing_registers(native):
    assert native("register") == -1 and native("update", 1000) == -1 and native("unregister") == -1
