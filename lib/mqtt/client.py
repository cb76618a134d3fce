"""An MQTT 3.1.1 client towards one server, for one network connection. No I/O, no clock, no randomness.

A session owns socket and clock: it sends what `take` gives, feeds what the socket gives, and asks `next` for events
until there is none. Packet ids (1-65535) are the caller's, which keeps them apart over power-offs too.
"""

from micropython import const

from mqtt import packet as p

# What our CONNECT has come to: these, later p.CONNECTED or p.REFUSED.
_IDLE = const(0)
_CONNECTING = const(-1)


class Client:
    """`client_id`, `user` and `password` as the platform has them; `clean`: no session outlives the connection;
    `keep_alive` in seconds, 0: none. Another connection takes another Client."""

    def __init__(self, client_id: str, user: str, password: str, clean: bool, keep_alive: int) -> None:
        self._state = _IDLE
        self._open = False  # we may send: not before CONNECT, nor after DISCONNECT
        self._who = (client_id, user, password, clean, keep_alive)
        self._out = b""
        self._in = b""
        self._whole = 0  # bytes of `_in` that are packets a server may send

    def take(self) -> bytes:
        """What to send now, b"" for nothing."""
        out = self._out
        self._out = b""
        return out

    def feed(self, data: bytes) -> None:
        """Takes what came, cut anywhere. Raises Malformed on what no server may send; the connection is of no more use
        then, events of what came before it are still there. Held until `next` has given it: at most this, and one
        packet of p.LIMIT that is not yet whole."""
        self._in += data
        while True:
            at = self._whole
            found = p.first(self._in, at)
            if found is None:
                return
            self._expect(p.decode(self._in, at, found[0], found[1]))
            self._whole = found[1]

    def next(self):
        """The next event (mqtt/packet.py), or None."""
        if not self._whole:
            return None
        data = self._in
        start, end = p.first(data, 0)
        self._in = data[end:]
        self._whole -= end
        return p.decode(data, 0, start, end)

    def connect(self) -> None:
        """First of all, and once [MQTT-3.1.0-1] [MQTT-3.1.0-2]. The others need not wait for the answer: a server that
        accepts takes what follows, one that refuses does not process it [MQTT-3.1.4-5]."""
        if self._state != _IDLE:
            raise RuntimeError("CONNECT is sent once")
        self._state = _CONNECTING
        self._open = True
        self._out = p.connect(*self._who)

    def publish(self, topic: str, payload: bytes, qos: int, packet_id: int, dup: bool = False) -> None:
        """QoS 0 or 1. What was sent by QoS 1 and not ACKED is sent again after the next connect only, with the same
        packet id and `dup` [MQTT-3.3.1-1] [MQTT-4.4.0-1]."""
        self._send(p.publish(topic, payload, qos, packet_id, dup))

    def acknowledge(self, packet_id: int) -> None:
        """A QoS 1 message is stored: the server need not send it again [MQTT-4.3.2-2]."""
        self._send(p.acknowledge(packet_id))

    def subscribe(self, packet_id: int, topic: str, qos: int) -> None:
        """QoS 0 or 1."""
        self._send(p.subscribe(packet_id, topic, qos))

    def ping(self) -> None:
        self._send(p.PINGREQ)

    def disconnect(self) -> None:
        """Nothing is sent after it [MQTT-3.14.4-2]; what the server had under way may still come."""
        self._send(p.DISCONNECT)
        self._open = False

    def _send(self, data: bytes) -> None:
        if not self._open:
            raise RuntimeError("not connected")
        self._out += data

    def _expect(self, event: tuple) -> None:
        """A CONNACK comes first [MQTT-3.2.0-1] and once, nothing behind one that refuses [MQTT-3.2.2-5], and no session
        where a clean one was asked for [MQTT-3.2.2-1]."""
        answer = event[0] in (p.CONNECTED, p.REFUSED)
        if self._state != (_CONNECTING if answer else p.CONNECTED):
            raise p.Malformed
        if answer:
            if event[0] == p.CONNECTED and event[1] and self._who[3]:
                raise p.Malformed
            self._state = event[0]


def deadlines(keep_alive: int, sent: int, pinged, wait: int) -> tuple:
    """(when to ping, when the connection counts as dead) in ms, None for never. `keep_alive` in s; `sent` is when our
    last packet went, `pinged` when the ping did that was not answered, None if there is none, `wait` how long its
    answer may take. A client is not silent for longer than the keep-alive [MQTT-3.1.2-23], and after 1.5 times that
    the server has dropped it [MQTT-3.1.2-24]."""
    due = dead = None
    if keep_alive:
        due = sent + 1000 * keep_alive
        dead = due + 500 * keep_alive
    if pinged is not None:
        due = None
        dead = pinged + wait if dead is None else min(dead, pinged + wait)
    return due, dead
