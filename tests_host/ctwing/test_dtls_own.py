"""Our own DTLS server before clients of others: openssl, libcoap with two libraries, mbedtls; tshark reads records.

What only the client of dtls_peer.py can ask is in test_dtls_own_wire.py.
"""

import contextlib
import subprocess
import time

import pytest

from tests_host.conftest import judge
from tests_host.ctwing.dtls_peer import IDENTITY, LIMIT_S, PSK, Client, Served, engine
from tools.ctwing.dtls_own_state import Options
from tools.ctwing.store import TraceRow
from tools.ctwing.trace import write_pcap

CCM_8, CBC = "PSK-AES128-CCM8", "PSK-AES128-CBC-SHA256"


def openssl(served, cipher=CCM_8, psk=PSK, identity=IDENTITY, wait=0.0):
    """What its client wrote, errors too. `wait`: seconds after the answer, before it ends."""
    command = [judge("openssl"), "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{served.port}", "-psk", psk.hex(),
               "-psk_identity", identity, "-cipher", f"{cipher}:@SECLEVEL=0"]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        out = b""
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(b"hello\n")
            until = time.monotonic() + LIMIT_S
            while b"HELLO" not in out and (part := process.stdout.read(4096)):
                out += part
                assert time.monotonic() < until, out
            time.sleep(wait)
            process.stdin.close()
            out += process.stdout.read()
        finally:
            process.kill()
    return out.decode(errors="replace")


OPTIONS = (
    Options(),
    Options(cookie=0, hint=b"ctwing", extended_master_secret=False),
    Options(cookie=16, fragment=20, one_each=True, resumption=False),
    Options(fragment=7, reorder=True),
)


@pytest.mark.parametrize("cipher", (CCM_8, CBC))
@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
def test_openssl_talks_to_it_in_both_suites(cipher, options):
    with Served(engine(options)) as served:
        told = openssl(served, cipher)
    assert "HELLO" in told and f"Cipher    : {cipher}" in told
    assert f"Extended master secret: {'yes' if options.extended_master_secret else 'no'}" in told
    assert "Secure Renegotiation IS supported" in told
    assert "hint: ctwing" in told or options.hint is None
    assert served.plain == [(IDENTITY, b"hello\n")] and served.ends[-1] == "close_notify received"


@pytest.mark.parametrize("lost", ((1, 2), (3,), (4,), (5,), (6, 7)))
def test_openssl_gets_through_with_datagrams_lost(lost):
    with Served(engine(), lost=lost) as served:
        assert "HELLO" in openssl(served)


def test_openssl_gets_through_with_datagrams_overtaking():
    with Served(engine(Options(one_each=True)), held=(3, 4, 6, 8)) as served:
        assert "HELLO" in openssl(served)


@pytest.mark.parametrize(
    ("told", "options", "spoilt"),
    (
        ("alert unknown psk identity", Options(), {"identity": "nobody"}),
        ("alert decrypt error", Options(unknown_identity=51), {"identity": "nobody"}),
        ("alert bad record mac", Options(), {"psk": b"another key"}),
        ("alert decrypt error", Options(unreadable_finished=51), {"psk": b"another key"}),
        ("alert handshake failure", Options(), {"cipher": "PSK-AES256-CCM8"}),
        ("alert internal error", Options(wrong=("alert-to-hello",)), {}),
        ("alert access denied", Options(wrong=("alert-to-finished",), alert=49), {}),
    ),
)
def test_openssl_reads_its_alerts(told, options, spoilt):
    with Served(engine(options)) as served:
        assert told in openssl(served, **spoilt)
    assert served.plain == []


# What openssl's client says to a server that is wrong.
COMPLAINTS = {
    "alert-later": "alert internal error",
    "alert-to-finished": "alert internal error",
    "alert-to-hello": "alert internal error",
    "certificate": "unexpected message",
    "compression": "compression disabled",
    "data-in-plain": "unexpected record",
    "done-twice": "unexpected message",
    "finished": "digest check failed",
    "hello-last": "unexpected message",
    "hello-request": "no renegotiation",
    "hello-twice": "unexpected message",
    "hint-after-done": "unexpected message",
    "repeated-extension": "bad extension",
    "unoffered-suite": "wrong cipher returned",
    "version": "unsupported protocol",
}


