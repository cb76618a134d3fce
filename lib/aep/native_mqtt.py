"""MQTT over the firmware's own client, `umqtt`, which is trusted with nothing (quecpython.md §3.10).

It runs without its reconnects, which never end, and without its keep-alive, whose thread is killed with a lock in its
hand: we keep to mqtt.keepalive by pings of our own, and CONNECT says 0. So the platform does not end a connection for
our silence; one that we have lost ends there with our next CONNECT [MQTT-3.1.4-2], or by TCP. One thread of ours
connects and reads; it ends by itself, is waited for, and is never stopped. What the firmware says of a published
message counts where it was seen to tell the truth; else an answered ping shows that the message went before it, no
more.
"""

import _thread

import utime
from micropython import const

from aep import session as s
from aep import topics
from aep.stream_faults import BadCertificate, BadFrame, ConnectionLost, NoConnection, NotConfirmed, NoTls
from link.fault import NoName, NoPath

_STACK = const(16384)  # bytes: a TLS handshake is made in the thread; too little for an image is refused, not harmful
_POLL = const(24)  # ms to the first look at the thread; sleeping serves callbacks, waiting for a lock may not
_SLOWER = const(8)  # each pause is an eighth longer than the one before, so that a wait grows by an eighth at most
_EXPECTED = const(200)  # ms: the longest pause, where an answer is under way
_UNEXPECTED = const(1000)  # and where nothing is
_ANSWER = const(10000)  # ms for PINGRESP and SUBACK; estimate
_PART = const(3000)  # ms for the thread to end when it is asked to, and again when its socket is closed
_EMPTY = const(3)  # returns of wait_msg for nothing, beside one for a PUBACK: from then on it is the peer's FIN
_PAUSE = const(100)  # ms between them
_QUEUE = const(8)  # messages that wait to be received
_PONG = b"\xd0"
_UNVERIFIED = (-9984, -8576)  # of Mbed TLS, as in link/streams.py
_TIMED_OUT = (110, 11)  # S21 raises EAGAIN where S25 raises ETIMEDOUT

_running = []  # type: list  # whoever has a thread; one at most
_door = _thread.allocate_lock()  # held while code outside of this file runs, or `arrived`
_door.acquire()


class _NoRoom(Exception):
    """Goes through the firmware's client, so that it does not acknowledge a message."""


