"""The figures of a report by MQTT, against counts made by hand and another client's."""

import socket
import threading

import pytest

from tests_host.conftest import judge
from tools.bench import mqtt, sheets
from tools.bench.device import BenchError


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


def test_segments_on_loopback_are_those_bytes_and_headers(found):
    judge("tshark")
    for name in mqtt.PLAYERS:
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
        sheet = sheets.reported({"mqtt": some, "payload_bytes": 64})
        assert sheet.rows[0][1:3] == ("189 in 3", "8 in 2") and len(sheet.rows) == 3
        assert all(len(row) == len(sheet.head) for row in sheet.rows)
        assert (sheet.rows[0][3] == "") is (segments is None)


def test_packets_are_counted_by_their_lengths():
    assert mqtt.packets(b"") == {"count": 0, "bytes": 0}
    assert mqtt.packets(b"\xc0\0\x30\x83\0abc\xe0\0") == {"count": 3, "bytes": 10}
    assert mqtt.packets(b"\x30\x80\x01" + bytes(128)) == {"count": 1, "bytes": 131}
    with pytest.raises(BenchError):
        mqtt.packets(b"\x30\5ab")


def test_the_proxy_passes_on_what_it_counts():
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = mqtt.Proxy(server.getsockname()[1])
        heard = []

        def answer():
            with server.accept()[0] as end:
                heard.append(end.recv(100))
                end.sendall(b"yes")

        thread = threading.Thread(target=answer)
        thread.start()
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(b"question")
            assert client.recv(100) == b"yes"
        thread.join()
        proxy.join()
    assert heard == [b"question"] and proxy.said == {"up": b"question", "down": b"yes"}
