"""The figures of a report by MQTT and TCP, against counts made by hand and another client's."""

import socket
import threading

import pytest

from tests_host.conftest import judge
from tools.bench import mqtt, sheets, tcp
from tools.bench.device import BenchError
from tools.bench.wire import Proxy

STREAMS = (*mqtt.PLAYERS, "tcp_1.0", "tcp_1.1")
COLD = {"up": {"datagrams": 3, "bytes": 300}, "down": {"datagrams": 3, "bytes": 120}}


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mqtt, "RUNS", 1)
        return mqtt.measure()


def test_a_report_takes_the_bytes_of_its_packets(found):
    # CONNECT 2 + 10 + (2 + 23) + (2 + 23) + (2 + 43), PUBLISH 2 + (2 + 10) + 2 + 64, DISCONNECT 2; CONNACK, PUBACK
    expected = {"up": {"count": 3, "bytes": 107 + 80 + 2}, "down": {"count": 2, "bytes": 4 + 4}}
    for name in mqtt.PLAYERS:
        assert found[name]["packets"] == expected, name


def test_a_report_by_tcp_takes_the_bytes_of_its_frames(found):
    # login 1 + (2 + 23) + (2 + 43) + (2 + 3), 02 1 + 2 + 64, 04; login result, 06
    up, down = {"count": 3, "bytes": 76 + 67 + 1}, {"count": 2, "bytes": 3 + 1}
    assert found["tcp_1.0"]["packets"] == {"up": up, "down": down}
    # message id and service id in 02; 82 1 + 2 + 4
    up, down = {"count": 2, "bytes": 76 + 71}, {"count": 2, "bytes": 3 + 7}
    assert found["tcp_1.1"]["packets"] == {"up": up, "down": down}


def test_segments_on_loopback_are_those_bytes_and_headers(found):
    judge("tshark")
    for name in STREAMS:
        counted = found[name]["segments"]
        if counted is None:
            pytest.skip("dumpcap may not capture here: run as root, or setcap cap_net_raw+eip dumpcap")
        for way, packets in found[name]["packets"].items():
            headers = counted[way]["bytes"] - packets["bytes"]
            # IPv4's 20, TCP's 20 and at most 20 or 40 of options
            assert 40 * counted[way]["count"] <= headers <= 80 * counted[way]["count"]
            assert counted[way]["count"] >= 3


def test_the_sheet_shows_what_was_counted(found):
    for segments in (found["ours"]["segments"], None):
        some = {**found, "ours": {**found["ours"], "segments": segments}}
        sheet = sheets.reported({"mqtt": some, "exchanges": {"cold": {"each_way": COLD}}, "payload_bytes": 64})
        lwm2m, ours = sheet.rows[:2]
        assert lwm2m == ("LwM2M, ours", "216 in 3", "36 in 3", "300 in 3", "120 in 3", "420 in 6")
        assert ours[:3] == ("MQTT, ours", "189 in 3", "8 in 2") and len(sheet.rows) == 1 + len(STREAMS)
        assert all(len(row) == len(sheet.head) for row in sheet.rows)
        if segments is None:
            assert ours[3:] == ("", "", "")
        else:
            up, down, total = (list(map(int, cell.split(" in "))) for cell in ours[3:])
            assert total == [up[0] + down[0], up[1] + down[1]] and up[0] == segments["up"]["bytes"]


def test_packets_are_counted_by_their_lengths():
    assert mqtt.packets(b"") == {"count": 0, "bytes": 0}
    assert mqtt.packets(b"\xc0\0\x30\x83\0abc\xe0\0") == {"count": 3, "bytes": 10}
    assert mqtt.packets(b"\x30\x80\x01" + bytes(128)) == {"count": 1, "bytes": 131}
    with pytest.raises(BenchError):
        mqtt.packets(b"\x30\5ab")


def test_frames_are_counted_by_their_lengths():
    assert tcp.frames(b"") == {"count": 0, "bytes": 0}
    assert tcp.frames(b"\1\0\1a\0\0\0\2bc\2\0\1x\4\5\0\0\6\x82\0\4\0\1\0\0") == {"count": 6, "bytes": 26}
    with pytest.raises(BenchError):
        tcp.frames(b"\2\0\5ab")


def test_a_report_that_the_platform_has_not_is_no_figure():
    with pytest.raises(BenchError, match="not each report once"), \
            tcp.platform(mqtt.NUMBER, mqtt.PASSWORD, b"another") as (port, devices):
        tcp.ours(port, "1.0", devices["1.0"], mqtt.PASSWORD, mqtt.REPORT)


def test_the_proxy_passes_on_what_it_counts():
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = Proxy(server.getsockname()[1])
        heard = []

        def ask(port):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"question")
                assert client.recv(100) == b"yes"

        def answer():
            with server.accept()[0] as end:
                heard.append(end.recv(100))
                end.sendall(b"yes")

        thread = threading.Thread(target=answer)
        thread.start()
        proxy.play(ask)
        thread.join()
    assert heard == [b"question"] and proxy.said == {"up": b"question", "down": b"yes"}
