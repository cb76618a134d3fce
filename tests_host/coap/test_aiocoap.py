"""aiocoap judges ours over loopback, in real time: its client asks our device, we pull from its server."""

import asyncio
import threading

import aiocoap
import aiocoap.resource
import pytest
from aiocoap.numbers.codes import Code

from coap import message as m
from coap import pull
from m2m import client as c
from tests_host.coap.over_udp import LIMIT_S, LONG, Caller, Served
from tools.loopback import free_port

BODY = bytes(at * 7 & 255 for at in range(20000))


@pytest.fixture
def served():
    with Served() as device:
        yield device


def talk(served, conversation):
    """Runs `conversation(ask)` where `await ask(code, path, ...)` is aiocoap's response to one request."""

    async def main():
        context = await aiocoap.Context.create_client_context(transports=["udp6"])

        async def ask(code, path, payload=b"", szx=6, **options):
            uri = f"coap://127.0.0.1:{served.port}/{path}"
            message = aiocoap.Message(code=code, uri=uri, payload=payload, **options)
            await context.find_remote_and_interface(message)
            message.remote.maximum_block_size_exp = szx
            return await context.request(message).response

        ask.context = context
        try:
            return await asyncio.wait_for(conversation(ask), LIMIT_S)
        finally:
            await context.shutdown()

    return asyncio.run(main())


# its client, our device


def test_reads_by_aiocoap_in_blocks_and_without(served):
    async def conversation(ask):
        large = await ask(Code.GET, "3/0/17")
        small = await ask(Code.GET, "4/0/8")
        negotiated = await ask(Code.GET, "3/0/17", szx=2)
        return large, small, negotiated

    large, small, negotiated = talk(served, conversation)
    assert large.payload.decode() == LONG and large.code == Code.CONTENT and large.opt.content_format == 0
    assert small.payload == b"94537995" and negotiated.payload.decode() == LONG


def test_a_downlink_in_blocks_by_aiocoap_arrives_whole_and_once(served):
    for szx in (2, 4, 5):

        async def conversation(ask, szx=szx):
            return await ask(Code.PUT, "19/1/0", BODY[:1000], szx, content_format=42)

        response = talk(served, conversation)
        assert response.code == Code.CHANGED and served.kept == [BODY[:1000]]
        assert 16 << szx <= max(served.sizes) < (16 << szx) + 40
        served.kept.clear()
        served.sizes.clear()


def test_a_downlink_that_is_too_large_is_refused_to_aiocoap(served):
    async def conversation(ask):
        return await ask(Code.PUT, "19/1/0", BODY[:3000], content_format=42)

    assert talk(served, conversation).code == Code.REQUEST_ENTITY_TOO_LARGE and served.kept == []


def test_writes_attributes_discover_and_refusals_by_aiocoap(served):
    async def conversation(ask):
        return [
            await ask(Code.PUT, "1/0/1", b"600", content_format=0),
            await ask(Code.POST, "3/0/4"),
            await ask(Code.PUT, "3/0/9?pmin=10&gt=80"),
            await ask(Code.GET, "3/0/9", accept=40),
            await ask(Code.DELETE, "3/0"),
            await ask(Code.GET, "9/0"),
            await ask(Code.PUT, "1/0/1", b"1", if_none_match=True),
        ]

    answers = talk(served, conversation)
    assert [str(answer.code).split()[0] for answer in answers] == [
        "2.04", "2.04", "2.04", "2.05", "4.05", "4.04", "4.02",
    ]  # fmt: skip
    assert answers[3].payload == b"</3/0/9>;gt=80;pmin=10" and answers[3].opt.content_format == 40
    assert served.device.written == [(1, {1: 600}, False), (3, 4, b"")]


def test_aiocoap_observes_is_notified_and_cancels(served):
    async def conversation(ask):
        uri = f"coap://127.0.0.1:{served.port}/"
        for path, value in (("3/0/9", 12), ("3/0/17", LONG.lower())):
            request = ask.context.request(aiocoap.Message(code=Code.GET, uri=uri + path, observe=0))
            first = await request.response
            assert first.opt.observe == 0
            watched, address = served.wait(c.OBSERVED)
            assert watched == path
            notifications = request.observation.__aiter__()
            served.device.values[3, int(path[4:])] = value
            served.notify(address, path, 5)
            assert (await notifications.__anext__()).payload.decode() == str(value)
            await asyncio.get_running_loop().run_in_executor(None, served.wait, c.DELIVERED)
            request.observation.cancel()

    talk(served, conversation)


# our puller, its server


class Large(aiocoap.resource.Resource):
    async def render_get(self, request):
        return aiocoap.Message(payload=BODY)


@pytest.fixture
def server():
    port = free_port()
    site = aiocoap.resource.Site()
    site.add_resource(["large"], Large())
    started, stop = threading.Event(), []

    def run():
        async def main():
            context = await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", port), transports=["udp6"])
            end = asyncio.Event()
            stop.append((asyncio.get_running_loop(), end))
            started.set()
            await end.wait()
            await context.shutdown()

        asyncio.run(main())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(LIMIT_S)
    yield port
    loop, end = stop[0]
    loop.call_soon_threadsafe(end.set)
    thread.join(LIMIT_S)
    assert not thread.is_alive()


def test_a_large_resource_of_aiocoap_is_pulled(server):
    for szx in (3, 5, 6):
        got = bytearray()
        with Caller(server, 0x1000 * szx) as caller:
            options = m.path_options(m.URI_PATH, "large")
            puller = pull.Pull(caller.exchange, options, lambda at, data, got=got: got.extend(data), 65536, szx)
            assert caller.pull(puller) == (pull.PULLED, len(BODY))
            assert caller.exchange.stray == 0
        assert bytes(got) == BODY