@pytest.mark.parametrize("name", sorted(COMPLAINTS))
def test_openssl_finds_what_the_server_does_wrong_on_purpose(name):
    with Served(engine(Options(wrong=(name,)))) as served:
        assert COMPLAINTS[name] in openssl(served)


@pytest.mark.parametrize("library", ("openssl", "gnutls"))
@pytest.mark.parametrize("options", OPTIONS[:3], ids=range(3))
def test_libcoap_asks_over_it(library, options):
    client = judge(f"libcoap-{library}")
    with Served(engine(options)) as served:
        command = [client, "-B", "8", "-k", PSK.decode(), "-u", IDENTITY, f"coaps://127.0.0.1:{served.port}/x"]
        done = subprocess.run(command, capture_output=True, timeout=LIMIT_S)
    assert done.stdout.strip() == b"served", done.stderr
    assert [identity for identity, _ in served.plain] == [IDENTITY]


def mbedtls_client(suite):
    tls = pytest.importorskip("mbedtls.tls", reason="python-mbedtls has no wheel for this machine")
    configuration = tls.DTLSConfiguration(pre_shared_key=(IDENTITY, PSK), ciphers=(suite,), validate_certificates=False)
    return tls, tls.ClientContext(configuration).wrap_buffers(None)


@pytest.mark.parametrize("suite", ("TLS-PSK-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-128-CBC-SHA256"))
@pytest.mark.parametrize("options", OPTIONS[:3], ids=range(3))
def test_mbedtls_talks_to_it_without_a_socket(suite, options):
    tls, client = mbedtls_client(suite)
    session = engine(options).session("here")
    for _ in range(20):
        with contextlib.suppress(tls.WantReadError, tls.WantWriteError, tls.HelloVerifyRequest):
            client.do_handshake()
        out = client.peek_outgoing(4096)
        client.consume_outgoing(len(out))
        for datagram in session.receive(out)[0]:
            client.receive_from_network(datagram)
        if session.established:
            break
    assert session.established and session.identity == IDENTITY
    client.do_handshake()
    client.write(b"up")
    assert session.receive(client.peek_outgoing(4096)) == ([], [b"up"])
    [down] = session.send(b"down")
    client.receive_from_network(down)
    assert client.read(100) == b"down"


def captured(cid, folder, options):
    """A conversation in a capture: a handshake, data each way."""
    server = engine(options)
    session, rows = server.session("a"), []
    receive = session.receive

    def noted(datagram):
        out, plain = receive(datagram)
        for direction, raw in [("up", datagram), *(("down", one) for one in out)]:
            rows.append(TraceRow(len(rows), float(len(rows)), direction, "a", raw, "a"))
        return out, plain

    session.receive = noted
    client = Client(cid=cid).connect(session)
    session.receive(client.send(b"from the meter"))
    [down] = session.send(b"from the platform")
    client.open(down)
    rows.append(TraceRow(len(rows), float(len(rows)), "down", "a", down, "a"))
    write_pcap(folder / "cid.pcap", rows)
    return rows


@pytest.mark.parametrize("cid", (b"", b"meter", None))
def test_tshark_decrypts_a_session_with_connection_ids_and_finds_nothing_malformed(cid, tmp_path):
    rows = captured(cid, tmp_path, Options(cid_padding=5))
    command = [judge("tshark"), "-r", str(tmp_path / "cid.pcap"), "-d", "udp.port==5683,dtls", "-o",
               f"dtls.psk:{PSK.hex()}", "-T", "fields", "-E", "separator=|"]  # fmt: skip
    for name in ("dtls.handshake.type", "data.data", "_ws.malformed", "_ws.expert.message"):
        command += ["-e", name]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    told = [line.split("|") for line in lines]
    assert len(told) == len(rows) and not any(malformed or expert for *_, malformed, expert in told)
    assert [types for types, *_ in told] == ["1", "3", "1", "2,14", "16,20", "20", "", ""], "both Finished are opened"
    assert [bytes.fromhex(data) for _, data, *_ in told[-2:]] == [b"from the meter", b"from the platform"]
