# runs in: cpython, vm, old
"""The LwM2M client on the wire: registration, observation, reports, downlinks, and what it refuses.

The platform's messages are ctwing.md §7.6's. Ours differ from that table where the test says so: a token is the two
bytes of its message id, and Register lists objects 4 and 5. What a server asks more rarely is test_manage.py's.
"""

from ubinascii import hexlify, unhexlify

from coap import block
from coap import exchange as x
from coap import message as m
from m2m import client as c
from m2m import objects

IMEI = "868543060974334"
TOKEN = unhexlify("2d82e7f5")
OBSERVE = unhexlify("4401ad092d82e7f56052313901300130612a")
CREATED = "624136223622" + "8272640d02383638353433303630393734333334"  # the vector's with our token


class Rig:
    """A client, what it stored, and the code its store answers with."""

    def __init__(self, mid=0x3622):
        self.mid = mid - 1
        self.kept = []
        self.code = m.CHANGED
        self.values = []
        self.exchange = x.Exchange(self.next_mid, 256)
        self.client = c.Client(self.exchange, objects.Tree(self.value), self.keep)

    def next_mid(self):
        self.mid += 1
        return self.mid

    def value(self, number, resource):
        self.values.append((number, resource))
        return {(3, 0): "Quectel", (4, 0): None, (4, 8): 94537995}.get((number, resource))

    def keep(self, payload):
        self.kept.append(payload)
        return self.code

    def sent(self):
        out = [hexlify(data).decode() for data in self.exchange.out]
        del self.exchange.out[:]
        return out

    def receive(self, data, now=1):
        return self.client.receive(unhexlify(data) if isinstance(data, str) else data, now)

    def answer(self, code, options=()):
        """The platform's piggybacked answer to what we sent last."""
        last = m.decode(self.exchange.out.pop())
        return self.receive(m.encode(m.Message(m.ACK, code, last.mid, last.token, options)))

    def ask(self, code, path, options=(), payload=b"", mid=900, token=b"tk", kind=m.CON):
        """A request of the platform; returns our event and our answer."""
        options = m.path_options(m.URI_PATH, path) + list(options)
        event = self.receive(m.encode(m.Message(kind, code, mid, token, options, payload)))
        out = self.exchange.out[:]
        del self.exchange.out[:]
        assert len(out) <= 1
        return event, m.decode(out[0]) if out else None


def registered():
    rig = Rig()
    rig.client.register(0, IMEI, 86400, "U")
    rig.answer(m.CREATED, m.path_options(m.LOCATION_PATH, "rd/" + IMEI))
    return rig


def test_our_messages_follow_coaps_own_schedule_unless_told_otherwise():
    # RFC 7252 §4.8
    for begin in (
        lambda client: client.register(0, IMEI, 86400, "U"), lambda client: client.update(0),
        lambda client: client.deregister(0), lambda client: client.notify(0, b"x", 1),
    ):  # fmt: skip
        rig = observed()
        begin(rig.client)
        waits = [rig.exchange.deadline()]
        while rig.client.poll(waits[-1]) is None:
            waits.append(rig.exchange.deadline())
        assert waits == [2000, 6000, 14000, 30000, 62000]


def test_an_answer_without_content_names_no_format():
    for path, options in (("7/0", []), ("3/0/0", [(m.ACCEPT, m.uint(m.OPAQUE))])):
        answer = registered().ask(m.GET, path, options)[1]
        assert answer.code >> 5 == 4 and answer.all(m.CONTENT_FORMAT) == [] and answer.payload == b""


def observed():
    rig = registered()
    rig.receive(OBSERVE)
    rig.sent()
    return rig


# registration


def test_register_is_the_vectors_message_with_our_token_and_our_objects():
    # ctwing.md §7.6: lwm2m, ep, b, lt in this order; token 3622 for 01, and </4/0>, </5> among the links
    rig = Rig()
    rig.client.register(0, IMEI, 86400, "U")
    vector = (
        "420236223622b272641128396c776d326d3d312e300d0565703d38363835343330363039373433333403623d55086c743d3836343030ff"
    )
    assert rig.sent() == [vector + hexlify(objects.LINKS).decode()]


def test_register_of_a_psm_device_says_queue_mode():
    # ctwing.md §2.1: UQ for PSM; the vector has b=U
    rig = Rig()
    rig.client.register(0, "urn:imei:" + IMEI, 300, "UQ")
    assert m.decode(rig.exchange.out[0]).all(m.URI_QUERY) == [
        b"lwm2m=1.0", b"ep=urn:imei:868543060974334", b"b=UQ", b"lt=300",
    ]  # fmt: skip


