# runs in: cpython, vm, old
"""The messages of ctwing.md §7.6, byte for byte, as vectors of the codec: each is read and written again."""

from ubinascii import hexlify, unhexlify

from coap import message as m

IMEI = b"868543060974334"
TOKEN = unhexlify("2d82e7f5")

# (what, hex, kind, code, mid, token, options, payload)
VECTORS = (
    (
        "Register",
        "4102362201b272641128396c776d326d3d312e300d0565703d38363835343330363039373433333403623d55086c743d3836343030ff"
        "3c2f3e3b72743d226f6d612e6c776d326d222c3c2f312f303e2c3c2f332f303e2c3c2f31392f303e2c3c2f31392f313e",
        m.CON, m.POST, 13858, b"\x01",
        [(11, b"rd"), (12, b"\x28"), (15, b"lwm2m=1.0"), (15, b"ep=" + IMEI), (15, b"b=U"), (15, b"lt=86400")],
        b'</>;rt="oma.lwm2m",</1/0>,</3/0>,</19/0>,</19/1>',
    ),
    (
        "2.01", "61413622018272640d02383638353433303630393734333334",
        m.ACK, m.CREATED, 13858, b"\x01", [(8, b"rd"), (8, IMEI)], b"",
    ),
    (
        "Observe 19/0/0", "4401ad092d82e7f56052313901300130612a",
        m.CON, m.GET, 44297, TOKEN, [(6, b""), (11, b"19"), (11, b"0"), (11, b"0"), (17, b"\x2a")], b"",
    ),
    (
        "its answer", "6445ad092d82e7f560612a",
        m.ACK, m.CONTENT, 44297, TOKEN, [(6, b""), (12, b"\x2a")], b"",
    ),
    (
        "notification", "444536232d82e7f56101612aff68656c6c6f776f726c64",
        m.CON, m.CONTENT, 13859, TOKEN, [(6, b"\x01"), (12, b"\x2a")], b"helloworld",
    ),
    ("its ACK", "60003623", m.ACK, m.EMPTY, 13859, b"", [], b""),
    ("its RST", "70003623", m.RST, m.EMPTY, 13859, b"", [], b""),
    (
        "Update", "4102362402b272640d02383638353433303630393734333334486c743d3836343030",
        m.CON, m.POST, 13860, b"\x02", [(11, b"rd"), (11, IMEI), (15, b"lt=86400")], b"",
    ),
    ("Update's 2.04", "6144362402", m.ACK, m.CHANGED, 13860, b"\x02", [], b""),
    (
        "Write 19/1/0", "4403ad0b2d82e7f5b2313901310130112aff68656c6c6f776f726c642061636b",
        m.CON, m.PUT, 44299, TOKEN, [(11, b"19"), (11, b"1"), (11, b"0"), (12, b"\x2a")], b"helloworld ack",
    ),
    ("Write's 2.04", "6444ad0b2d82e7f5", m.ACK, m.CHANGED, 44299, TOKEN, [], b""),
    (
        "Deregister", "4104362503b272640d02383638353433303630393734333334",
        m.CON, m.DELETE, 13861, b"\x03", [(11, b"rd"), (11, IMEI)], b"",
    ),
    ("2.02", "6142362503", m.ACK, m.DELETED, 13861, b"\x03", [], b""),
)  # fmt: skip


def test_every_vector_is_read():
    for what, text, kind, code, mid, token, options, payload in VECTORS:
        got = m.decode(unhexlify(text))
        assert (got.kind, got.code, got.mid, got.token) == (kind, code, mid, token), what
        assert got.options == options and got.payload == payload, what
        assert got.critical() == 0, what


def test_every_vector_is_written():
    for what, text, kind, code, mid, token, options, payload in VECTORS:
        assert hexlify(m.encode(m.Message(kind, code, mid, token, options, payload))).decode() == text, what


def test_no_vector_can_be_cut_into_another_message():
    # Only where a payload or an option ends may a shorter message be found; it then has less in it
    for what, text, _, _, _, _, options, payload in VECTORS:
        data = unhexlify(text)
        for size in range(len(data)):
            try:
                got = m.decode(data[:size])
            except m.FormatError:
                continue
            assert len(got.options) < len(options) or len(got.payload) < len(payload), what
