"""Our client on a real socket, in real time, and paho as whoever is on the broker's other side."""

import queue
import socket
import time

import paho.mqtt.client as paho

from mqtt import client as c
from mqtt import packet as p
from tests_host.mqtt.brokers import LIMIT_S, PASSWORD, USER

PIECE = 7  # bytes that the socket gives at once: what comes is cut within packets


class Device:
    """One connection; accepted by the server, unless told not to `connect`. `log` has ("<" or ">", bytes) of all that
    went over the wire."""

    def __init__(
        self, port, client_id="meter", user=USER, password=PASSWORD, clean=True, keep_alive=60, connect=True
    ):
        self.client = c.Client(client_id, user, password, clean, keep_alive)
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.log = []
        self.present = None
        if connect:
            self.client.connect()
            self.present = self.expect(p.CONNECTED)[1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def flush(self):
        data = self.client.take()
        if data:
            self.log.append((">", data))
            self.socket.sendall(data)

    def event(self, wait=LIMIT_S):
        """The next event, None when the server has closed or time is up."""
        self.flush()
        until = time.monotonic() + wait
        while True:
            event = self.client.next()
            if event is not None:
                return event
            self.socket.settimeout(max(until - time.monotonic(), 0.001))
            try:
                data = self.socket.recv(PIECE)
            except (TimeoutError, ConnectionResetError):
                return None
            if not data:
                return None
            self.log.append(("<", data))
            self.client.feed(data)

    def expect(self, kind):
        """The next event, which is of this kind."""
        event = self.event()
        assert event is not None and event[0] == kind, event
        return event

    def closed(self, wait=LIMIT_S):
        """Whether the server closes, and says nothing more."""
        self.socket.settimeout(wait)
        try:
            return self.socket.recv(64) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def report(self, topic, payload, packet_id, dup=False):
        """A QoS 1 message, acknowledged."""
        self.client.publish(topic, payload, 1, packet_id, dup)
        assert self.expect(p.ACKED) == (p.ACKED, packet_id)

    def leave(self):
        """DISCONNECT; the server closes."""
        self.client.disconnect()
        self.flush()
        assert self.closed()


class Peer:
    """paho, connected, subscribed to `topics` by QoS 1. `messages` has what it gets."""

    def __init__(self, port, *topics):
        self.messages = queue.Queue()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, "peer", protocol=paho.MQTTv311)
        self.client.username_pw_set(USER, PASSWORD)
        self.client.on_message = lambda client, userdata, message: self.messages.put(message)
        subscribed = queue.Queue()
        self.client.on_subscribe = lambda *arguments: subscribed.put(arguments[3])
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        for topic in topics:
            self.client.subscribe(topic, 1)
            assert [code.value for code in subscribed.get(timeout=LIMIT_S)] == [1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.client.disconnect()
        self.client.loop_stop()

    def heard(self):
        """(topic, payload, qos) of the next message."""
        message = self.messages.get(timeout=LIMIT_S)
        return message.topic, message.payload, message.qos

    def publish(self, topic, payload, qos):
        """Until the broker has it."""
        self.client.publish(topic, payload, qos).wait_for_publish(LIMIT_S)
