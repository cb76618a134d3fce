"""CoAP messages as both ends of the world's network take them: aiocoap's codec, and the checks it leaves out."""

from aiocoap import ACK, CON, NON, RST, Message
from aiocoap.error import UnparsableMessage

KINDS = {CON: "CON", NON: "NON", ACK: "ACK", RST: "RST"}
CODE_CLASSES = (0, 2, 4, 5)  # RFC 7252 §3: all others are reserved; 7 is signalling, of TCP only (RFC 8323)
EXCHANGE_LIFETIME = 247.0  # seconds, RFC 7252 §4.8.2


class Malformed(ValueError):
    """Bytes that are no CoAP message (RFC 7252 §3), or one that nobody may send (§4.2, §4.3)."""


def decode(raw: bytes) -> Message:
    """A message of these bytes; raises Malformed. Checks what aiocoap's codec lets pass."""
    if len(raw) < 4:
        raise Malformed("shorter than a header")
    kind, token_length, code = (raw[0] >> 4) & 3, raw[0] & 15, raw[1]
    faults = (
        (raw[0] >> 6 != 1, "version is not 1"),
        (token_length > 8, "token longer than 8 bytes"),
        (len(raw) < 4 + token_length, "token cut short"),
        (code >> 5 not in CODE_CLASSES, "reserved code class"),
        (code == 0 and len(raw) != 4, "empty message with content"),
        (code == 0 and kind == NON, "empty NON"),
        (0 < code < 32 and kind == ACK, "request in an ACK"),
        (code != 0 and kind == RST, "RST with content"),
    )
    for fault, reason in faults:
        if fault:
            raise Malformed(reason)
    try:
        message = Message.decode(raw)
        if not message.payload and raw[-1] == 0xFF and _decodes(raw[:-1]):
            raise Malformed("payload marker without payload")
    except UnparsableMessage as error:
        raise Malformed(f"options: {error}") from None
    except UnicodeDecodeError:
        raise Malformed("a text option is not UTF-8") from None
    return message


def _decodes(raw: bytes) -> bool:
    """Whether the bytes before a last FF are whole: if so the FF is a marker, otherwise the end of an option."""
    if len(raw) < 4 + (raw[0] & 15):
        return False
    try:
        Message.decode(raw)
    except (UnparsableMessage, UnicodeDecodeError):
        return False
    return True