def test_registered_under_the_path_the_platform_gave():
    rig = Rig()
    rig.client.register(0, IMEI, 86400, "U")
    assert rig.receive(CREATED) == (c.REGISTERED,)
    assert rig.client.location == "rd/" + IMEI and not rig.exchange.busy()


def test_another_path_is_used_as_given():
    # ctwing.md §2.1: the client must use the returned path
    rig = Rig()
    rig.client.register(0, IMEI, 86400, "U")
    rig.answer(m.CREATED, m.path_options(m.LOCATION_PATH, "rd/5a3f/x"))
    rig.client.update(10)
    assert m.decode(rig.exchange.out[0]).all(m.URI_PATH) == [b"rd", b"5a3f", b"x"]


def test_tokens_are_the_message_ids_and_so_do_not_come_back():
    # RFC 7252 §5.3.1
    rig = Rig(0x00FE)
    seen = []
    for _ in range(4):
        rig.client.register(0, IMEI, 86400, "U")
        message = m.decode(rig.exchange.out[-1])
        seen.append(message.token)
        assert message.token == bytes([message.mid >> 8, message.mid & 255])
        rig.answer(m.CREATED, m.path_options(m.LOCATION_PATH, "rd/1"))
    assert seen == [b"\x00\xfe", b"\x00\xff", b"\x01\x00", b"\x01\x01"]


def test_a_refusal_is_told_with_its_code():
    for code in (m.BAD_REQUEST, m.FORBIDDEN, m.PRECONDITION_FAILED, m.UNAVAILABLE):
        rig = Rig()
        rig.client.register(0, IMEI, 86400, "U")
        assert rig.answer(code) == (c.REFUSED, code) and rig.client.location == ""


def test_created_without_a_path_is_no_registration():
    # Xinyi's SDK: error 873 (ctwing.md §2.1)
    rig = Rig()
    rig.client.register(0, IMEI, 86400, "U")
    assert rig.answer(m.CREATED) == (c.REFUSED, m.CREATED)
    rig.client.register(0, IMEI, 86400, "U")
    assert rig.answer(m.CHANGED, [(m.LOCATION_PATH, b"rd")]) == (c.REFUSED, m.CHANGED) and rig.client.location == ""


def test_a_path_that_is_no_text_is_no_registration():
    for path in (b"\xff\xfe", b"rd\x80", b""):
        rig = Rig()
        rig.client.register(0, IMEI, 86400, "U")
        assert rig.answer(m.CREATED, [(m.LOCATION_PATH, path)]) == (c.REFUSED, m.CREATED)
        assert rig.client.location == ""


def test_registering_anew_ends_the_former_registration():
    rig = observed()
    rig.client.register(50, IMEI, 86400, "U")
    assert rig.client.location == "" and rig.client.tokens == {}


def test_update_is_the_vectors_message_where_the_lifetime_changed_and_shorter_where_not():
    # ctwing.md §7.6 with our token; DESIGN §4: an Update carries only what changed
    rig = registered()
    rig.mid = 0x3623
    rig.client.update(0, 86400)
    assert rig.sent() == ["420236243624b272640d02383638353433303630393734333334486c743d3836343030"]
    assert rig.receive("624436243624") == (c.UPDATED,)
    rig.client.update(100)
    assert rig.sent() == ["420236253625b272640d02383638353433303630393734333334"]


def test_update_tells_a_changed_binding():
    # ctwing.md §2.1: lt and b
    rig = registered()
    rig.client.update(0, 300, "U")
    assert m.decode(rig.exchange.out[0]).all(m.URI_QUERY) == [b"lt=300", b"b=U"]


def test_update_of_a_forgotten_registration_is_refused():
    rig = registered()
    rig.client.update(0)
    assert rig.answer(m.NOT_FOUND) == (c.REFUSED, m.NOT_FOUND)


def test_a_reset_request_is_refused_and_costs_no_observation():
    # RFC 7252 §4.2: a RST says that the message could not be processed; it is about no notification
    rig = observed()
    for begin in (rig.client.update, rig.client.deregister):
        begin(0)
        rig.sent()
        assert rig.receive(m.encode(m.Message(m.RST, m.EMPTY, rig.mid))) == (c.REFUSED, m.EMPTY)
        assert rig.client.tokens == {"19/0/0": TOKEN} and rig.client.location


