"""Clients of others before the platform's DTLS front, over real UDP in real time: openssl, libcoap with two libraries,
Mbed TLS; and tshark, which opens the network's datagrams with the PSK. With both engines."""

import asyncio
import subprocess

import pytest

from tests_host.conftest import judge
from tests_host.ctwing.raw_device import IMEI, Wire, register
from tests_host.ctwing.secured_device import EP, Air, SecuredDevice
from tools.ctwing.aep import Aep
from tools.ctwing.trace import write_raw_pcap
from tools.world.events import Events
from tools.world.network import Datagram

ENGINES = {"mbedtls": {}, "own": {"resumes": True}}
PSK = "TYvoiTk34D3NZ6GN"
SUITES = {"PSK-AES128-CCM8": "TLS_PSK_WITH_AES_128_CCM_8",
          "PSK-AES128-CBC-SHA256": "TLS_PSK_WITH_AES_128_CBC_SHA256"}
LIMIT_S = 20


class Platform:
    def __init__(self, loop, engine):
        self.events = Events(loop.time)
        self.aep = Aep(loop, self.events, **ENGINES[engine])
        product = self.aep.create_product("meter", endpoint_format="urn:imei", encryption="dtls")
        self.device = self.aep.create_device(product, name="m", imei=IMEI, psk=PSK)
        self.port = 0

    async def told(self, kind):
        """The first event of this kind, as soon as there is one."""
        for _ in range(LIMIT_S * 20):
            if self.events.of(kind):
                return self.events.of(kind)[0]
            await asyncio.sleep(0.05)
        raise AssertionError(f"no {kind} in {[(event.kind, event.text) for event in self.events.log]}")


def run(engine, work):
    async def around():
        platform = Platform(asyncio.get_running_loop(), engine)
        try:
            platform.port = (await platform.aep.start_dtls())[1]
            return await asyncio.wait_for(work(platform), 3 * LIMIT_S)
        finally:
            platform.aep.stop()
            platform.aep.store.close()

    return asyncio.run(around())


