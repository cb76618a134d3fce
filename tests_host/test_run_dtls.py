"""The main job under DTLS (`python -m tools run --protocol lwm2m-dtls`), in both engines, with and without ids."""

import json
import subprocess
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from tests_host.conftest import judge
from tools import figures, scenario
from tools.__main__ import cli
from tools.checker import check
from tools.ctwing.trace import write_raw_pcap
from tools.deployment import PSK
from tools.module import tree
from tools.plan import Plan, quicker
from tools.scenario import play
from tools.world.network import Datagram

HEAP = 160 * 1024
PLANS = {
    "plain": Plan(protocol="lwm2m-dtls", wakes=4),
    "by-id": Plan(protocol="lwm2m-dtls", wakes=4, connection_id=8),
    "resumes": Plan(protocol="lwm2m-dtls", wakes=4, resumes=True),
    "without-ucryptolib": Plan(protocol="lwm2m-dtls", wakes=4, lacks=("ucryptolib",)),
    "without-uhashlib": Plan(protocol="lwm2m-dtls", wakes=4, lacks=("uhashlib",)),
    "asleep": Plan(protocol="lwm2m-dtls", wakes=4, config={"power.mode": "sleep", "report.interval": 3600}),
    "urn": Plan(protocol="lwm2m-dtls", wakes=3, endpoint_format="urn:imei",
                config={"psk": "", "psk_hex": PSK.encode().hex()}),
}


@pytest.mark.parametrize("name", PLANS)
def test_all_that_plain_lwm2m_does_is_done_alike_in_both_engines_within_the_heap(name):
    runs = [play(PLANS[name]), play(quicker(PLANS[name]))]
    results = [figures.result(run) for run in runs]
    for run, result in zip(runs, results, strict=True):
        assert result["error"] is None and check(run).passed()
        assert result["readings_acknowledged"] == result["readings_taken"] > 3
        assert result["commands_answered"] == result["commands_sent"] > 0
        assert {row.peer.endswith(" by DTLS") for row in run.aep.trace()} == {True}
    assert results[0]["trace_sha256"] == results[1]["trace_sha256"]
    assert results[0]["heap_peak_bytes"] <= HEAP


def test_runs_of_a_seed_are_alike_though_the_server_draws_by_itself():
    plan = quicker(PLANS["plain"])
    one, other = play(plan), play(plan)
    assert figures.result(one)["trace_sha256"] == figures.result(other)["trace_sha256"]
    assert one.network.trace_sha256() != other.network.trace_sha256()  # Mbed TLS's random numbers
    assert figures.result(play(replace(plan, seed=2)))["trace_sha256"] != figures.result(one)["trace_sha256"]


def test_key_and_payload_are_nowhere_on_the_wire_and_in_no_log():
    run = play(quicker(PLANS["plain"]))
    wire = b"".join(datagram.data for datagram in run.network.trace)
    assert b"water_flow" not in wire and PSK.encode() not in wire
    assert b"water_flow" in b"".join(run.opened(datagram) for datagram in run.network.trace)
    said = "\n".join(event.text for event in run.events.log)
    assert PSK not in said and PSK.encode().hex() not in said


def test_a_handshake_counts_as_part_of_the_report_that_it_makes_possible():
    run = play(quicker(replace(PLANS["plain"], commands=False)))
    wakes = figures.resumed(run)
    trace = [d for wake in wakes for d in run.network.trace[wake.mark : wake.end_mark]]
    counted = figures.kinds(run, trace)
    assert counted.count(figures.HANDSHAKE) >= 6 * len(wakes) and set(counted) <= {figures.HANDSHAKE, figures.REPORT}
    assert figures.result(run)["datagrams_per_report"] == round(len(trace) / len(wakes), 2)


def test_what_the_platform_could_not_open_counts_as_handshake():
    run = play(quicker(replace(PLANS["by-id"], wakes=1)))
    stray = Datagram(0, "up", b"\x17\xfe\xfd nobody's", False, ("10.0.0.1", 1), ("221.229.214.202", 5684))
    assert figures.kinds(run, [stray]) == [figures.HANDSHAKE]