class Native:
    """One connection. `server` is a name or an address, `ca` the CA's certificate where it is MQTTS. `honest`: this
    image's publish was seen to tell the truth (`probe`). `arrived(topic, payload)` is called with each message before
    the platform is told that it came, never while anything else of ours runs; where it gives False, the message stays
    unanswered, comes again with the next connection, and `untaken` says so; what it raises ends the connection. An
    image that swallows what a callback raises answers anyway."""

    def __init__(self, settings: dict, server: str, clock, honest: bool, ca=None, arrived=None) -> None:
        self._settings = settings
        self._server = server
        self.clock = clock
        self.honest = honest
        self._ca = ca
        self._arrived = arrived
        self._client = None
        self._up = False
        self._error = None  # type: Exception | None  # what the thread ended with
        self._closing = False
        self._topic = ""  # to subscribe to
        self._reading = False
        self._pongs = 0
        self._empty = 0
        self._messages = []
        self.untaken = False
        self._came = 0  # messages so far
        self._heard = 0

    # -- the session's calls ---------------------------------------------------------------------------------------

    def connect(self, until: int) -> None:
        """Raises NoName, NoPath, NoConnection, BadCertificate, NoTls, Silent, or what a CONNACK stands for. A CONNACK 4
        and, on some images, the platform's FIN read the same; it is taken for the CONNACK."""
        self._inside(self._connect, until)

    def subscribe(self, topic: str, until: int) -> None:
        """To be called before anything else is, since the firmware's own wait for SUBACK sees nothing that another
        thread reads. A refusal is not told. Raises NotConfirmed or ConnectionLost."""
        self._inside(self._subscribe, topic, until)

    def publish(self, topic: str, payload: bytes, qos: int, until: int) -> int:
        """ACKNOWLEDGED or HANDED_OVER. Raises NotConfirmed or ConnectionLost."""
        return self._inside(self._publish, topic, payload, qos, until)

    def receive(self, until: int):
        """(topic, payload), or None at `until`. Raises NotConfirmed or ConnectionLost."""
        if not self._messages:
            self._inside(self._receive, until)
        return self._messages.pop(0) if self._messages else None

    def ping(self, until: int) -> None:
        """Shows that the connection lives. Raises NotConfirmed or ConnectionLost."""
        self._inside(self._ping, until)

    def probe(self, topic: str, payload: bytes, until: int) -> bool:
        """Whether this image tells the truth: with nobody to read the PUBACK its publish says False, with somebody to
        read it True. To be called before anything is read; it takes 5 s and sends two messages."""
        self._inside(self._probe, topic, payload, until)
        return self.honest

    def close(self) -> None:
        """Takes leave and frees socket and thread; twice is harmless."""
        self._inside(self._close)

    # -- inside: the door is open ----------------------------------------------------------------------------------

    def _inside(self, work, *args):
        _door.release()
        try:
            return work(*args)
        finally:
            _door.acquire()

    def _connect(self, until: int) -> None:
        if not self._until(lambda: not _running, until):
            raise NoConnection("the firmware's client has not ended")
        self._client = self._made()
        _running.append(self)
        stack = _thread.stack_size()
        _thread.stack_size(_STACK)
        try:
            _thread.start_new_thread(self._live, (self._client,))
        except Exception:  # dialect: broad - which one says so is not documented
            _running.remove(self)
            raise NoConnection("no thread to be had")
        finally:
            _thread.stack_size(stack)
        self._until(self._settled, until)
        if not self._up:
            error = self._error
            self._drop()
            raise self._fault(error) if error is not None else s.Silent("no answer from " + self._server)
        self._heard = self.clock.now()

    def _made(self):
        """The firmware's client."""
        try:
            import umqtt
        except ImportError:
            raise NoConnection("this image has no umqtt: set mqtt.engine to python")
        found = self._settings
        identity, tls = found["device.id"], self._ca is not None
        client = umqtt.MQTTClient(
            identity, self._server, found["server.port"], found["mqtt.user"] or identity, found["device.token"], 0,
            tls, {"ca": self._ca} if tls else {}, False, 4, 0, False, 1 if ":" in self._server else 0,
        )  # fmt: skip
        client.set_callback(self._message)
        return client

    def _settled(self) -> bool:
        """Whether the connection stands, or has failed."""
        return self._up or self not in _running

    def _subscribe(self, topic: str, until: int) -> None:
        self._there()
        self._topic = topic
        self._expect(lambda: not self._topic, until, "no answer to SUBSCRIBE")

    def _publish(self, topic: str, payload: bytes, qos: int, until: int) -> int:
        client = self._read()
        self._empty = 0
        # The firmware waits 5 s at most. Its write cannot block: no more is ever under way than one report and a ping.
        told = self._says(client.publish, topic, payload, False, qos)
        self._check()
        sure = qos and self.honest
        if told is False or sure and not told:
            self._drop()
            raise NotConfirmed("no PUBACK")
        if sure:
            self._heard = self.clock.now()
            return s.ACKNOWLEDGED
        if qos:
            self._ping(until)
        return s.HANDED_OVER

    def _receive(self, until: int) -> None:
        self._read()
        silence = self._settings["mqtt.keepalive"] * 1000
        while not self._messages:
            end = min(until, self._heard + silence) if silence else until
            if self._until(self._has_news, end, _UNEXPECTED):
                self._check()
            elif self.clock.now() >= until:
                return
            else:
                self._ping(self.clock.now() + _ANSWER)

    def _has_news(self) -> bool:
        return bool(self._messages) or self not in _running

    def _ping(self, until: int) -> None:
        client = self._read()
        before = self._pongs
        self._check()
        self._says(client.ping)
        self._expect(lambda: self._pongs != before, min(until, self.clock.now() + _ANSWER), "ping not answered")

    def _probe(self, topic: str, payload: bytes, until: int) -> None:
        client = self._there()
        alone = self._says(client.publish, topic, payload, False, 1)
        self._read()
        self.honest = alone is False and self._says(client.publish, topic, payload, False, 1) is True
        self._ping(until)

    def _close(self) -> None:
        """Ends a connection that lives with a word."""
        client = self._client
        if client is not None and self._up and not self._ended():
            self._closing = True
            try:
                client.ping()  # its answer wakes the thread
                self._until(self._ended, self.clock.now() + _PART)
                if self._ended() and self._error is None:
                    client.disconnect()  # deletes locks: only now nobody can hold one
                    self._client = None
            except Exception:  # dialect: broad - then it ends without
                pass
        self._drop()

    def _drop(self) -> None:
        """Ends a connection. A thread that is in a call which does not end with its socket ends when that returns;
        until then nobody connects again."""
        client, self._client = self._client, None
        if client is not None:
            self._closing = True
            _quietly(client)
            self._until(self._ended, self.clock.now() + _PART)

    def _ended(self) -> bool:
        return self not in _running

    def _there(self):
        if self._client is None:
            raise ConnectionLost("there is no connection")
        return self._client

    def _read(self):
        """The client, of which all is read from now on."""
        client = self._there()
        self._reading = True
        return client

    def _says(self, call, *args):
        """What the firmware's client answers."""
        try:
            return call(*args)
        except Exception as error:  # dialect: broad - whatever it is, the connection is of no use any more
            self._drop()
            raise ConnectionLost("the firmware's client: " + _reason(error))

    def _check(self) -> None:
        """Raises what the thread has ended with."""
        if self not in _running:
            error = self._error
            self._drop()
            raise ConnectionLost("the connection has ended: " + _reason(error))

    def _expect(self, done, until: int, text: str) -> None:
        """Waits for an answer."""
        if not self._until(lambda: done() or self not in _running, until):
            self._drop()
            raise NotConfirmed(text)
        if not done():
            self._check()
        self._heard = self.clock.now()

    def _until(self, done, until: int, longest: int = _EXPECTED) -> bool:
        """Waits until `done()`, False at `until`."""
        pause = _POLL
        while not done():
            left = until - self.clock.now()
            if left <= 0:
                return False
            self.clock.sleep(min(pause, left))
            pause = min(pause + pause // _SLOWER, longest)
        return True

    def _fault(self, error):
        """The fault behind what connect raised: the number is the last word of its text."""
        text = _reason(error)
        number = _number(text)
        if "DNS" in text:
            return NoName(text)
        if 0 < number <= 5:
            return topics.refused(number)
        if number in _UNVERIFIED:
            return BadCertificate(text)
        if number == -1:
            return NoPath(text)
        if self._ca is not None and number <= 0:
            return NoTls(text)
        return NoConnection(text)

    # -- the thread ------------------------------------------------------------------------------------------------

    def _live(self, client) -> None:
        try:
            client.connect(self._settings["mqtt.clean"] == 1)
            self._up = True
            while not (self._closing or self._reading):
                if self._topic:
                    try:
                        client.subscribe(self._topic, 1)
                    except _NoRoom:  # its answer is read later, and tells nothing
                        pass
                    self._topic = ""
                utime.sleep_ms(_POLL)
            while not self._closing:
                self._hear(client)
        except Exception as error:  # dialect: broad - whatever the firmware or a callback raises ends this connection
            self._error = error
        if self._error is not None or not self._up:
            _quietly(client)  # a connect that fails leaves its socket open
        _running.remove(self)

    def _hear(self, client) -> None:
        """One packet."""
        before = self._came
        try:
            answer = client.wait_msg()
        except OSError as error:
            if error.args[0] not in _TIMED_OUT:
                raise
            return
        except _NoRoom:  # the packet was read to its end
            answer = None
        if answer == _PONG:
            self._pongs += 1
        elif answer is None and self._came == before:
            self._empty += 1
            if self._empty > _EMPTY:
                raise OSError(107)
            utime.sleep_ms(_PAUSE)
            return
        self._empty = 0

    def _message(self, topic: bytes, payload: bytes) -> None:
        """The firmware's callback. What it raises ends the connection before the message is acknowledged."""
        self._came += 1
        with _door:
            full = len(self._messages) >= _QUEUE
            if self._closing or full and self._arrived is None:
                raise BadFrame("too many messages")
            if self._arrived is not None and not self._arrived(topic, payload):
                self.untaken = True
                raise _NoRoom
            if not full:  # else it was taken, and what waits says well enough that something came
                self._messages.append((topic, payload))


def _quietly(client) -> None:
    try:
        client.close()
    except Exception:  # dialect: broad - closed, or never opened
        pass


def _reason(error) -> str:
    """What an exception says."""
    return str(error.args[0]) if error is not None and error.args else str(error)


def _number(text: str) -> int:
    """The number at a text's end; 0 where there is none."""
    try:
        return int(text.split()[-1])
    except (ValueError, IndexError):
        return 0