def test_update_as_a_short_cut_ends_in_silence_within_its_bounds():
    rig = registered()
    rig.client.update(0, 0, "", 1600, 1)
    assert rig.client.poll(1599) is None and rig.client.poll(1600) is None
    assert rig.client.poll(4800)[0] == c.SILENT


def test_deregister_is_the_vectors_message_with_our_token():
    rig = observed()
    rig.mid = 0x3624
    rig.client.deregister(0)
    assert rig.sent() == ["420436253625b272640d02383638353433303630393734333334"]
    assert rig.receive("624236253625") == (c.DEREGISTERED,)
    assert rig.client.location == "" and rig.client.tokens == {}


# observation and reports


def test_observe_is_answered_as_in_the_vector_and_keeps_the_token():
    rig = registered()
    assert rig.receive(OBSERVE) == (c.OBSERVED, "19/0/0")
    assert rig.sent() == ["6445ad092d82e7f560612a"]
    assert rig.client.tokens == {"19/0/0": TOKEN}


def test_a_report_is_the_vectors_notification():
    # every byte: token of the Observe, Observe 1, Content-Format 42
    rig = observed()
    rig.mid = 0x3622
    rig.client.notify(0, b"helloworld", 1)
    assert rig.sent() == ["444536232d82e7f56101612aff68656c6c6f776f726c64"]
    assert rig.receive("60003623") == (c.DELIVERED, 0x3623)


def test_a_report_can_be_non_confirmable():
    rig = observed()
    rig.client.notify(0, b"x", 1, confirm=False)
    assert m.decode(rig.exchange.out[0]).kind == m.NON and not rig.exchange.busy()


def test_the_observe_number_has_24_bits():
    # RFC 7641 §4.4
    rig = observed()
    rig.client.notify(0, b"x", 0x1000002)
    assert m.decode(rig.exchange.out[0]).all(m.OBSERVE) == [b"\x02"]
    rig = observed()
    rig.client.notify(0, b"x", 0x1FF0002)
    assert m.decode(rig.exchange.out[0]).all(m.OBSERVE) == [b"\xff\x00\x02"]


def test_a_reset_report_forgets_the_observation_and_says_lost():
    # RFC 7641 §3.6, ctwing.md §2.3
    for confirm in (True, False):
        rig = observed()
        rig.mid = 0x3622
        rig.client.notify(0, b"helloworld", 1, confirm)
        assert rig.receive("70003623") == (c.LOST, 0x3623)
        assert "19/0/0" not in rig.client.tokens and not rig.exchange.busy()
        assert rig.client.location, "the registration may still stand; the session decides"


def test_nothing_is_reported_without_an_observation():
    # ctwing.md §2.3: a client with no valid token refuses to send
    rig = registered()
    try:
        rig.client.notify(0, b"x", 1)
    except KeyError:
        assert rig.sent() == [] and not rig.exchange.busy()
        return
    raise AssertionError("reported under no token")


def test_a_report_that_nobody_acknowledges_ends_in_silence_once():
    rig = observed()
    rig.client.notify(0, b"x", 1)
    mid, events = rig.mid, []
    while rig.exchange.busy():
        event = rig.client.poll(rig.exchange.deadline())
        if event:
            events.append(event)
    assert events == [(c.SILENT, mid)] and "19/0/0" in rig.client.tokens


def test_observing_again_replaces_the_token():
    rig = observed()
    event, answer = rig.ask(m.GET, "19/0/0", [(m.OBSERVE, b"")], token=b"new")
    assert event == (c.OBSERVED, "19/0/0") and rig.client.tokens == {"19/0/0": b"new"}
    assert answer.uint(m.OBSERVE) == 0


def test_cancel_needs_the_observations_token():
    # RFC 7641 §3.6: a GET with Observe 1; the answer has no Observe
    rig = observed()
    event, answer = rig.ask(m.GET, "19/0/0", [(m.OBSERVE, b"\x01")], token=b"other")
    assert rig.client.tokens == {"19/0/0": TOKEN}
    event, answer = rig.ask(m.GET, "19/0/0", [(m.OBSERVE, b"\x01")], token=TOKEN, mid=901)
    assert rig.client.tokens == {} and event == (c.CANCELLED, "19/0/0")
    assert answer.code == m.CONTENT and answer.uint(m.OBSERVE) is None


