"""A device made of raw bytes that talks to the platform over real UDP on loopback: nothing here is the AEP's codec."""

import asyncio
from typing import Any

IMEI, IMSI = "868543060974334", "460115472446714"  # the guide's example device (guide §6)


class Wire(asyncio.DatagramProtocol):
    """A device's socket: sends bytes, hands out bytes."""

    def __init__(self, platform: tuple[str, int]) -> None:
        self.platform = platform
        self.came: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.came.put_nowait(data)

    def send(self, data: bytes | str) -> None:
        self.transport.sendto(bytes.fromhex(data) if isinstance(data, str) else data, self.platform)

    async def receive(self, within: float = 1.0) -> bytes:
        return await asyncio.wait_for(self.came.get(), within)

    async def silent(self, seconds: float = 1.0) -> bool:
        """Whether nothing comes for so long."""
        await asyncio.sleep(seconds)
        return self.came.empty()

    async def ask(self, data: bytes | str) -> bytes:
        self.send(data)
        return await self.receive()

    # messages by hand, RFC 7252 §3

    async def register(self, mid: int = 1, ep: str = IMEI, lt: str = "86400", more: tuple[str, ...] = ()) -> bytes:
        return await self.ask(register(mid, ep, lt, more=more))

    async def observed(self) -> bytes:
        """Answers the platform's three requests after a registration; returns the token of /19/0/0."""
        token = b""
        for body in (b"\x60\xff\xc8\x00\x00", b"\x60\x61\x2a", b"\xc0\xff1"):  # 3/0, 19/0/0 empty, 4/0/8
            request = await self.receive()
            if b"\x0219\x010\x010" in request or b"\x5219\x010\x010" in request:
                token = token_of(request)
            self.send(answer(request, 0x45, body))
        return token

    async def notify(self, mid: int, token: bytes, payload: bytes = b"helloworld") -> bytes:
        return await self.ask(notification(mid, token, payload))

    def close(self) -> None:
        self.transport.close()


def token_of(message: bytes) -> bytes:
    return message[4:4 + (message[0] & 15)]


def mid_of(message: bytes) -> int:
    return int.from_bytes(message[2:4], "big")


def payload_of(message: bytes) -> bytes:
    return message.split(b"\xff", 1)[1]


def answer(request: bytes, code: int, rest: bytes = b"") -> bytes:
    """A piggybacked response."""
    return bytes([0x60 | request[0] & 15, code]) + request[2:4] + token_of(request) + rest


def notification(mid: int, token: bytes, payload: bytes, kind: int = 0, options: bytes = b"\x61\x01\x61\x2a") -> bytes:
    """2.05 with Observe 1 and Content-Format 42; kind 0 CON, 1 NON."""
    body = b"\xff" + payload if payload else b""
    return bytes([0x40 | kind << 4 | len(token), 0x45]) + mid.to_bytes(2, "big") + token + options + body


def option(delta: int, value: bytes) -> bytes:
    """One option with a delta below 13."""
    if len(value) < 13:
        return bytes([delta << 4 | len(value)]) + value
    return bytes([delta << 4 | 13, len(value) - 13]) + value


def register(mid: int, ep: str = IMEI, lt: str = "86400", version: str = "1.0", more: tuple[str, ...] = (),
             kind: int = 0) -> bytes:
    items = [f"lwm2m={version}", f"ep={ep}", "b=U", f"lt={lt}", *more]
    query = b"".join(option(3 if n == 0 else 0, item.encode()) for n, item in enumerate(items))
    return bytes([0x41 | kind << 4, 2]) + mid.to_bytes(2, "big") + b"\x01\xb2rd\x11\x28" + query + b"\xff</1/0>,</19/0>"


def on_session(mid: int, code: int, ep: str = IMEI, rest: bytes = b"", kind: int = 0) -> bytes:
    """A request to rd/<ep>: code 2 updates, 4 deregisters."""
    path = b"\xb2rd" + option(0, ep.encode())
    return bytes([0x41 | kind << 4, code]) + mid.to_bytes(2, "big") + b"\x05" + path + rest
