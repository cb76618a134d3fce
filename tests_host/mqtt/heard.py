"""A connection that is fed in pieces, and what came of it. Also runs in a MicroPython VM: fuzz_in_vm.py."""

from mqtt import client as c
from mqtt import packet as p


class Connection:
    """A client that has sent its CONNECT, or has not `started`. `broken`: what came is no server's."""

    def __init__(self, started, clean):
        self.client = c.Client("id", "user", "pw", clean, 60)
        if started:
            self.client.connect()
            self.client.take()
        self.broken = False

    def feed(self, piece):
        """Takes a piece; one that is broken stays so."""
        try:
            self.client.feed(piece)
        except p.Malformed:
            self.broken = True
        else:
            assert not self.broken, "taken after garbage"

    def events(self):
        """Those that are there."""
        found = []
        while True:
            event = self.client.next()
            if event is None:
                return found
            found.append(event)

    def held(self):
        """Bytes of what came that the client still has."""
        return len(self.client._in)


def summed(events, broken):
    """All of it as bytes, alike in every interpreter."""
    out = [b"broken" if broken else b"whole"]
    for event in events:
        for part in event:
            out.append(part.encode() if isinstance(part, str) else part if isinstance(part, bytes) else b"%d" % part)
    return b"|".join(out)
