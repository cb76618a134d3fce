"""The database: what is written stands at once and is read back as it was."""

import dataclasses

import pytest

from tools.ctwing.store import Device, Product, Store

PRODUCT = Product(15430077, "meter", "lwm2m", "imei", "PSM", True, False, 1.5)
DEVICE = Device("d" * 32, PRODUCT.id, "m", "868543060974334", "", "868543060974334", "registered", 2.0, None, False)


@pytest.fixture
def store():
    made = Store()
    made.add_product(PRODUCT)
    made.add_device(DEVICE)
    yield made
    made.close()


def test_rows_come_back_as_they_were_put(store):
    assert store.products() == [PRODUCT] and store.product(PRODUCT.id) == PRODUCT
    assert store.devices() == [DEVICE] and store.device_by("imei", DEVICE.imei) == DEVICE
    assert store.product(1) is None and store.device("x") is None


def test_a_device_is_on_line_while_a_registration_lives(store):
    number = store.open_registration(DEVICE.id, 3.0, "127.0.0.1:1", 300, "U", "19/0")
    assert store.device(DEVICE.id).online
    store.end_registration(number, 4.0, "deregistered")
    assert not store.device(DEVICE.id).online
    assert (store.registrations(DEVICE.id)[0].ended, store.registrations(DEVICE.id)[0].reason) == (4.0, "deregistered")


def test_commands_are_found_by_device_and_state_in_the_order_given(store):
    first, second = (store.add_command(DEVICE.id, text, "string", 60, 5.0) for text in (b"a", b"b"))
    store.set_command(first, "SENT", 6.0)
    store.set_command(first, "DELIVERED", 7.0, "2.04")
    done = store.command(first)
    assert (done.status, done.result) == ("DELIVERED", "2.04")
    assert (done.sent_at, done.finished, done.expires) == (6.0, 7.0, 65.0)
    assert [command.id for command in store.commands(DEVICE.id)] == [first, second]
    assert [command.id for command in store.commands(status="SAVED")] == [second]


def test_payloads_of_any_bytes_are_kept(store):
    payload = bytes(range(256))
    number = store.add_uplink(DEVICE.id, 8.0, payload, 65535, b"\0\xff", "CON")
    store.acknowledge(number, 8.5)
    up = store.uplinks(DEVICE.id)[0]
    assert (up.payload, up.mid, up.token, up.acked_at, up.acknowledged) == (payload, 65535, b"\0\xff", 8.5, True)


def test_a_file_is_read_by_whoever_opens_it_next(tmp_path):
    path = str(tmp_path / "aep.db")
    first = Store(path)
    first.add_product(PRODUCT)
    second = Store(path)
    assert second.products() == [PRODUCT]
    first.close()
    second.close()


def test_an_imei_is_in_use_once(store):
    twin = dataclasses.replace(DEVICE, id="e" * 32)
    store.set_life_cycle(DEVICE.id, "cancelled", 9.0)
    store.add_device(twin)
    assert store.devices() == [twin] and len(store.devices(cancelled=True)) == 2


def test_a_platform_that_died_leaves_no_session_and_no_command_under_way(store):
    store.open_registration(DEVICE.id, 3.0, "127.0.0.1:1", 300, "U", "19/0")
    number = store.add_command(DEVICE.id, b"a", "string", 60, 5.0)
    store.set_command(number, "SENT", 6.0)
    store.forget_sessions(10.0, "platform started")
    assert not store.device(DEVICE.id).online and store.command(number).status == "SAVED"