def test_object_3_can_be_observed_too():
    # the platform's first Observe, ctwing.md §2.2
    rig = registered()
    event, answer = rig.ask(m.GET, "3/0", [(m.OBSERVE, b"")])
    assert event == (c.OBSERVED, "3/0") and answer.uint(m.OBSERVE) == 0
    assert answer.uint(m.CONTENT_FORMAT) == m.TLV and b"Quectel" in answer.payload


def test_all_that_can_be_read_can_be_observed():
    rig = registered()
    for mid, path in enumerate(("1", "3/0", "4/0/8", "5/0", "19/0/0")):
        event, answer = rig.ask(m.GET, path, [(m.OBSERVE, b"")], mid=mid, token=path.encode())
        assert event == (c.OBSERVED, path) and answer.uint(m.OBSERVE) == 0, path
    assert rig.client.tokens == {path: path.encode() for path in ("1", "3/0", "4/0/8", "5/0", "19/0/0")}


def test_a_ninth_observation_is_read_and_the_uplinks_has_its_place():
    # RFC 7641 §4.1: the answer then has no Observe option
    rig = registered()
    paths = ["1", "3", "4", "5", "1/0", "3/0", "4/0"]
    for mid, path in enumerate(paths):
        assert rig.ask(m.GET, path, [(m.OBSERVE, b"")], mid=mid)[0] == (c.OBSERVED, path)
    event, answer = rig.ask(m.GET, "4/0/8", [(m.OBSERVE, b"")], mid=20)
    assert event == (c.ASKED, "4/0/8") and answer.code == m.CONTENT and answer.uint(m.OBSERVE) is None
    assert rig.ask(m.GET, "19/0/0", [(m.OBSERVE, b"")], mid=21)[0] == (c.OBSERVED, "19/0/0")
    assert rig.ask(m.GET, "3/0", [(m.OBSERVE, b"")], mid=22, token=b"new")[0] == (c.OBSERVED, "3/0")
    assert sorted(rig.client.tokens) == sorted(paths + ["19/0/0"]) and rig.client.tokens["3/0"] == b"new"


def test_what_cannot_be_read_cannot_be_observed():
    rig = registered()
    for mid, (path, code) in enumerate((("4/0/0", m.NOT_FOUND), ("3/0/4", m.METHOD_NOT_ALLOWED),
                                        ("19/1/0", m.METHOD_NOT_ALLOWED), ("7/0", m.NOT_FOUND))):  # fmt: skip
        event, answer = rig.ask(m.GET, path, [(m.OBSERVE, b"")], mid=mid)
        assert event == (c.ASKED, path) and answer.code == code and answer.uint(m.OBSERVE) is None
    assert rig.client.tokens == {}


def test_another_observation_is_notified_in_its_format_under_its_token():
    rig = observed()
    rig.ask(m.GET, "3/0", [(m.OBSERVE, b"")], token=b"dev")
    code, form, payload = rig.client.tree.read("3/0")
    mid = rig.client.notify(0, payload, 7, path="3/0", form=form)
    message = m.decode(rig.exchange.out.pop())
    assert (message.kind, message.code, message.mid, message.token) == (m.CON, m.CONTENT, mid, b"dev")
    assert message.uint(m.OBSERVE) == 7 and message.uint(m.CONTENT_FORMAT) == m.TLV and message.payload == payload
    assert rig.receive(m.encode(m.Message(m.ACK, m.EMPTY, mid))) == (c.DELIVERED, mid)


def test_a_reset_ends_the_observation_it_is_about_and_no_other():
    # RFC 7641 §3.6
    for confirm in (True, False):
        rig = observed()
        for mid, path in enumerate(("3/0", "4/0/8")):
            rig.ask(m.GET, path, [(m.OBSERVE, b"")], mid=mid, token=path.encode())
        mid = rig.client.notify(0, b"x", 7, confirm, "4/0/8", m.TEXT)
        rig.sent()
        assert rig.receive(m.encode(m.Message(m.RST, m.EMPTY, mid))) == (c.CANCELLED, "4/0/8")
        assert rig.client.tokens == {"19/0/0": TOKEN, "3/0": b"3/0"} and not rig.exchange.busy()
        mid = rig.client.notify(0, b"x", 8, confirm)
        rig.sent()
        assert rig.receive(m.encode(m.Message(m.RST, m.EMPTY, mid))) == (c.LOST, mid)
        assert rig.client.tokens == {"3/0": b"3/0"}