async def openssl(platform, *options, say=b"", until=b""):
    """What openssl's client wrote, until it ends or has written that."""
    process = await asyncio.create_subprocess_exec(
        judge("openssl"), "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{platform.port}", *options,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = b""
    try:
        if say:
            process.stdin.write(say)
        while not until or until not in out:
            part = await asyncio.wait_for(process.stdout.read(4096), LIMIT_S)
            if not part:
                break
            out += part
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()
    return out


def key(psk=PSK, identity=IMEI, cipher="PSK-AES128-CCM8"):
    return "-psk", psk.encode().hex(), "-psk_identity", identity, "-cipher", f"{cipher}:@SECLEVEL=0"


@pytest.mark.parametrize("cipher", SUITES)
def test_openssl_registers_in_both_suites(engine, cipher):
    async def work(platform):
        message = register(0x4242, EP)
        out = await openssl(platform, "-quiet", *key(cipher=cipher), say=message, until=b"\x61\x41\x42\x42")
        assert b"\x61\x41\x42\x42" in out, out
        told = await platform.told("dtls")
        assert (told.data["suite"], told.data["datagrams"]) == (SUITES[cipher], 6)
        assert platform.aep.registrations(platform.device)[0].peer.endswith(" by DTLS")

    run(engine, work)


@pytest.mark.parametrize(("options", "alert", "kind"), [
    (key(psk="TYvoiTk34D3NZ6GO"), b"bad record mac", "dtls"),
    (key(identity="868543060974335"), b"unknown psk identity", "dtls-refused"),
    (key(cipher="PSK-AES256-CCM8"), b"handshake failure", "dtls"),
])
def test_openssl_reads_why_it_is_refused(engine, options, alert, kind):
    async def work(platform):
        assert b"alert " + alert in await openssl(platform, *options)
        await platform.told(kind)

    run(engine, work)


@pytest.mark.parametrize("switch", ["silent-handshake", "lost-finished"])
def test_openssl_waits_in_vain_where_the_platform_is_silent_and_gets_through_when_it_is_not(engine, switch):
    async def work(platform):
        platform.aep.fault(switch, strikes=1)
        message = register(1, EP)
        assert b"\x61\x41\0\1" in await openssl(platform, "-quiet", *key(), say=message, until=b"\x61\x41\0\1")
        assert not platform.aep.front.faults.on(), "the strike is over"

    run(engine, work)


@pytest.mark.parametrize("library", ["openssl", "gnutls"])
def test_libcoap_registers(engine, library):
    client = judge(f"libcoap-{library}")

    async def work(platform):
        url = f"coaps://127.0.0.1:{platform.port}/rd?lwm2m=1.0&ep={EP}&b=U&lt=300"
        process = await asyncio.create_subprocess_exec(
            client, "-B", "8", "-m", "post", "-k", PSK, "-u", IMEI, url, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        out, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
        assert (await platform.told("register")).data["endpoint"] == EP, out

    run(engine, work)


@pytest.mark.parametrize("cipher", SUITES.values())
def test_mbedtls_registers(engine, cipher):
    tls = pytest.importorskip("mbedtls.tls", reason="python-mbedtls has no wheel for this Python")
    configuration = tls.DTLSConfiguration(pre_shared_key=(IMEI, PSK.encode()), ciphers=(cipher.replace("_", "-"),),
                                          validate_certificates=False)

    async def work(platform):
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_datagram_endpoint(
            lambda: Wire(("127.0.0.1", platform.port)), local_addr=("127.0.0.1", 0))
        client = tls.ClientContext(configuration).wrap_buffers(None)

        def outgoing():
            data = client.peek_outgoing(4096)
            client.consume_outgoing(len(data))
            if data:
                wire.send(data)

        while client._handshake_state.name != "HANDSHAKE_OVER":
            try:
                client.do_handshake()
            except tls.WantReadError:
                client.receive_from_network(await wire.receive(5))
            except tls.WantWriteError:
                outgoing()
        client.write(register(7, EP))
        outgoing()
        client.receive_from_network(await wire.receive(5))
        assert client.read(100)[:4] == b"\x61\x41\0\7"
        wire.close()

    run(engine, work)


# tshark


def captured(world, engine):
    """A registration as a network would have seen it."""
    aep = world.aep(**ENGINES[engine])
    product = aep.create_product("meter", endpoint_format="urn:imei", encryption="dtls")
    aep.create_device(product, name="m", imei=IMEI, psk=PSK)
    trace, local, remote = [], ("10.1.2.3", 49152), ("221.229.214.202", 5684)
    air = Air(aep.dtls)

    def noted(way, inner):
        def call(data, *rest):
            trace.append(Datagram(len(trace), way, data, False, local, remote))
            return inner(data, *rest)

        return call

    aep.dtls.datagram_received = noted("up", aep.dtls.datagram_received)
    air.sendto = noted("down", air.sendto)

    async def work():
        meter = SecuredDevice(air, PSK.encode()).connect()
        await meter.register()
        await meter.came()

    world.run(work)
    return trace


@pytest.mark.parametrize("six", [False, True])
def test_tshark_opens_the_networks_datagrams_with_the_psk_and_finds_nothing_malformed(world, engine, six, tmp_path):
    trace = captured(world, engine)
    if six:
        ends = ("240e::1", 49152), ("240e:980:8120:28:84f4:c0c2:4a95:85f9", 5684)
        trace = [Datagram(one.t_us, one.direction, one.data, False, *ends) for one in trace]
    assert write_raw_pcap(tmp_path / "raw.pcap", trace) == len(trace)
    command = [judge("tshark"), "-r", str(tmp_path / "raw.pcap"), "-o", f"dtls.psk:{PSK.encode().hex()}", "-o",
               "udp.check_checksum:TRUE", "-T", "fields", "-E", "separator=|"]
    for name in ("dtls.handshake.type", "coap.code", "udp.checksum.status", "_ws.malformed", "_ws.expert.message"):
        command += ["-e", name]
    lines = [line.split("|") for line in subprocess.run(command, capture_output=True, text=True, check=True
                                                        ).stdout.splitlines()]
    assert [types for types, *_ in lines[:6]] == ["1", "3", "1", "2,14", "16,20", "20"]
    assert [row[1] for row in lines[6:]] == ["2", "65", "1"], "Register, 2.01, a request of the platform"
    assert all(row[2:] == ["1", "", ""] for row in lines), lines
