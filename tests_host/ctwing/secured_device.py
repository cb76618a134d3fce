"""A device of raw bytes before the platform's DTLS front, without a socket: what it sends is taken at once."""

import asyncio

from tests_host.ctwing.dtls_peer import Client
from tests_host.ctwing.raw_device import IMEI, answer, notification, register, token_of

EP = "urn:imei:" + IMEI


class Air:
    """The front's endpoint: what it sends waits for who listens at that address."""

    def __init__(self, front):
        self.front, self.waiting = front, {}
        front.connection_made(self)

    def at(self, wire):
        return self.waiting.setdefault(tuple(wire), asyncio.Queue())

    def sendto(self, data, wire):
        self.at(wire).put_nowait(data)

    def close(self):
        pass


class SecuredDevice:
    """`wire` is where it is heard, and may be changed; `said` is every datagram of the platform, as it came."""

    def __init__(self, air, psk, wire=("192.0.2.1", 5684), **client):
        self.air, self.wire, self.said = air, wire, []
        self.client = Client(psk=psk, **client)

    def receive(self, datagram):
        """What dtls_peer.Client asks of a server."""
        self.air.front.datagram_received(datagram, self.wire)
        out, came = [], self.air.at(self.wire)
        while not came.empty():
            out.append(came.get_nowait())
        self.said += out
        return out, []

    def connect(self):
        self.client.connect(self)
        return self

    def send(self, message):
        self.air.front.datagram_received(self.client.send(message), self.wire)

    async def came(self, within=1.0):
        """The next CoAP message, deciphered; or the alert (level, code)."""
        data = await asyncio.wait_for(self.air.at(self.wire).get(), within)
        self.said.append(data)
        [(kind, _, content)] = self.client.open(data)
        return content if kind == 23 else tuple(content)

    async def silent(self, seconds=1.0):
        await asyncio.sleep(seconds)
        return self.air.at(self.wire).empty()

    async def ask(self, message):
        self.send(message)
        return await self.came()

    async def register(self, mid=1, ep=EP):
        return await self.ask(register(mid, ep))

    async def observed(self):
        """Answers what the platform asks after a registration; the token of /19/0/0."""
        token = b""
        for body in (b"\x60\xff\xc8\x00\x00", b"\x60\x61\x2a", b"\xc0\xff1"):
            request = await self.came()
            if b"\x0219\x010\x010" in request or b"\x5219\x010\x010" in request:
                token = token_of(request)
            self.send(answer(request, 0x45, body))
        return token

    async def notify(self, mid, token, payload=b"helloworld"):
        return await self.ask(notification(mid, token, payload))