def test_a_reset_of_what_is_no_longer_observed_says_so_and_ends_nothing():
    rig = observed()
    rig.ask(m.GET, "3/0", [(m.OBSERVE, b"")], token=b"dev")
    mid = rig.client.notify(0, b"x", 7, False, "3/0", m.TLV)
    rig.sent()
    rig.ask(m.GET, "3/0", [(m.OBSERVE, b"\x01")], token=b"dev", mid=901)
    assert rig.receive(m.encode(m.Message(m.RST, m.EMPTY, mid))) == (c.CANCELLED, "3/0")
    assert rig.client.tokens == {"19/0/0": TOKEN}
    rig.ask(m.GET, "3/0", [(m.OBSERVE, b"")], token=b"one", mid=902)
    mid = rig.client.notify(0, b"x", 8, False, "3/0", m.TLV)
    rig.sent()
    rig.ask(m.GET, "3/0", [(m.OBSERVE, b"")], token=b"two", mid=903)
    assert rig.receive(m.encode(m.Message(m.RST, m.EMPTY, mid))) == (c.CANCELLED, "3/0")
    assert rig.client.tokens == {"19/0/0": TOKEN, "3/0": b"two"}


def test_a_notification_longer_than_a_block_is_its_first_block_and_a_report_is_whole():
    # RFC 7959 §2.6; what 19/0/0 reported cannot be read again
    rig = observed()
    rig.ask(m.GET, "3/0", [(m.OBSERVE, b"")])
    for size, first in ((512, None), (513, 0x0D)):  # 0/1/512
        rig.client.notify(0, bytes(size), 7, False, "3/0", m.TLV)
        message = m.decode(rig.exchange.out.pop())
        assert message.uint(block.BLOCK2) == first and message.payload == bytes(512)
    rig.client.notify(0, bytes(1024), 8, False)
    message = m.decode(rig.exchange.out.pop())
    assert message.uint(block.BLOCK2) is None and message.payload == bytes(1024)


def test_an_observes_format_is_kept_until_it_asks_for_another_or_none():
    # RFC 7641 §4.2; AEP's on 19/0/0 asks for opaque, which is all there is
    rig = observed()
    for mid, accept, kept in ((1, m.TLV, {"3/0/0": m.TLV}), (2, m.TEXT, {"3/0/0": m.TEXT}), (3, None, {})):
        options = [(m.OBSERVE, b"")] + ([] if accept is None else [(m.ACCEPT, m.uint(accept))])
        event, answer = rig.ask(m.GET, "3/0/0", options, mid=mid)
        assert event == (c.OBSERVED, "3/0/0") and answer.uint(m.CONTENT_FORMAT) == (accept or m.TEXT)
        assert rig.client.forms == kept


def test_an_observe_refused_leaves_no_token():
    rig = registered()
    event, answer = rig.ask(m.GET, "3/0", [(m.OBSERVE, b""), (m.ACCEPT, m.uint(11543))])
    assert answer.code == m.NOT_ACCEPTABLE and rig.client.tokens == {} and event == (c.ASKED, "3/0")


# downlinks


def test_a_downlink_is_stored_and_answered_as_in_the_vector():
    rig = registered()
    event = rig.receive("4403ad0b2d82e7f5b2313901310130112aff68656c6c6f776f726c642061636b")
    assert event == (c.WRITTEN, b"helloworld ack") and rig.kept == [b"helloworld ack"]
    assert rig.sent() == ["6444ad0b2d82e7f5"]


def test_a_downlink_is_stored_before_it_is_answered():
    rig = registered()
    waiting = []

    def keep(payload):
        waiting.append(len(rig.exchange.out))
        return m.CHANGED

    rig.client.keep = keep
    rig.ask(m.PUT, "19/1/0", payload=b"x")
    assert waiting == [0]


def test_a_repeated_downlink_is_answered_alike_and_stored_once():
    rig = registered()
    first = rig.ask(m.PUT, "19/1/0", payload=b"x")[1]
    for _ in range(3):
        event, answer = rig.ask(m.PUT, "19/1/0", payload=b"x")
        assert event is None and m.encode(answer) == m.encode(first)
    assert rig.kept == [b"x"]


def test_a_downlink_that_is_not_kept_is_answered_with_the_stores_code():
    rig = registered()
    for mid, code in ((1, m.BAD_REQUEST), (2, m.UNAVAILABLE)):
        rig.code = code
        event, answer = rig.ask(m.PUT, "19/1/0", payload=b"x", mid=mid)
        assert event == (c.ASKED, "19/1/0") and answer.code == code


