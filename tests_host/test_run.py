"""The main job from end to end, in both engines, judged by the checker, the trace and tshark."""

import json
import os
import subprocess
import sys

import pytest
from aiocoap import Message

from tests_host.conftest import judge
from tools import figures
from tools.ctwing.trace import write_pcap
from tools.plan import Plan, quicker
from tools.scenario import PSM_WAKE, ROOT, play


def run(**changes):
    return play(quicker(Plan(**changes)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_thirty_wakes_with_losses_lose_and_double_nothing_and_both_engines_send_the_same_bytes_at_the_same_times(seed):
    in_vm = play(Plan(wakes=30, seed=seed, loss=0.02))
    in_cpython = run(wakes=30, seed=seed, loss=0.02)
    for done in (in_vm, in_cpython):
        result = figures.result(done)
        assert result["error"] is None, result
        assert result["psm_entered"] == result["wakes"] == result["boots"] == 30
        assert result["readings_acknowledged"] == result["readings_taken"] > 30
        assert (result["readings_lost"], result["readings_duplicated"]) == (0, 0)
        assert result["commands_answered"] == result["commands_sent"] == 28  # none in the last sleep
    assert any(datagram.lost for datagram in in_vm.network.trace), "a loss of 2 % lost nothing: the test shows nothing"
    assert in_vm.network.trace_sha256() == in_cpython.network.trace_sha256()


def test_a_run_of_another_seed_is_another_run():
    assert run(seed=1).network.trace_sha256() != run(seed=2).network.trace_sha256()


def test_the_first_wake_registers_and_the_next_ones_resume_by_one_update():
    done = run(wakes=3)
    requests = [[_line(d) for d in done.network.trace[w.mark : w.end_mark] if d.direction == "up"] for w in done.wakes]
    assert requests[0][0] == ("POST", "rd")
    for lines in requests[1:]:
        assert [line for line in lines if line[0] == "POST"] == [("POST", "rd/868543060974334")]
    assert [event.data["reason"] for event in done.events.of("boot")] == [3, PSM_WAKE, PSM_WAKE]
    assert len(done.aep.registrations(done.device)) == 1


def test_an_update_says_nothing_that_has_not_changed():
    done = run(wakes=2)
    updates = [Message.decode(d.data) for d in done.network.trace if _line(d) == ("POST", "rd/868543060974334")]
    assert updates and all(not update.opt.uri_query and not update.payload for update in updates)


def test_a_command_given_during_sleep_waits_for_the_next_uplink_is_carried_out_and_answered():
    done = run(wakes=2)
    saved, sent, delivered = (done.events.of(f"command-{step}")[0].t for step in ("saved", "sent", "delivered"))
    woken, slept = done.events.of("boot")[1].t, done.events.of("power")[0].t
    assert slept < saved < woken < sent < delivered
    assert [event.data["state"] for event in done.events.of("valve")] == [0]
    assert [uplink.payload for uplink in done.aep.uplinks(done.device)][-1].startswith(b'{"taskId":1,"serviceId":9001,')


def test_reports_are_confirmable_and_acknowledged():
    done = run(wakes=2)
    uplinks = done.aep.uplinks(done.device)
    assert uplinks and all(uplink.kind == "CON" and uplink.acknowledged for uplink in uplinks)


def test_a_device_that_is_not_on_the_platform_ends_with_the_guides_hint_and_a_non_zero_exit():
    result = figures.result(run(wakes=1, provisioned=False))
    assert result["error"]["name"] == "NotProvisioned"
    assert result["error"]["code"] == 21
    assert "+QLWREG: -9" in result["error"]["hint"]


@pytest.mark.parametrize("endpoint", ["imei", "urn:imei", "urn:imei-imsi"])
def test_every_endpoint_format_and_drawn_token_lengths_work(endpoint):
    for seed in range(1, 5):
        assert figures.result(run(wakes=2, seed=seed, endpoint_format=endpoint, token_length=None))["error"] is None


def test_tshark_reads_the_same_message_ids_tokens_and_paths_and_finds_nothing_malformed(tmp_path):
    tshark = judge("tshark")
    done = run(wakes=4, loss=0.05, seed=4)
    rows = done.aep.trace()
    write_pcap(tmp_path / "run.pcap", rows)
    fields = ["coap.mid", "coap.token", "coap.opt.uri_path_recon", "_ws.malformed", "_ws.expert.severity"]
    command = [tshark, "-r", tmp_path / "run.pcap", "-T", "fields", "-E", "separator=|"]
    for name in fields:
        command += ["-e", name]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(out) == len(rows) > 30
    for line, row in zip(out, rows, strict=True):
        mid, token, path, malformed, severity = line.split("|")
        message = Message.decode(row.raw)
        assert (int(mid), token.replace(":", "")) == (message.mid, message.token.hex())
        if message.code.is_request():
            assert path == "/" + "/".join(message.opt.uri_path)
        assert not malformed
        assert int(severity or 0) < 6 << 20, line  # PI_WARN


def test_json_is_one_line_on_stdout_and_everything_else_on_stderr():
    command = [sys.executable, "-m", "tools", "run", "--json", "--engine", "cpython", "--wakes", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout)["error"] is None
    assert "powerOnReason() == 8" in done.stderr


def test_a_bad_option_is_refused_with_what_is_allowed():
    command = [sys.executable, "-m", "tools", "run", "--family", "EC900"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "EC800E" in done.stderr and not done.stdout


def test_the_heap_stays_within_its_budget():
    assert 40_000 < figures.result(play(Plan()))["heap_peak_bytes"] <= 128 * 1024


def test_the_timeline_shows_what_a_user_wants_to_see():
    done = subprocess.run([sys.executable, "-m", "tools", "run", "--engine", "cpython"], cwd=ROOT, capture_output=True,
                          text=True, env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"})
    told = ("powerOnReason() == 3", "SIM ready", "IMEI 868543060974334", "IMSI 460115472446714",
            "ICCID 89860320845515190439", "network attached, cell 5a2890b", "IP 100.", "Register 868543060974334",
            "/3/0 is observed", "/19/0/0 is observed", "read /4/0/8: 94537995", '"water_flow":', "acknowledged: id",
            "RRC idle", "PSM granted", "PSM entered", 'command cached: {"valve_onoff":0', "powerOnReason() == 8",
            "Update 868543060974334", "PUT /19/1/0", "2.04", "the valve is closed", '"serviceId":9001', "every command")
    at = 0
    for words in told:
        assert words in done.stdout, words
    for words in ("Register 8", "/19/0/0 is observed", '"water_flow":', "PSM entered", "command cached", "== 8",
                  "Update 8", "PUT /19/1/0", "the valve is closed", '"serviceId":9001'):
        at = done.stdout.index(words, at)
    assert "\x1b" not in done.stdout


def _line(datagram):
    message = Message.decode(datagram.data)
    return str(message.code).removeprefix("0.0"), "/".join(message.opt.uri_path)
