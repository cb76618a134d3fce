"""The firmware's `umqtt`, with the defects that are known of it (quecpython.md §3.10, S21 unless noted). `TELLS` is the
image's: whether `publish` says what became of the message, or None either way."""

import _thread

import log
import usocket
import ustruct
import utime

TELLS = False

_POLLS = 50  # of 100 ms each, for a PUBACK
log.basicConfig(level=log.INFO)
_logger = log.getLogger("MQTT")


class MQTTException(Exception):
    pass


class MQTTClient:
    def __init__(self, client_id, server, port=0, user=None, password=None, keepalive=0, ssl=False, ssl_params=None,
                 reconn=True, version=4, pingmaxnum=0, manage=False, ipvtype=0):
        if 0 < keepalive < 5:
            raise ValueError("keepalive should be 0 or at least 5")
        self.client_id, self.server, self.port = client_id, server, port or (8883 if ssl else 1883)
        self.user, self.pswd, self.keepalive = user, password, keepalive
        self.ssl, self.ssl_params = ssl, ssl_params or {}
        self.reconn, self.version, self.pingmaxnum, self.ipvtype = reconn, version, pingmaxnum, ipvtype
        self.sock = None
        self.cb = self.error_cb = None
        self._will = None
        self._clean = True
        self._lock = _thread.allocate_lock()
        self._pid = 0
        self._unacknowledged = set()
        self._pinging = False
        self._pinger = None
        self._missing = 0  # PINGRESPs
        self._sent = 0
        self._state = -1

    def set_callback(self, callback):
        self.cb = callback

    def error_register_cb(self, callback):
        self.error_cb = callback

    def set_last_will(self, topic, msg, retain=False, qos=0):
        assert 0 <= qos <= 2 and topic
        self._will = (_bytes(topic), _bytes(msg), retain, qos)

    def get_mqttsta(self):
        """0 connected, 1 connecting, 2 closed by the server, -1 broken or disconnected."""
        return self._state

    # -- connection ---------------------------------------------------------------------------------------------------

    def connect(self, clean_session=True):
        """0. Whatever goes wrong is a ValueError with a number in its text; the socket stays open then."""
        self._state, self._clean = 1, clean_session
        try:
            self._connect(clean_session)
        except Exception as error:
            self._state = -1
            raise ValueError("MQTT connect failed: " + _reason(error))
        self._state = 0
        return 0

    def _connect(self, clean):
        address = self._resolve()
        self._lock = _thread.allocate_lock()
        self.sock = usocket.socket(usocket.AF_INET6 if self.ipvtype else usocket.AF_INET, usocket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(address)
        if self.ssl:
            import ussl

            if "server_hostname" in self.ssl_params:  # it is given here as well
                raise TypeError("function got multiple values for argument 'server_hostname'")
            self.sock = ussl.wrap_socket(self.sock, server_hostname=self.server, **self.ssl_params)
        self._send(self._greeting(clean))
        answer = self._read(4)
        if answer[0] != 0x20 or answer[1] != 2:
            raise MQTTException("no CONNACK")
        if answer[3]:
            raise MQTTException(answer[3])
        self.sock.setblocking(True)
        self._missing = 0
        if self.keepalive:
            self._pinging = True
            self._pinger = _thread.start_new_thread(self._ping_on, ())

    def _resolve(self):
        family = usocket.AF_INET6 if self.ipvtype else usocket.AF_INET
        for _ in range(5):
            try:
                found = [each for each in usocket.getaddrinfo(self.server, self.port) if each[0] == family]
            except OSError:
                found = []
            if found:
                return found[0][-1]
            utime.sleep_ms(500)
        raise ValueError("DNS Parsing failed")

    def _greeting(self, clean):
        flags = 2 if clean else 0
        body = b""
        if self.client_id:  # an empty one is left out with its length: no packet of MQTT's any more
            body += _field(self.client_id)
        if self._will:
            topic, message, retain, qos = self._will
            flags |= 0x04 | qos << 3 | (0x20 if retain else 0)
            body += _field(topic) + _field(message)
        if self.user is not None:
            flags |= 0x80
            body += _field(self.user)
        if self.pswd is not None:
            flags |= 0x40
            body += _field(self.pswd)
        name = b"MQTT" if self.version == 4 else b"MQIsdp"
        return _packet(0x10, _field(name) + ustruct.pack("!BBH", self.version, flags, self.keepalive) + body)

    def _reconnect(self):
        """For ever; the ping thread is killed where it is."""
        self._tell("reconnect_start")
        tries = 0
        while True:
            tries += 1
            if self._pinger is not None:
                try:
                    _thread.stop_thread(self._pinger)
                except ValueError:
                    pass
                self._pinger = None
            try:
                self.close()
                self.connect(self._clean)
                self._tell("reconnect_success")
                return
            except Exception as error:
                _logger.error("reconnect: %s", _reason(error))
            utime.sleep(5 + tries)

    def disconnect(self):
        """Deletes the lock, whoever waits for it; the ping thread notices up to 5 s later."""
        self._pinging = False
        try:
            self._send(b"\xe0\0")
        except Exception as error:
            _logger.error("disconnect: %s", _reason(error))
        _thread.delete_lock(self._lock)
        utime.sleep_ms(500)
        self.close()
        self._state = -1

    def close(self):
        if self.sock is not None:
            self.sock.close()

    # -- keep-alive ---------------------------------------------------------------------------------------------------

    def ping(self):
        self._send(b"\xc0\0")

    def _ping_on(self):
        """Looks every 5 s. A ping that finds the lock taken is left out; one that nobody answered is noticed when the
        next is due, and only if somebody reads at all."""
        while self._pinging:
            utime.sleep(5)
            if not self._pinging or utime.ticks_diff(utime.ticks_ms(), self._sent) <= (self.keepalive - 3) * 1000:
                continue
            if self._missing > self.pingmaxnum:
                self._state = -1
                self.close()
                return
            if self._lock.locked():
                continue
            try:
                self.ping()
                self._missing += 1
            except Exception as error:
                _logger.error("ping: %s", _reason(error))

    # -- up -----------------------------------------------------------------------------------------------------------

    def publish(self, topic, msg, retain=False, qos=0):
        """Every exception is swallowed."""
        try:
            sent = self._publish(_bytes(topic), _bytes(msg), retain, qos)
        except Exception as error:
            _logger.error("publish: %s", _reason(error))
            sent = False
        return sent if TELLS else None

    def _publish(self, topic, message, retain, qos):
        assert qos in (0, 1)
        head = _field(topic)
        if qos:
            self._pid = self._pid % 65535 + 1
            head += ustruct.pack("!H", self._pid)
            self._unacknowledged.add(self._pid)
        self._send(_packet(0x30 | qos << 1 | bool(retain), head + message))
        for _ in range(_POLLS if qos else 0):  # `wait_msg` of another thread takes it out of the set, or nobody
            if self._pid not in self._unacknowledged:
                break
            utime.sleep_ms(100)
        return not qos or self._pid not in self._unacknowledged

    def subscribe(self, topic, qos=0):
        """Reads until SUBACK; what another thread reads it does not see."""
        assert self.cb is not None, "Subscribe callback is not set"
        self._pid = self._pid % 65535 + 1
        if not self.ssl:
            self.sock.settimeout(5)
        self._send(_packet(0x82, ustruct.pack("!H", self._pid) + _field(topic) + bytes([qos])))
        while self.wait_msg() != b"\x90":
            pass

    def _send(self, data):
        while self._lock.locked():  # tested, then taken: another thread may come between, or delete it
            utime.sleep_ms(20)
        self._lock.acquire()
        try:
            self.sock.write(data)
            self._sent = utime.ticks_ms()
        finally:
            self._lock.release()

    # -- down ---------------------------------------------------------------------------------------------------------

    def wait_msg(self):
        """One packet: None after a message, the kind of packet after an answer. The peer's FIN is None too, at once and
        again and again."""
        while True:
            try:
                return self._receive()
            except Exception as error:
                self._state = 2 if error.args and error.args[0] in (104, 107) else -1
                if not self.reconn:
                    self._tell(_reason(error))
                    raise
                self._reconnect()

    def check_msg(self):
        """On plain TCP it raises where nothing has come, which is taken for a broken connection."""
        self.sock.setblocking(False)
        return self.wait_msg()

    def _receive(self):
        first = self.sock.read(1) if self.ssl else self.sock.recv(1)
        if not first:
            return None
        self.sock.setblocking(True)
        length = self._length()
        kind = first[0] & 0xF0
        if kind == 0x30:
            self._message(first[0], length)
            return None
        body = self._read(length)
        if kind == 0xD0:
            self._missing = 0
        elif kind == 0x40:
            self._unacknowledged.discard(body[0] << 8 | body[1])
            return None
        elif kind == 0x90 and body[2] == 0x80:
            _logger.error("subscribe failed")
        return bytes([kind])

    def _message(self, first, length):
        """No length is too long."""
        body = self._read(length)
        start = 2 + (body[0] << 8 | body[1])
        topic, qos = body[2:start], first >> 1 & 3
        if qos:
            number = body[start : start + 2]
            start += 2
        if self.cb is not None:
            self.cb(topic, body[start:])
        if qos == 1:
            _thread.start_new_thread(self._send, (b"\x40\x02" + number,))
        elif qos == 2:
            raise MQTTException("QoS 2")

    def _length(self):
        length = shift = 0
        while True:
            byte = self._read(1)[0]
            length |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return length
            shift += 7

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self.sock.read(size - len(data)) if self.ssl else self.sock.recv(size - len(data))
            if not part:
                raise OSError(107)
            data += part
        return data

    def _tell(self, text):
        if self.error_cb is not None:
            self.error_cb(text)


def _bytes(text):
    return text.encode() if isinstance(text, str) else bytes(text)


def _reason(error):
    return str(error.args[0]) if error.args else type(error).__name__


def _field(text):
    data = _bytes(text)
    return ustruct.pack("!H", len(data)) + data


def _packet(first, body):
    head = bytes([first])
    length = len(body)
    while True:
        head += bytes([length & 0x7F | (0x80 if length > 127 else 0)])
        length >>= 7
        if not length:
            return head + body