def test_downlinks_are_opaque_text_or_unnamed():
    # ctwing.md §2.4: format 42
    rig = registered()
    for mid, form in enumerate((None, m.OPAQUE, m.TEXT)):
        options = [] if form is None else [(m.CONTENT_FORMAT, m.uint(form))]
        assert rig.ask(m.PUT, "19/1/0", options, b"x", mid)[1].code == m.CHANGED
    for mid, form in ((10, m.TLV), (11, 50), (12, m.LINK_FORMAT)):
        answer = rig.ask(m.PUT, "19/1/0", [(m.CONTENT_FORMAT, m.uint(form))], b"x", mid)[1]
        assert answer.code == m.UNSUPPORTED_FORMAT
    assert len(rig.kept) == 3


def test_a_downlink_ends_at_1024_bytes():
    # ctwing.md §2.5
    rig = registered()
    assert rig.ask(m.PUT, "19/1/0", payload=bytes(1024), mid=1)[1].code == m.CHANGED
    assert rig.ask(m.PUT, "19/1/0", payload=bytes(1025), mid=2)[1].code == m.REQUEST_TOO_LARGE
    assert len(rig.kept) == 1


# other requests


def test_the_platforms_plain_read_is_answered_with_text():
    # GET 4/0/8, ctwing.md §2.2
    rig = registered()
    event, answer = rig.ask(m.GET, "4/0/8")
    assert event == (c.ASKED, "4/0/8") and answer.kind == m.ACK and answer.token == b"tk"
    assert (answer.code, answer.options, answer.payload) == (m.CONTENT, [(m.CONTENT_FORMAT, b"")], b"94537995")


def test_unknown_paths_are_not_found_whatever_the_method():
    rig = registered()
    mid = 0
    for path in ("7/0/3", "19/2/0", "3/0/5", "", "bs", "19/1/1"):
        for code in (m.GET, m.POST, m.PUT, m.DELETE):
            mid += 1
            assert rig.ask(code, path, mid=mid)[1].code == m.NOT_FOUND, path


def test_unknown_critical_options_are_bad_options():
    # RFC 7252 §5.4.1; If-Match is 1, If-None-Match 5 (no operation of LwM2M 1.0 has them), OSCORE 9
    rig = registered()
    for mid, number in enumerate((9, 1, 5, 65001)):
        event, answer = rig.ask(m.PUT, "19/1/0", [(number, b"\x08")], b"x", mid)
        assert answer.code == m.BAD_OPTION and event == (c.ASKED, "19/1/0")
    assert rig.kept == []
    assert rig.ask(m.PUT, "19/1/0", [(60, b"\x08"), (3, b"host"), (7, b"\x16\x33")], b"x", 99)[1].code == m.CHANGED


def test_what_the_platform_asks_while_we_register_is_answered():
    rig = Rig()
    rig.client.register(0, IMEI, 86400, "U")
    rig.sent()
    assert rig.receive(OBSERVE) == (c.OBSERVED, "19/0/0") and rig.exchange.busy()
    assert rig.receive(CREATED) == (c.REGISTERED,)
    assert rig.client.tokens == {"19/0/0": TOKEN}


def test_a_cold_wake_is_at_most_420_bytes():
    # IMEI as endpoint, Observe as in ctwing.md §7.6, 64 bytes of report, 28 bytes of IPv4 and UDP a datagram
    rig = Rig()
    rig.client.register(0, IMEI, 86400, "UQ")
    wire = [rig.exchange.out[0], unhexlify(CREATED), OBSERVE]
    assert rig.receive(CREATED) == (c.REGISTERED,)
    rig.receive(OBSERVE)
    mid = rig.client.notify(0, bytes(64), 1)
    wire += rig.exchange.out[1:] + [m.encode(m.Message(m.ACK, m.EMPTY, mid))]
    assert len(wire) == 6
    assert sum([28 + len(data) for data in wire]) <= 420, [len(data) for data in wire]


def test_strays_and_rubbish_are_no_events():
    rig = observed()
    for data in ("", "ff", "60003623", "70003623", "624436243624", "4000beef", "44450001aabbccdd"):
        assert rig.receive(data) is None
    assert rig.sent() == ["7000beef", "70000001"]
    assert rig.client.tokens == {"19/0/0": TOKEN} and rig.client.location == "rd/" + IMEI
