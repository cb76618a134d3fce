"""The peer: aiocoap (MIT) as the same device before the same local AEP, its message layer and defaults as they are.

aiocoap knows no LwM2M: what to say is taken from our own device's trace (`Part`), how it is said on the wire is
aiocoap's. It cannot outlive a power-off with its observations, so its resumed report has them still in memory; and the
world's clock, which only moves when everyone waits, keeps the count free of retransmissions.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

import aiocoap
from aiocoap import Message, resource
from aiocoap.numbers.codes import CHANGED, CONTENT, GET, POST
from aiocoap.numbers.contentformat import ContentFormat

from tools.ctwing.aep import Aep
from tools.ctwing.store import TraceRow
from tools.ctwing.transfer import DATA_DOWN, DATA_UP
from tools.module.board import Identity
from tools.world.clock import WorldLoop
from tools.world.events import Events

HOUR = 3600
OPAQUE = ContentFormat(42)


@dataclass(frozen=True)
class Part:
    """What the device says: Register's query and links, {path: (content format, body)} of what the platform asks for,
    a report, a command's body and its answer."""

    query: tuple[str, ...]
    links: bytes
    answers: dict[str, tuple[ContentFormat, bytes]]
    report: bytes
    command: bytes
    answer: bytes


def part_of(rows: list[TraceRow], report: bytes, command: bytes, answer: bytes) -> Part:
    """The part that our device played in the trace of a wake in which it registered."""
    asked: dict[int, str] = {}
    answers = {}
    query, links = (), b""
    for row in rows:
        message = Message.decode(row.raw)
        path = "/" + "/".join(message.opt.uri_path)
        if row.direction == "down" and message.code is GET:
            asked[message.mid] = path
        elif row.direction == "up" and message.code is POST and path == "/rd":
            query, links = message.opt.uri_query, message.payload
        elif row.direction == "up" and message.code is CONTENT and message.mid in asked:
            answers[asked[message.mid]] = (message.opt.content_format, message.payload)
    return Part(query, links, answers, report, command, answer)


class Kept(resource.ObservableResource):
    """A resource whose value does not change; 19/0/0 begins empty."""

    def __init__(self, content_format: ContentFormat, body: bytes) -> None:
        super().__init__()
        self._format, self._body = content_format, body

    async def render_get(self, request: Message) -> Message:
        return Message(payload=self._body, content_format=self._format)

    def report(self, payload: bytes) -> None:
        """Notifies whoever observes."""
        self.updated_state(Message(code=CONTENT, payload=payload, content_format=self._format))


class Downlink(resource.Resource):
    """19/1/0: a command comes, `obey` is called."""

    def __init__(self, obey: Callable[[], None]) -> None:
        super().__init__()
        self._obey = obey

    async def render_put(self, request: Message) -> Message:
        asyncio.get_running_loop().call_later(1, self._obey)
        return Message(code=CHANGED)


def play(part: Part) -> dict[str, list[TraceRow]]:
    """The platform's trace of four exchanges: cold, resumed, warm, command."""
    loop = WorldLoop()
    asyncio.set_event_loop(loop)
    state = random.getstate()
    random.seed(1)  # aiocoap draws its first message id and token
    logging.getLogger("coap-server").setLevel(logging.ERROR)  # it advises against one socket for both directions
    try:
        return loop.run_until_complete(_play(loop, part))
    finally:
        random.setstate(state)
        asyncio.set_event_loop(None)
        loop.close()


async def _play(loop: WorldLoop, part: Part) -> dict[str, list[TraceRow]]:
    aep = Aep(loop, Events(loop.time), token_length=4)
    address = "coap://{}:{}".format(*await aep.start())
    who = Identity()
    device = aep.create_device(aep.create_product("peer"), name="peer", imei=who.imei, imsi=who.imsi)
    uplink = Kept(*part.answers[DATA_UP])
    site = resource.Site()
    for path, answer in part.answers.items():
        site.add_resource(path.strip("/").split("/"), uplink if path == DATA_UP else Kept(*answer))
    site.add_resource(DATA_DOWN.strip("/").split("/"), Downlink(lambda: uplink.report(part.answer)))
    client = await aiocoap.Context.create_server_context(
        site, bind=("127.0.0.1", 0), transports=["simplesocketserver"]
    )
    out: dict[str, list[TraceRow]] = {}

    async def exchange(name: str) -> None:
        await asyncio.sleep(HOUR)
        out[name] = aep.trace()[sum(len(rows) for rows in out.values()) :]

    async def post(path: str, **more: object) -> Message:
        return await client.request(Message(code=POST, uri=address + path, **more)).response_raising

    created = await post("/rd?" + "&".join(part.query), payload=part.links, content_format=ContentFormat.LINKFORMAT)
    location = "/" + "/".join(created.opt.location_path)
    await asyncio.sleep(10)
    uplink.report(part.report)
    await exchange("cold")
    await post(location)
    uplink.report(part.report)
    await exchange("resumed")
    uplink.report(part.report)
    await exchange("warm")
    aep.command(device, part.command, data_type="json")
    uplink.report(part.report)  # fetches it
    await exchange("command")
    await client.shutdown()
    aep.stop()
    await asyncio.sleep(0)
    return out
