"""The platform's chance, all of it from one seed: ids, tokens, first MIDs, acknowledgement timeouts.

Every device has a stream of its own, so that what one device does never changes what another is given.
"""

import base64
import random
import string
from collections import deque
from collections.abc import Callable

ACK_TIMEOUT_MS = (2000, 3000)  # ACK_TIMEOUT 2 s × ACK_RANDOM_FACTOR 1…1.5, RFC 7252 §4.8
RETIRED = 64  # so many tokens of dead observations are not given again: their devices may still notify


class Draws:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[str, random.Random] = {}
        self._retired: deque[bytes] = deque(maxlen=RETIRED)

    def _stream(self, name: str) -> random.Random:
        if name not in self._streams:
            self._streams[name] = random.Random(f"{self._seed}/{name}")
        return self._streams[name]

    def product_id(self) -> int:
        """Eight digits, as 15430077 (ctwing.md §1.1)."""
        return self._stream("product").randrange(15_000_000, 17_000_000)

    def device_id(self) -> str:
        """32 hex digits, ctwing.md §1.1."""
        return f"{self._stream('device').getrandbits(128):032x}"

    def psk(self) -> str:
        """16 letters and digits, as the platform draws them (ctwing.md §2.7)."""
        return "".join(self._stream("psk").choices(string.ascii_letters + string.digits, k=16))

    def token_of_device(self) -> str:
        """特征串: 43 characters, base64url of 32 bytes without padding (ctwing.md §3.1)."""
        key = self._stream("特征串").getrandbits(256).to_bytes(32, "big")
        return base64.urlsafe_b64encode(key).decode().rstrip("=")

    def first_mid(self, device: str) -> int:
        return self._stream(f"mid {device}").randrange(65536)

    def token_length(self, device: str) -> int:
        return self._stream(f"length {device}").randint(1, 8)

    def token(self, device: str, length: int, taken: Callable[[bytes], bool]) -> bytes:
        """A token of `length` bytes not taken and not lately retired. Where the short ones run out (256 of one byte),
        it is one byte longer."""
        stream = self._stream(f"token {device}")
        for size in range(length, 9):
            for _ in range(200):
                token = stream.getrandbits(8 * size).to_bytes(size, "big")
                if not taken(token) and token not in self._retired:
                    return token
        raise RuntimeError("no token is left")

    def retire(self, token: bytes) -> None:
        self._retired.append(token)

    def ack_timeout(self, device: str) -> float:
        return self._stream(f"ack {device}").randint(*ACK_TIMEOUT_MS) / 1000

    def garbage(self, device: str) -> bytes:
        """1 to 64 bytes, half of them with the first byte of a CoAP message."""
        stream = self._stream(f"garbage {device}")
        data = bytes(stream.getrandbits(8) for _ in range(stream.randint(1, 64)))
        return data if stream.getrandbits(1) else bytes([0x40 | data[0] & 0x3F]) + data[1:]
