"""AT commands through `atcmd.sendSync`: one lock, one parser. Only commands with a direct answer work: there is no way
to receive a URC (quecpython.md §3.12)."""

import _thread

import atcmd

from link.fault import NoModem

_RESULTS = "OK,ERROR,+CME ERROR,+CMS ERROR,invalid parameter,timeout,system error"  # one text: less heap than seven
_lock = _thread.allocate_lock()  # sendSync is not re-entrant (quecpython.md §3.12)
_buffer = bytearray(256)  # the longest answer we read is QENG's, about 120 bytes


def send(command: str, timeout: int = 5, room=_buffer) -> str:
    """Sends `command` (without line end) and returns its answer's text, lines separated by newlines, without the result
    line; `room` is a larger buffer for a longer one. Raises NoModem with the command's name unless the result is OK."""
    with _lock:
        for i in range(len(room)):
            room[i] = 0
        result = atcmd.sendSync(command + "\r\n", room, "", timeout)
        text = bytes(room) if result == 0 else b""
    if result != 0:
        names = _RESULTS.split(",")
        seen = names[result] if 0 <= result < len(names) else str(result)
        raise NoModem(command.split("=")[0] + ": " + seen)
    end = text.find(b"\0")
    try:
        lines = (text if end < 0 else text[:end]).decode().replace("\r", "\n").split("\n")
    except UnicodeError:  # a buffer that was cut in the middle, noise
        raise NoModem(command.split("=")[0] + ": garbled answer")
    return "\n".join([line for line in lines if line and line != "OK"])


def values(command: str, prefix: str) -> list:
    """The comma-separated fields, without quotes, of the answer's first line that begins with `prefix`.
    Raises NoModem if the answer has no such line."""
    for line in send(command).split("\n"):
        if line.startswith(prefix):
            return [field.strip().strip('"') for field in line[len(prefix) :].strip(": ").split(",")]
    raise NoModem(command + ": answer without " + prefix)
