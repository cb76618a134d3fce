# runs in: vm
"""What every wake does loads no file that only a rare request needs: heap is the scarce good."""

import usys

from coap import exchange as x
from coap import message as m
from m2m import client as c
from m2m import objects, tlv

RARE = ("coap.block", "coap.pull", "m2m.manage", "m2m.notices", "m2m.untlv")


class Wake:
    def __init__(self):
        self.mid = 0
        self.exchange = x.Exchange(self.next_mid, 256)
        self.client = c.Client(self.exchange, objects.Tree(lambda *path: 1), lambda payload: m.CHANGED)

    def next_mid(self):
        self.mid += 1
        return self.mid

    def answer(self, code, options=()):
        last = m.decode(self.exchange.out.pop())
        return self.client.receive(m.encode(m.Message(m.ACK, code, last.mid, last.token, options)), 1)

    def ask(self, mid, code, path, options=(), payload=b""):
        options = m.path_options(m.URI_PATH, path) + list(options)
        return self.client.receive(m.encode(m.Message(m.CON, code, mid, b"tk", options, payload)), 1)


def loaded():
    return [name for name in RARE if name in usys.modules]


def test_a_wake_with_a_downlink_and_the_platforms_usual_requests_loads_nothing_rare():
    # ctwing.md §2.2: Observe 3/0 and 19/0/0, GET 4/0/8; a path we have not; a report's reset and a repeated request
    wake = Wake()
    wake.client.register(0, "868543060974334", 86400, "UQ")
    assert wake.answer(m.CREATED, m.path_options(m.LOCATION_PATH, "rd/1")) == (c.REGISTERED,)
    assert wake.ask(1, m.GET, "3/0", [(m.OBSERVE, b"")]) == (c.OBSERVED, "3/0")
    assert wake.ask(2, m.GET, "19/0/0", [(m.OBSERVE, b""), (m.ACCEPT, m.uint(m.OPAQUE))]) == (c.OBSERVED, "19/0/0")
    assert wake.ask(3, m.GET, "4/0/8") == (c.ASKED, "4/0/8")
    assert wake.ask(4, m.PUT, "19/1/0", [(m.CONTENT_FORMAT, m.uint(m.OPAQUE))], bytes(600)) == (c.WRITTEN, bytes(600))
    assert wake.ask(4, m.PUT, "19/1/0") is None
    assert wake.ask(5, m.GET, "7/0") == (c.ASKED, "7/0")
    wake.client.update(0)
    assert wake.answer(m.CHANGED) == (c.UPDATED,)
    mid = wake.client.notify(0, bytes(1000), 1)
    assert wake.client.receive(m.encode(m.Message(m.ACK, m.EMPTY, mid)), 2) == (c.DELIVERED, mid)
    mid = wake.client.notify(0, tlv.resource(0, "x"), 2, path="3/0", form=m.TLV)
    assert wake.client.receive(m.encode(m.Message(m.ACK, m.EMPTY, mid)), 2) == (c.DELIVERED, mid)
    wake.client.deregister(0)
    assert loaded() == []


def test_what_is_rare_is_loaded_when_it_is_asked_for():
    wake = Wake()
    wake.ask(1, m.POST, "3/0/4")
    assert loaded() == ["m2m.manage", "m2m.untlv"]
    wake.ask(2, m.GET, "4/0/8", [(23, b"\x01")])
    assert loaded() == ["coap.block", "m2m.manage", "m2m.untlv"]
