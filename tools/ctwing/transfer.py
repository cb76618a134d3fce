"""One request of the platform to a device, with its blocks: what is asked, as messages, and the answer put together.

LwM2M 1.0 §5.4 and §8.2.4-8.2.5 over RFC 7252 and RFC 7959. Tokens, MIDs and waiting are requests.py's.
"""

from dataclasses import dataclass, field

from aiocoap import Message
from aiocoap.numbers.codes import Code
from aiocoap.numbers.contentformat import ContentFormat

LINK_FORMAT, OPAQUE = ContentFormat(40), ContentFormat(42)
DATA_UP, DATA_DOWN = "/19/0/0", "/19/1/0"

METHODS = {
    "read": Code.GET,
    "discover": Code.GET,
    "observe": Code.GET,
    "cancel": Code.GET,
    "write": Code.PUT,
    "write-attributes": Code.PUT,
    "write-partial": Code.POST,
    "execute": Code.POST,
    "create": Code.POST,
    "delete": Code.DELETE,
}
"""LwM2M 1.0 §8.2.4, table 24, and §8.2.5."""

BLOCK = 5  # the size exponent that large writes begin with: 512 bytes, the design limit of a downlink (ctwing.md §2.5)
WHOLE = 1024  # bytes that go in one message: no block is larger (RFC 7959 §2.2)
ANSWER_LIMIT = 65536  # bytes of a block-wise answer; an estimate of what no device has to say


@dataclass(frozen=True)
class Step:
    """One request of the platform: a kind of METHODS, and a path. `command` is the command that a write carries,
    `request` the request of a user; `again`: the command was answered before. `accept` is a content format.
    `notified`: the rest of a notification is read."""

    kind: str
    path: str
    command: int | None = None
    request: int | None = None
    again: bool = False
    accept: int | None = None
    query: tuple[str, ...] = ()
    notified: bool = False


PLAN = (Step("observe", "/3/0"), Step("observe", DATA_UP, accept=OPAQUE), Step("read", "/4/0/8"))
"""What the platform asks after a registration, in this order (ctwing.md §2.2); Accept is Huawei's variant of the same
lineage."""

EVERY = (
    Step("discover", "/3"), Step("discover", "/3/0"), Step("discover", "/3/0/9"), Step("read", "/3"),
    Step("read", "/3/0"), Step("read", "/3/0/0"), Step("read", "/1"), Step("read", "/4/0"), Step("read", "/5/0"),
    Step("read", "/19/0/0"), Step("read", "/9/9/9"), Step("read", "/3/0/0", accept=11543), Step("write", "/3/0/0"),
    Step("write", "/1/0/1"), Step("write", "/9/9/9"), Step("write-partial", "/1/0"),
    Step("write-attributes", "/3/0", query=("pmin=5",)),
    Step("execute", "/3/0/9"), Step("execute", "/9/9/9"), Step("create", "/19"), Step("delete", "/19/1"),
    Step("observe", "/4/0"), Step("observe", "/9/9/9"), Step("cancel", "/4/0"),
)
"""One request of every kind, right and wrong, none of which changes what the device measures or reports."""


class Broken(ValueError):
    """The blocks of an answer do not fit together; the text says how."""


@dataclass
class Transfer:
    """A request under way. `next()` is the message to send; `answered()` takes its response and says whether that was
    the last. The answer is then in `code`, `format`, `body`."""

    step: Step
    payload: bytes = b""
    format: int | None = None
    size: int = BLOCK
    code: Code = Code.EMPTY
    answer_format: int | None = None
    body: bytes = b""
    sent: int = 0
    etag: bytes | None = field(default=None, repr=False)

    def next(self) -> Message:
        step = self.step
        request = Message(code=METHODS[step.kind])
        request.opt.uri_path = [part for part in step.path.split("/") if part]
        request.opt.uri_query = step.query
        if self.body:
            request.opt.block2 = (len(self.body) >> self.size + 4, False, self.size)
        elif step.kind in ("observe", "cancel"):
            request.opt.observe = 0 if step.kind == "observe" else 1
        accept = LINK_FORMAT if step.kind == "discover" else step.accept
        if accept is not None:
            request.opt.accept = ContentFormat(accept)
        if self.payload or self.format is not None:
            request.opt.content_format = ContentFormat(self.format if self.format is not None else 0)
            request.payload = self.payload
        if len(self.payload) > WHOLE and not self.body:
            part = self.payload[self.sent : self.sent + (16 << self.size)]
            more = self.sent + len(part) < len(self.payload)
            request.payload, request.opt.block1 = part, (self.sent >> self.size + 4, more, self.size)
        elif self.body:
            request.payload = b""
        return request

    def answered(self, response: Message) -> bool:
        """Raises Broken."""
        self.code, block1, block2 = response.code, response.opt.block1, response.opt.block2
        if block1 is not None and len(self.payload) > WHOLE and self._goes_on(response.code, block1.size_exponent):
            return False
        if not response.code.is_successful():
            self.body = response.payload
            return True
        if not self.body:
            self.answer_format, self.etag = response.opt.content_format, response.opt.etag
        elif response.opt.etag != self.etag:
            raise Broken("the answer changed while its blocks were read")
        if block2 is not None and block2.start != len(self.body):
            raise Broken(f"block {block2.block_number} came, not the one at byte {len(self.body)}")
        if block2 is None and self.body:
            raise Broken("the rest of the answer came without its block number")
        self.body += response.payload
        if block2 is None or not block2.more:
            return True
        if len(response.payload) != block2.size or len(self.body) > ANSWER_LIMIT:
            raise Broken(f"a block of {len(response.payload)} bytes after {len(self.body)}")
        self.size = block2.size_exponent
        return False

    def _goes_on(self, code: Code, size: int) -> bool:
        """Whether another block of our payload is to be sent; the device may ask for smaller ones (RFC 7959 §2.5)."""
        if code == Code.REQUEST_ENTITY_TOO_LARGE and not self.sent and size < self.size:
            self.size = size
            return True
        if code != Code.CONTINUE:
            return False
        self.sent += 16 << self.size
        self.size = min(self.size, size)
        return self.sent < len(self.payload)

    def rest_of(self, notification: Message) -> bool:
        """Takes the first block of a notification; whether more is to be read, by GET (RFC 7959 §2.6)."""
        return not self.answered(notification)
