"""`python -m tools aep` as a user starts it: a process in real time, a device of raw bytes over real UDP, the API."""

import json
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests_host.conftest import judge
from tests_host.ctwing.raw_device import IMEI, answer, notification, register, token_of
from tests_host.ctwing.stream_device import NUMBER, connect, login
from tools.__main__ import cli
from tools.aep import UnixLoop
from tools.ctwing import mosquitto
from tools.scenario import ROOT

COMMAND = [sys.executable, "-m", "tools", "aep"]
FREE = [word for name in ("port", "dtls-port", "tcp-port", "mqtt-port", "mqtts-port", "http")
        for word in (f"--{name}", "0")]


@contextmanager
def running(*arguments):
    """The process; where devices and browsers reach it; and what it has printed so far."""
    process = subprocess.Popen([*COMMAND, *FREE, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env={"PYTHONUNBUFFERED": "1", "COLUMNS": "200"})
    try:
        printed = ""
        while "page and API" not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        udp = int(re.search(r"coap://127\.0\.0\.1:(\d+)", printed)[1])
        yield process, udp, re.search(r"http://127\.0\.0\.1:\d+/", printed)[0], printed
    finally:
        process.kill()
        process.communicate()


def get(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read()


class Device:
    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))

    def ask(self, data):
        self.socket.send(data)
        return self.socket.recv(2048)

    def observed(self):
        token = b""
        for body in (b"\x60\xff\xc8\x00\x00", b"\x60\x61\x2a", b"\xc0\xff1"):
            request = self.socket.recv(2048)
            if b"\x0219\x010\x010" in request or b"\x5219\x010\x010" in request:
                token = token_of(request)
            self.socket.send(answer(request, 0x45, body))
        return token


def test_a_device_reports_and_its_uplink_is_on_the_page_and_in_the_file(tmp_path):
    before = time.time()
    with running("--device", IMEI, "--db", str(tmp_path / "aep.db")) as (process, udp, url, printed):
        assert f"registers as {IMEI}" in printed and b"<title>Local AEP" in get(url)
        device = Device(udp)
        assert device.ask(register(1))[1] == 0x41
        assert device.ask(notification(9, device.observed(), b"hello"))[0] == 0x60
        known = json.loads(get(url + "api/devices"))[0]
        uplink = json.loads(get(f"{url}api/devices/{known['id']}/uplinks"))[0]
        assert (uplink["text"], uplink["acknowledged"], known["online"]) == ("hello", True, True)
        assert before - 1 < uplink["t"] < time.time() + 1
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(10) == 0 and "Register" in rest and "Traceback" not in rest
    with running("--device", IMEI, "--db", str(tmp_path / "aep.db")) as (_, _, url, printed):
        assert printed.count("registers as") == 1
        assert json.loads(get(f"{url}api/devices/{known['id']}/uplinks"))[0]["text"] == "hello"


def test_a_device_with_a_key_is_shown_with_it_and_registers_on_the_second_port():
    client = judge("libcoap-openssl")
    with running("--device", IMEI, "--encryption", "dtls", "--endpoint-format", "urn:imei") as (_, _, url, printed):
        port = re.search(r"coaps://127\.0\.0\.1:(\d+)", printed)[1]
        psk = re.search(r"registers as urn:imei:\d+, PSK ([A-Za-z0-9]{16})\n", printed)[1]
        path = f"coaps://127.0.0.1:{port}/rd?lwm2m=1.0&ep=urn:imei:{IMEI}&b=U&lt=300"
        subprocess.run([client, "-B", "8", "-m", "post", "-k", psk, "-u", IMEI, path], check=True, timeout=30)
        known = json.loads(get(url + "api/devices"))[0]
        assert (known["online"], known["psk"], known["psk_hex"]) == (True, psk, psk.encode().hex())
        assert known["registration"]["address"].endswith(" by DTLS")


@pytest.mark.parametrize(("protocol", "wire", "answer"), [
    ("tcp", lambda device: login(device, "secret"), "050000"),
    ("mqtt", lambda device: connect(device, "secret"), "20020000"),
])
def test_a_device_of_mqtt_or_tcp_is_shown_with_its_token_and_logs_in(protocol, wire, answer):
    arguments = ("--device", NUMBER, "--protocol", protocol, "--token", "secret")
    with running(*arguments) as (_, _, url, printed):
        device, token = re.search(rf"device (\d+), {protocol}, token (\S+)", printed).groups()
        port = int(re.search(rf"{protocol}://127\.0\.0\.1:(\d+)", printed)[1])
        assert device.endswith(NUMBER) and token == "secret"
        assert b"BEGIN CERTIFICATE" in get(url + "api/ca.pem")
        with socket.create_connection(("127.0.0.1", port), 10) as stream:
            stream.sendall(wire(device))
            assert stream.recv(100).hex() == answer
            known = json.loads(get(url + "api/devices"))[0]
            assert (known["online"], known["protocol"], known["number"]) == (True, protocol, NUMBER)
            assert known["registration"]["address"].endswith(f" by {protocol.upper()}")


