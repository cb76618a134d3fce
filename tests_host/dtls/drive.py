"""One DTLS session of ours on a real UDP socket, in real time, by whichever interpreter this runs in: imported in
CPython, a script in the VM (`micropython drive.py LIB`). The plan, there on stdin, and what came of it are JSON, bytes
in hex."""

import sys
import time

import ujson
import utime
from ubinascii import hexlify, unhexlify

REST_MS = 300  # in which a peer answers a close_notify
REFUSED_S = 0.01  # a pause after the port was refused: nobody listens there yet


class Session:
    """What a plan asks for. `log` holds every datagram: direction, hex."""

    def __init__(self, plan):
        from dtls import client

        self.plan, self.log = plan, []
        self.connected = client.CONNECTED
        self.closed = client.CLOSED
        self.until = utime.ticks_add(utime.ticks_ms(), plan["limit"])
        self.socket = opened(plan["port"])
        self.client = client.Client(
            unhexlify(plan["identity"]), unhexlify(plan["psk"]), plan["suites"], plan["timeout"], plan["retries"],
            plan["offer_cid"],
        )  # fmt: skip

    def flush(self):
        out = self.client.out
        while out:
            data = out.pop(0)
            self.log.append((">", hexlify(data).decode()))
            try:
                self.socket.send(data)
            except OSError:  # refused, the last one: lost
                time.sleep(REFUSED_S)

    def turn(self):
        """One datagram or none."""
        self.flush()
        due = self.client.deadline()
        wait = 20 if due is None else max(1, min(20, due - self.now()))
        self.socket.settimeout(wait / 1000)
        try:
            data = self.socket.recv(2048)
        except OSError:
            data = None
        if data is not None:
            self.log.append(("<", hexlify(data).decode()))
            self.client.receive(data, self.now())
        self.client.poll(self.now())
        self.flush()
        return data

    def now(self):
        return utime.ticks_ms()

    def wait(self, done):
        """Turns until `done()`; whether it came to that in the time of the plan."""
        while not done():
            if utime.ticks_diff(self.until, self.now()) < 0:
                return False
            self.turn()
        return True

    def quiet(self, duration):
        """Turns until nothing came for so many ms."""
        end = utime.ticks_add(self.now(), duration)
        while utime.ticks_diff(end, self.now()) > 0 and utime.ticks_diff(self.until, self.now()) > 0:
            if self.turn() is not None:
                end = utime.ticks_add(self.now(), duration)

    def step(self, name, argument):
        client = self.client
        if name == "send":
            client.send(unhexlify(argument))
            self.flush()
        elif name == "hear":
            return self.wait(lambda: len(client.inbox) >= argument or client.state == self.closed)
        elif name == "quiet":
            self.quiet(argument)
        elif name == "ended":
            return self.wait(lambda: client.state == self.closed)
        elif name == "close":
            client.close()
            self.quiet(REST_MS)
        return True

    def run(self):
        plan, client = self.plan, self.client
        resume = plan["resume"]
        if resume is not None:
            resume = (unhexlify(resume[0]), unhexlify(resume[1]), resume[2], resume[3])
        client.start(self.now(), unhexlify(plan["random"]), resume)
        timely = self.wait(lambda: client.state in (self.connected, self.closed))
        shaken = len(self.log)
        for name, argument in plan["steps"]:
            if client.state == self.connected:
                timely = self.step(name, argument) and timely
        self.flush()
        return self.told(timely, shaken)

    def told(self, timely, shaken):
        client, error = self.client, self.client.error
        session = client.resumption()
        if session is not None:
            session = (hexlify(session[0]).decode(), hexlify(session[1]).decode(), session[2], session[3])
        return {
            "state": client.state, "timely": timely, "shaken": shaken, "log": self.log,
            "error": None if error is None else [error.args[0], error.phase, error.alert, error.ours],
            "inbox": [hexlify(data).decode() for data in client.inbox], "suite": client.suite,
            "dropped": client.dropped, "retransmitted": client.retransmitted, "resumed": client.resumed,
            "extended": client.extended, "session": session,
        }  # fmt: skip


def opened(port):
    import socket

    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    return found


def run(plan):
    from dtls import primitives

    session, had = Session(plan), primitives._aes
    if plan["aes"] == "pure":
        primitives._aes = None
    try:
        return session.run()
    finally:
        primitives._aes = had
        session.socket.close()


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    print(ujson.dumps(run(ujson.loads(sys.stdin.read()))))
