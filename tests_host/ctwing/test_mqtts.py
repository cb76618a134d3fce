"""MQTTS: who trusts the platform's CA connects, who does not is not let down to plain text; asked by paho, by openssl
and by mosquitto."""

import asyncio
import datetime
import ssl
import subprocess

import pytest
from cryptography import x509

from tests_host.conftest import judge
from tests_host.ctwing.stream_device import TOKEN, Loopback, connect, on_unix_time, publish
from tests_host.ctwing.test_mqtt_judges import JSON, Paho, run, told
from tools.ctwing.aep import Aep
from tools.ctwing.tls import Authority
from tools.world.clock import WorldLoop
from tools.world.events import Events

NOW = 1_795_392_000


def test_paho_connects_with_the_ca_and_its_peer_is_named_as_secure(tmp_path):
    async def main():
        async with Loopback() as here:
            device, address = here.create(protocol="mqtt"), await here.open("mqtts")
            (tmp_path / "ca.pem").write_text(here.aep.ca_pem)
            client = Paho(device, TOKEN)
            client.client.tls_set(str(tmp_path / "ca.pem"))
            await asyncio.to_thread(client.start, *address)
            await told(client.told)
            info = client.client.publish("topic/data", JSON, 1)
            await asyncio.to_thread(info.wait_for_publish, 10)
            await here.until(lambda: len(here.aep.uplinks(device)) == 1)
            assert here.aep.uplinks(device)[0].kind == "MQTTS QoS 1"
            assert {row.peer.split(" by ")[1] for row in here.aep.trace(device)} == {"MQTTS"}
            assert here.aep.registrations(device)[0].binding == "MQTTS"
            await asyncio.to_thread(client.stop)

    on_unix_time(main())


@pytest.mark.parametrize("trust", ["nobody of ours", "another CA", "another name"])
def test_who_trusts_another_is_refused_and_nothing_is_sent(trust):
    async def main():
        async with Loopback() as here:
            here.create(protocol="mqtt")
            host, port = await here.open("mqtts")
            context = ssl.create_default_context()
            if trust != "nobody of ours":
                ca = here.aep.ca_pem if trust == "another name" else Authority(here.loop.time() - 5).ca_pem
                context.load_verify_locations(cadata=ca)
            name = "evil.example" if trust == "another name" else host
            with pytest.raises(ssl.SSLError) as caught:
                await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
            assert "verify failed" in str(caught.value) and here.aep.trace() == []
            await here.until(lambda: here.reasons("malformed"))
            assert "by MQTTS closed: TLS handshake: gone before the end (perhaps" in here.reasons("malformed")[0]

    on_unix_time(main())


def test_plain_bytes_on_the_secure_port_get_no_answer():
    async def main():
        async with Loopback() as here:
            device = here.create(protocol="mqtt")
            stream = await here.connect("mqtts")
            stream.send(connect(device, TOKEN))
            assert b"\x20\x02" not in await stream.closed()
            assert not here.aep.device(device).online
            assert "TLS handshake: wrong version number (the device does not" in here.reasons("malformed")[0]

    on_unix_time(main())


@pytest.mark.parametrize(("name", "version"), [
    ("mqtt.ctwing.cn", "-tls1_2"), ("2000033383.non-nb.ctwing.cn", "-tls1_3"),
])
def test_openssl_verifies_the_platforms_own_names(tmp_path, name, version):
    openssl = judge("openssl")

    async def main():
        async with Loopback() as here:
            host, port = await here.open("mqtts")
            (tmp_path / "ca.pem").write_text(here.aep.ca_pem)
            command = [openssl, "s_client", "-connect", f"{host}:{port}", "-CAfile", str(tmp_path / "ca.pem"),
                       "-verify_return_error", "-verify_hostname", name, version]
            done = await asyncio.to_thread(subprocess.run, command, input=b"Q\n", capture_output=True, timeout=30)
            assert b"Verify return code: 0 (ok)" in done.stdout, done.stderr

    on_unix_time(main())


@pytest.mark.parametrize("trusted", [True, False])
def test_mosquitto_pub_reports_over_tls_only_where_it_trusts(tmp_path, trusted):
    judge("mosquitto_pub")

    async def main():
        async with Loopback() as here:
            device, address = here.create(protocol="mqtt"), await here.open("mqtts")
            (tmp_path / "ca.pem").write_text(here.aep.ca_pem)
            ca = str(tmp_path / "ca.pem") if trusted else "/etc/ssl/certs/ca-certificates.crt"
            process = await run("mosquitto_pub", *address, device, "-t", "t", "-m", JSON, "-q", "1", "--cafile", ca)
            await asyncio.wait_for(process.communicate(), 20)
            assert (process.returncode == 0) == trusted
            assert len(here.aep.uplinks(device)) == trusted
            said = [] if trusted else ["unknown ca (the device does not trust this platform's CA)"]
            assert [text.split("alert ")[1] for text in here.reasons("malformed")] == said

    on_unix_time(main())


def test_certificates_are_valid_around_the_worlds_time_and_of_one_length():
    def made():
        loop = WorldLoop(NOW)
        aep = Aep(loop, Events(loop.time))
        ca = x509.load_pem_x509_certificate(aep.ca_pem.encode())
        loop.run_until_complete(aep.start_mqtts())
        aep.stop()
        loop.close()
        return ca

    when = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)
    ca = made()
    assert ca.not_valid_before_utc < when < ca.not_valid_after_utc
    assert ca.not_valid_after_utc - when == datetime.timedelta(days=3650)
    assert len(ca.tbs_certificate_bytes) == len(made().tbs_certificate_bytes)


def test_a_report_over_tls_is_acknowledged_as_over_plain_tcp():
    async def main():
        async with Loopback() as here:
            device, address = here.create(protocol="mqtt"), await here.open("mqtts")
            context = ssl.create_default_context(cadata=here.aep.ca_pem)
            reader, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="mqtt.ctwing.cn")
            writer.write(connect(device, TOKEN) + publish("t", JSON.encode(), 1))
            assert (await reader.readexactly(8)).hex() == "2002000040020001"
            writer.close()

    on_unix_time(main())