def test_a_kept_session_reports_in_two_datagrams():
    run = play(quicker(replace(PLANS["by-id"], commands=False)))
    wake = run.wakes[1]
    assert [d.direction for d in run.network.trace[wake.mark : wake.end_mark]] == ["up", "down"]


@pytest.mark.parametrize("keeps", [False, True])
def test_without_an_id_a_session_is_gone_on_with_from_its_port_where_the_nat_keeps_it(keeps):
    run = play(quicker(replace(PLANS["plain"], commands=False, nat_keeps_port=keeps)))
    first, second = run.wakes[:2]
    ports = [{d.local[1] for d in run.network.trace[wake.mark : wake.end_mark]} for wake in (first, second)]
    assert ports[0] <= ports[1]  # bound again
    sent = [d.direction for d in run.network.trace[second.mark : second.end_mark]]
    assert (sent == ["up", "down"]) == keeps and (ports[0] == ports[1]) == keeps


def test_an_image_without_any_sha256_says_so():
    run = play(quicker(replace(PLANS["plain"], lacks=("uhashlib", "hashlib"), wakes=1)))
    error = figures.result(run)["error"]
    assert error["code"] == 33 and "no SHA-256" in error["hint"]


def test_the_command_line_runs_it():
    done = CliRunner().invoke(cli, ["run", "--protocol", "lwm2m-dtls", "--connection-id", "4", "--engine", "cpython",
                                    "--wakes", "2", "--json"])
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.exit_code == 0 and result["protocol"] == "lwm2m-dtls" and result["error"] is None


def test_the_console_says_keys_and_both_addresses():
    done = CliRunner().invoke(cli, ["aep", "--port", "0", "--dtls-port", "0", "--http", "0", "--for", "0.3",
                                    "--device", "868543060974334", "--encryption", "dtls", "--psk", PSK])
    assert done.exit_code == 0, done.output
    assert f"PSK {PSK}" in done.output and "coap://127.0.0.1:" in done.output and "coaps://127.0.0.1:" in done.output


@pytest.mark.parametrize("engine", ["vm", "cpython"])
@pytest.mark.parametrize("family", ["EC800M", "EC800K", "EC200U"])
def test_the_plain_job_still_fits_every_family(family, engine):
    assert figures.result(play(Plan(family=family, engine=engine)))["error"] is None


def test_a_tree_that_was_built_without_dtls_says_so(monkeypatch):
    """A key in the settings of a device that was built for none is a fault, not a tree that does not start."""
    monkeypatch.setattr(scenario, "spared", lambda config: tree.spared({}))
    run = play(quicker(Plan(wakes=2, config={"security": "psk", "psk": PSK})))
    error = figures.result(run)["error"]
    assert error["code"] == 1 and "built without DTLS" in error["hint"] and run.module.boots <= 2


def test_a_run_under_dtls_is_opened_by_tshark_with_the_key(tmp_path):
    done = play(quicker(replace(PLANS["plain"], wakes=2)))
    write_raw_pcap(tmp_path / "raw.pcap", done.network.trace)
    command = [judge("tshark"), "-r", str(tmp_path / "raw.pcap"), "-o", f"dtls.psk:{PSK.encode().hex()}", "-T",
               "fields", "-E", "separator=|", "-e", "coap.code", "-e", "_ws.malformed"]
    told = [line.split("|") for line in subprocess.run(command, capture_output=True, text=True, check=True
                                                       ).stdout.splitlines()]
    assert len(told) == len(done.network.trace) and not any(malformed for _, malformed in told)
    assert all(code for datagram, (code, _) in zip(done.network.trace, told, strict=True) if done.opened(datagram))


@pytest.mark.parametrize("given", ["psk=" + "s3cret" * 20, "psk_hex=54zz", "psk_hex=545"])
def test_a_key_that_is_refused_is_not_repeated(given):
    done = CliRunner().invoke(cli, ["run", "--set", given])
    assert done.exit_code == 2 and given.split("=")[0] in done.output and given.split("=")[1] not in done.output