def test_mosquitto_runs_behind_the_mqtt_front_as_long_as_the_aep():
    judge("mosquitto")
    with running("--device", NUMBER, "--protocol", "mqtt", "--token", "t", "--broker", "mosquitto") as found:
        process, _, _, printed = found
        folder = Path(re.search(r"client connected from (\S+)/socket:", printed)[1])
        device, port = re.search(r"device (\d+)", printed)[1], int(re.search(r"mqtt://127\.0\.0\.1:(\d+)", printed)[1])
        assert folder.exists()
        with socket.create_connection(("127.0.0.1", port), 10) as stream:
            stream.sendall(connect(device, "t"))
            assert stream.recv(100).hex() == "20020000"
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
        assert process.wait(10) == 0 and f"as {device}" in rest and "destroyed" not in rest and "Traceback" not in rest
        assert not folder.exists()


def test_a_mosquitto_that_is_missing_is_named_with_its_install_line(monkeypatch):
    monkeypatch.setattr(mosquitto, "PROGRAMS", ("no-such-mosquitto",))
    done = CliRunner().invoke(cli, ["aep", *FREE, "--broker", "mosquitto"])
    assert done.exit_code == 1 and "mosquitto is not installed: apt-get install mosquitto" in done.output


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60,
                          env={"COLUMNS": "200"})


def test_it_ends_by_itself_when_told_and_says_what_is_missing():
    done = run(*FREE, "--for", "0.1")
    assert done.returncode == 0 and "add one on the page" in done.stdout


@pytest.mark.parametrize(("kind", "option"), [
    (socket.SOCK_DGRAM, "--port"), (socket.SOCK_DGRAM, "--dtls-port"), (socket.SOCK_STREAM, "--http"),
    (socket.SOCK_STREAM, "--tcp-port"), (socket.SOCK_STREAM, "--mqtt-port"), (socket.SOCK_STREAM, "--mqtts-port"),
])
def test_a_port_that_is_taken_is_named(kind, option):
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = str(taken.getsockname()[1])
        done = run(*FREE, option, port, "--for", "1")
    assert done.returncode == 1 and f"127.0.0.1:{port}: " in done.stdout and option in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("arguments", "text"), [
    (["--device", "123"], "IMEI '123'"), (["--device", IMEI, "--psk", "TYvoiTk34D3NZ6GN"], "needs a product"),
    (["--device", IMEI, "--endpoint-format", "urn:imei-imsi"], "IMSI"),
    (["--device", "1", "--protocol", "tcp", "--psk", "TYvoiTk34D3NZ6GN"], "no IMEI"),
    (["--device", IMEI, "--token", "secret"], "no token"), (["--db", "/"], "cannot be used"),
    (["--host", "no.such.host.invalid"], "no.such.host.invalid"),
])
def test_what_cannot_be_is_refused_with_a_hint(arguments, text):
    done = run(*FREE, "--for", "1", *arguments)
    assert done.returncode == 1 and text in done.stdout and "Traceback" not in done.stdout + done.stderr


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no database " * 100)
    done = run(*FREE, "--for", "1", "--db", str(tmp_path / "notes.txt"))
    assert done.returncode == 1 and "cannot be used" in done.stdout
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / "notes.txt").execute("SELECT * FROM products")


def test_the_clock_is_unix_time_and_never_goes_back():
    loop = UnixLoop()
    times = [loop.time() for _ in range(1000)]
    loop.close()
    assert abs(times[0] - time.time()) < 1 and times == sorted(times)


def test_the_ca_is_the_same_at_the_next_start_where_it_is_kept_in_a_file(tmp_path):
    file = tmp_path / "authority.pem"
    seen = []
    for _ in range(2):
        with running("--ca", str(file)) as (_, _, url, printed):
            seen.append(get(url + "api/ca.pem"))
            port = int(re.search(r"mqtts://127\.0\.0\.1:(\d+)", printed)[1])
            context = ssl.create_default_context(cadata=seen[0].decode())
            with socket.create_connection(("127.0.0.1", port), 10) as stream, context.wrap_socket(
                    stream, server_hostname="mqtt.ctwing.cn") as secured:
                assert secured.getpeercert()["subject"]
    assert seen[0] == seen[1] and file.stat().st_mode & 0o77 == 0 and b"PRIVATE" not in seen[0]


@pytest.mark.parametrize("content", [b"", b"rubbish", None])
def test_a_file_that_holds_no_ca_is_refused_and_left_as_it_is(tmp_path, content):
    file = tmp_path / "authority.pem"
    file.mkdir() if content is None else file.write_bytes(content)
    done = CliRunner().invoke(cli, ["aep", "--ca", str(file)])
    assert done.exit_code == 1 and str(file.name) in done.output and "--ca" in done.output
    assert content is None or file.read_bytes() == content


@pytest.mark.parametrize(("protocol", "form"), [("mqtt", "json"), ("tcp", "binary"), ("lwm2m", "binary")])
def test_devices_of_a_thing_model_are_created_from_a_service_list(protocol, form):
    arguments = ("--device", NUMBER, "--protocol", protocol, "--services", "standard", "--payload-format", form)
    with running(*arguments) as (_, _, url, _):
        (product,) = json.loads(get(url + "api/products"))
        assert (product["transparent"], product["payload_format"]) == (False, form)
        assert "data_report" in json.dumps(product["services"])


def test_services_that_are_none_are_refused_with_a_hint(tmp_path):
    file = tmp_path / "list.json"
    file.write_text('{"result": 5}')
    done = CliRunner().invoke(cli, ["aep", "--device", NUMBER, "--services", str(file)])
    assert done.exit_code == 1 and "tools services" in done.output
