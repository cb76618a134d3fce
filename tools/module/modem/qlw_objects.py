"""The objects that the modem's own LwM2M client answers for by itself: 3 (device), 4 (connectivity), 5 (firmware), and
1 (server) where it is read (ctwing.md §2.2). What each resource says is inferred; only what AEP asks after a
registration matters."""

from aiocoap import Message
from aiocoap.numbers.codes import Code
from aiocoap.numbers.contentformat import ContentFormat

from tools.module.board import Board

OWN = (0, 1, 2, 3, 4, 5)
TEXT, TLV = ContentFormat(0), ContentFormat(11542)
WHOLE = 0xC8  # OMA-TLV: a resource with a value, 8-bit identifier, 8-bit length (LwM2M 1.0 §6.4.3)

Path = tuple[int, ...]


def links(custom: set[Path]) -> bytes:
    """The payload of Register (ctwing.md §2.1), with the instances that the host has added."""
    known = [(1, 0), (3, 0), (4, 0), (5, 0), *sorted({path[:2] for path in custom})]
    return ('</>;rt="oma.lwm2m",' + ",".join(f"</{number}/{instance}>" for number, instance in known)).encode()


def answer(board: Board, lifetime: int, request: Message, path: Path) -> Message:
    """To a request for an object of our own, or one that there is not."""
    values = _values(board, lifetime).get(path[:2], {})
    found = {path[2]: values[path[2]]} if len(path) == 3 and path[2] in values else values if len(path) == 2 else {}
    if not found:
        return Message(code=Code.NOT_FOUND)
    if request.code != Code.GET or request.opt.accept not in (None, TEXT, TLV):
        return Message(code=Code.METHOD_NOT_ALLOWED)
    if len(path) == 3:
        return Message(code=Code.CONTENT, content_format=TEXT, payload=str(found[path[2]]).encode())
    body = b"".join(_tlv(resource, value) for resource, value in found.items())
    return Message(code=Code.CONTENT, content_format=TLV, payload=body)


def _values(board: Board, lifetime: int) -> dict[Path, dict[int, str | int]]:
    cell, profile = board.radio.carrier.cell, board.profile
    return {
        (1, 0): {0: 1, 1: lifetime, 7: "U"},
        (3, 0): {0: "Quectel", 1: profile.name, 2: board.identity.imei, 3: profile.firmware_version, 16: "U"},
        (4, 0): {0: 6, 2: cell.rsrp, 4: board.radio.ip or board.radio.ip6 or "", 8: cell.cell_id},
        (5, 0): {3: 0, 5: 0},
    }


def _tlv(resource: int, value: str | int) -> bytes:
    if isinstance(value, str):
        body = value.encode()
    else:
        size = next(size for size in (1, 2, 4, 8) if -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1)
        body = value.to_bytes(size, "big", signed=True)
    return bytes([WHOLE, resource, len(body)]) + body
