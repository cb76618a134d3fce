"""libcoap's programs judge ours over loopback, in real time: its client asks our device, we ask its server."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from coap import block, pull
from coap import message as m
from m2m import client as c
from m2m import tlv
from tests_host.coap.over_udp import LIMIT_S, LONG, Caller, Served
from tests_host.conftest import judge
from tools.loopback import free_port

BODY = bytes(32 + at * 7 % 95 for at in range(5000))


@pytest.fixture
def served():
    with Served() as device:
        yield device


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def ask(served, path, *options):
    """(what libcoap's client wrote, its complaints)."""
    command = [judge("libcoap"), "-B", "10", *options, f"coap://127.0.0.1:{served.port}/{path}"]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=True)
    return done.stdout.rstrip(b"\n"), done.stderr.decode()


# its client, our device


def test_a_large_read_reaches_libcoap_in_blocks_of_every_size(served):
    for options in ((), ("-b", "64"), ("-b", "512"), ("-b", "1024")):
        assert ask(served, "3/0/17", *options) == (LONG.encode(), ""), options
        served.device.values[3, 17] = LONG


def test_a_small_read_and_a_tree_read_by_libcoap(served):
    assert ask(served, "4/0/8") == (b"94537995", "")
    assert ask(served, "3/0/9", "-b", "64") == (b"88", "")
    assert tlv.resource(17, LONG) in ask(served, "3/0", "-A", str(m.TLV))[0]


def test_discover_by_libcoap(served):
    assert ask(served, "4", "-A", "40") == (b"</4>,</4/0>,</4/0/8>", "")


def test_writes_and_executes_by_libcoap(served):
    ask(served, "1/0/1", "-m", "put", "-t", "0", "-e", "600")
    ask(served, "5/0/2", "-m", "post")
    ask(served, "3/0/9?pmin=5&pmax=60", "-m", "put")
    assert served.device.written == [(1, {1: 600}, False), (5, 2, b"")]
    assert [client.attributes for client in served.peers.values()][-1] == {"3/0/9": {"pmin": 5, "pmax": 60}}


def test_a_downlink_in_blocks_by_libcoap_arrives_whole_and_once(served, folder):
    (folder / "body").write_bytes(BODY[:1000])
    for size in ("64", "256", "512"):
        ask(served, "19/1/0", "-m", "put", "-t", "42", "-b", size, "-f", str(folder / "body"))
        assert served.kept == [BODY[:1000]], size
        served.kept.clear()


def test_a_downlink_that_is_too_large_is_refused_to_libcoap(served, folder):
    (folder / "body").write_bytes(BODY)
    assert "4.13" in ask(served, "19/1/0", "-m", "put", "-t", "42", "-b", "256", "-f", str(folder / "body"))[1]
    assert served.kept == []


def test_refusals_to_libcoap_have_their_codes(served):
    for path, options, code in (
        ("7/0", (), "4.04"), ("3/0/5", (), "4.04"), ("3/0/4", (), "4.05"), ("3/0", ("-m", "delete"), "4.05"),
        ("1/0/1", ("-m", "put", "-t", "50", "-e", "1"), "4.15"), ("3/0", ("-A", "11543"), "4.06"),
        ("1/0/1", ("-m", "put", "-e", "x"), "4.00"), ("3/0", ("-O", "9,x"), "4.02"),
    ):  # fmt: skip
        assert code in ask(served, path, *options)[1], path


def test_libcoap_observes_and_is_notified_in_blocks_too(served):
    url = f"coap://127.0.0.1:{served.port}/"
    for path, before, after in (("3/0/9", "88", "12"), ("3/0/17", LONG, LONG.lower())):
        command = [judge("libcoap"), "-s", "15", "-w", url + path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watcher:
            try:
                watched, address = served.wait(c.OBSERVED)
                assert watched == path and watcher.stdout.readline().decode().strip() == before
                number, resource = int(path[0]), int(path[4:])
                served.device.values[number, resource] = type(served.device.values[number, resource])(after)
                served.notify(address, path, 5)
                assert watcher.stdout.readline().decode().strip() == after
                served.wait(c.DELIVERED)
            finally:
                watcher.kill()


def test_a_ping_is_answered(served):
    with Caller(served.port) as caller:
        caller.ready()


# our requester, its server


@pytest.fixture
def server():
    judge("libcoap")
    program = judge("libcoap-server")
    port = free_port()
    with subprocess.Popen(
        [program, "-A", "127.0.0.1", "-p", str(port), "-d", "3"], stdout=sys.stderr, stderr=sys.stderr
    ) as process:
        try:
            with Caller(port) as caller:
                caller.ready()
            yield port
        finally:
            process.kill()


def store(port, folder, path, body):
    """libcoap's own client puts a large body there."""
    (folder / "body").write_bytes(body)
    command = [judge("libcoap"), "-B", "10", "-m", "put", "-b", "512", "-f", str(folder / "body")]
    subprocess.run([*command, f"coap://127.0.0.1:{port}/{path}"], check=True, timeout=LIMIT_S)


def test_a_large_resource_of_libcoap_is_pulled_in_every_size(server, folder):
    store(server, folder, "example_data", BODY)
    for szx in range(7):
        got = bytearray()
        with Caller(server, 0x1000 * (szx + 1)) as caller:
            options = m.path_options(m.URI_PATH, "example_data")
            puller = pull.Pull(caller.exchange, options, lambda at, data, got=got: got.extend(data), 8192, szx)
            assert caller.pull(puller) == (pull.PULLED, len(BODY))
        assert bytes(got) == BODY


def test_a_resource_of_libcoap_over_the_limit_is_not_pulled_to_its_end(server, folder):
    store(server, folder, "example_data", BODY)
    got = []
    with Caller(server) as caller:
        options = m.path_options(m.URI_PATH, "example_data")
        assert caller.pull(pull.Pull(caller.exchange, options, lambda *part: got.append(part), 2048)) == (
            pull.BROKEN,
            pull.TOO_LARGE,
        )
    assert sum(len(data) for _, data in got) <= 2048


def test_small_and_missing_resources_of_libcoap(server):
    with Caller(server) as caller:
        assert caller.ask(m.GET, "").payload.startswith(b"This is a test server")
        assert caller.ask(m.PUT, "new", payload=b"x").code == m.CREATED
        assert caller.ask(m.GET, "new").payload == b"x"
        assert caller.ask(m.DELETE, "new").code == m.DELETED
        options = m.path_options(m.URI_PATH, "none")
        assert caller.pull(pull.Pull(caller.exchange, options, print, 99)) == (pull.BROKEN, m.NOT_FOUND)


def test_a_separate_response_of_libcoap_is_taken_and_acknowledged(server):
    with Caller(server) as caller:
        response = caller.ask(m.GET, "async", [(m.URI_QUERY, b"1")])
        assert response.code == m.CONTENT and response.kind == m.CON and re.match(rb"done", response.payload)
        assert caller.exchange.retransmitted == 0 and caller.exchange.stray == 0
        assert caller.ask(m.GET, "").code == m.CONTENT, "the connection is clean"


def test_the_tags_of_one_content_of_libcoap_agree(server, folder):
    store(server, folder, "example_data", BODY)
    with Caller(server) as caller:
        tags = [
            caller.ask(m.GET, "example_data", [(block.BLOCK2, block.pack(number, False, 5))]).all(block.ETAG)
            for number in range(3)
        ]
    assert tags[0] == tags[1] == tags[2]
