"""A platform, a network path and a clock for sessions: time moves only when a session waits. Runs wherever lib/ runs.

Datagrams take 40 ms each way. What the platform does is in its attributes; None as a code means silence.
"""

import sys

from coap import message as m
from link.fault import NoName

LATENCY = 40


class Sockets:
    """Stands in for link/sockets.py: the session opens its paths here."""

    platform = None
    resolved = []

    @staticmethod
    def resolve(host, port, own):
        Sockets.resolved.append((host, port))
        if Sockets.platform.unnamed:
            raise NoName(host)
        return "221.229.214.202"

    @staticmethod
    def resolve_or(host, port, own, last):
        try:
            return Sockets.resolve(host, port, own), False
        except NoName:
            if not last or (":" in last) != (":" in own):
                raise
            return last, True

    @staticmethod
    def Path(address, port, clock):
        return Path(Sockets.platform)


def session_file():
    """aep.lwm2m over these sockets; whoever else imports it gets the real one."""
    import aep

    taken = {name: sys.modules.pop(name, None) for name in ("aep.lwm2m", "link.sockets")}
    sys.modules["link.sockets"] = Sockets
    __import__("aep.lwm2m")
    made = sys.modules["aep.lwm2m"]
    made.sockets = Sockets
    for name, module in taken.items():
        if module is None:
            del sys.modules[name]
        else:
            sys.modules[name] = module
    if taken["aep.lwm2m"] is None:
        del aep.lwm2m
    else:
        aep.lwm2m = taken["aep.lwm2m"]
    return made


class Path:
    def __init__(self, platform):
        self.platform = platform
        self.closed = self.strangers = 0
        platform.paths.append(self)

    def send(self, data):
        self.platform.sent.append((self.platform.time, data))
        self.platform.take(m.decode(data))

    def receive(self, until):
        platform = self.platform
        platform.queue.sort()
        if platform.queue and platform.queue[0][0] <= until:
            time, _, data = platform.queue.pop(0)
            platform.time = max(platform.time, time)
            return data
        platform.time = max(platform.time, until)
        return None

    def close(self):
        self.closed += 1


class Platform:
    """Also the clock (`now`, `unix`) and the number store (`next`)."""

    def __init__(self):
        self.time, self.epoch = 0, 1795392000
        self.queue, self.sent, self.numbers = [], [], {"mid": 100, "seq": 7}
        self.register, self.update = m.CREATED, m.CHANGED  # codes, m.EMPTY: a reset
        self.observe_after = 50  # ms after Register; None: never
        self.report = m.ACK  # or m.RST, or None
        self.downlinks = []  # payloads written before the next report is acknowledged
        self.token = b"tokn"
        self.observes = 0
        self.answers = []  # codes of the device's responses
        self.reports = []
        self.longest = None  # s: a longer lifetime is refused with 4.00
        self.strict = False  # reports are answered only after the next Update
        self.unnamed = False  # its name does not resolve
        self.persisted = 0
        self.noted = []  # what the session told the journal
        self.paths = []  # sockets that the session made

    def now(self):
        return self.time

    def unix(self):
        return self.epoch + self.time // 1000 if self.epoch else 0

    def next(self, name):
        self.numbers[name] += 1
        return self.numbers[name]

    def persist(self):
        self.persisted += 1

    def note(self, code, value=0):
        self.noted.append((code, value))

    def later(self, delay, message):
        self.queue.append((self.time + 2 * LATENCY + delay, len(self.queue) + len(self.sent), m.encode(message)))

    def write(self, payload, mid, delay=0):
        options = m.path_options(m.URI_PATH, "19/1/0") + [(m.CONTENT_FORMAT, b"\x2a")]
        self.later(delay, m.Message(m.CON, m.PUT, mid, b"cmd", options, payload))

    def observe(self, delay):
        self.observes += 1
        options = [(m.OBSERVE, b"")] + m.path_options(m.URI_PATH, "19/0/0")
        self.later(delay, m.Message(m.CON, m.GET, 5000 + self.observes, self.token, options))

    def take(self, message):
        if message.is_request():
            self.requested(message)
        elif message.kind == m.CON:
            self.reports.append(message)
            for mid, payload in enumerate(self.downlinks):
                self.write(payload, 6000 + mid)
            self.downlinks = []
            if self.report is not None and not self.strict:
                self.later(0, m.Message(self.report, m.EMPTY, message.mid))
        elif message.code != m.EMPTY:
            self.answers.append(message.code)

    def requested(self, message):
        registering = message.path() == "rd"
        code = self.register if registering else self.update
        self.strict = False
        for item in message.all(m.URI_QUERY):
            if item[:3] == b"lt=" and self.longest and int(item[3:]) > self.longest:
                code = m.BAD_REQUEST
        if code == m.EMPTY:
            self.later(0, m.Message(m.RST, m.EMPTY, message.mid))
        elif code is not None:
            options = m.path_options(m.LOCATION_PATH, "rd/me") if code == m.CREATED else ()
            self.later(0, m.Message(m.ACK, code, message.mid, message.token, options))
            if registering and code == m.CREATED and self.observe_after is not None:
                self.observe(self.observe_after)

    def asked(self):
        """What the device began, as words."""
        out = []
        for _, data in self.sent:
            message = m.decode(data)
            if message.is_request():
                out.append("register" if message.path() == "rd" else "update")
            elif message.kind == m.CON:
                out.append("report")
        return out
