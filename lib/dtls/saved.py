"""A session as it outlives power-off: plain values, and back. Loaded for this alone. It holds the session's keys."""

from ubinascii import hexlify, unhexlify

from dtls import record as r
from dtls.client import CBC, CCM_8, Client, protections

SAVED = {"suite": 0, "block": "", "seq": 0, "high": 0, "cid": "", "sid": "", "master": "", "ext": False}
_ALL = (1 << 64) - 1  # of a window: what was under way before power-off is too old


def dump(client: Client, sequence: int) -> dict:
    """`client`'s session, to go on with records from `sequence` on."""
    return {
        "suite": client.suite, "block": _text(client.block), "seq": sequence, "high": client.window.high,
        "cid": _text(client.cid), "sid": _text(client.session_id),
        "master": _text(client.master), "ext": client.extended,
    }  # fmt: skip


def load(saved: dict, client: Client) -> bool:
    """Goes on in `client` with what `dump` gave. False, and `client` is not to be used, where that is in doubt."""
    for name in SAVED:
        if type(saved.get(name)) is not type(SAVED[name]):
            return False
    try:
        block, cid, session_id, master = [unhexlify(saved[name]) for name in ("block", "cid", "sid", "master")]
    except ValueError:
        return False
    suite, sequence, high = saved["suite"], saved["seq"], saved["high"]
    if suite not in (CCM_8, CBC) or len(block) != protections(suite).KEY_BLOCK or len(master) != 48:
        return False
    if sequence < 1 or r.spent(sequence) or high < 0 or r.spent(high) or len(session_id) > 32 or len(cid) > 255:
        return False
    client.suite, client.block, client.sequence = suite, block, sequence
    client.window = r.Window(high, _ALL)
    client.cid, client.session_id, client.master, client.extended = cid, session_id, master, saved["ext"]
    client.restore()
    return True


def _text(data: bytes) -> str:
    return hexlify(data).decode()
