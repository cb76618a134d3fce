# Feeds inputs of fuzzing.py to the client in a MicroPython VM: `micropython fuzz_in_vm.py LIB ROOT < inputs`. A line
# is a piece in hex; before the first of an input stand its flags, behind the last a dot. Prints a digest of what came
# of all, their count, and the most heap that a connection kept in use behind a piece.
import gc
import sys

sys.path[:] = [sys.argv[1], sys.argv[2]]
from ubinascii import hexlify, unhexlify  # noqa: E402
from uhashlib import sha256  # noqa: E402

from tests_host.mqtt import heard  # noqa: E402

SAMPLE = 20  # every so many inputs are measured


def in_use():
    gc.collect()
    return gc.mem_alloc()


def run(digest, measured):
    """Takes one input; returns the most heap it kept, None at the end of all."""
    flags = sys.stdin.readline().strip()
    if not flags:
        return None
    before = in_use() if measured else 0
    most = 0
    connection, events = heard.Connection(flags[0] == "1", flags[1] == "1"), []
    while True:
        line = sys.stdin.readline().strip()
        if line == ".":
            break
        connection.feed(unhexlify(line))
        if flags[2] == "0":
            events.extend(connection.events())
        if measured:
            line = ""
            most = max(most, in_use() - before)
    events.extend(connection.events())
    digest.update(heard.summed(events, connection.broken))
    return most


digest = sha256(b"")
at = most = 0
while True:
    kept = run(digest, at % SAMPLE == 0)
    if kept is None:
        break
    at += 1
    most = max(most, kept)
print(hexlify(digest.digest()).decode(), at, most)
