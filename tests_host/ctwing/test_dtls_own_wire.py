"""Our own DTLS server, record by record: connection ids, replays, losses, resumption, bytes from anyone."""

import random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from tests_host.ctwing.dtls_peer import IDENTITY, Client, engine
from tools.ctwing import dtls_own_records as r
from tools.ctwing import dtls_own_wrong as wrong
from tools.ctwing.dtls_own_state import SAVED_LIMIT, Options

PLAIN = Options(cid=0)


def talk(options=None, **asked):
    """A server's engine, its session, and the client that has just connected."""
    server = engine(options)
    session = server.session("a")
    return server, session, Client(**asked).connect(session)


# records


def test_what_is_authenticated_is_what_the_rfc_writes_down():
    """RFC 9146 §5.3 and RFC 5246 §6.2.3.3, field by field, by hand: epoch 1, number 2, five bytes."""
    with_cid = r.Record(r.TLS12_CID, 0xFEFD, 1, 2, bytes.fromhex("c1d0"), b"")
    assert with_cid.additional(5).hex() == (
        "ffffffffffffffff"  # seq_num_placeholder
        "19" "02" "19" "fefd"  # tls12_cid, cid_length, tls12_cid, DTLSCiphertext.version
        "0001" "000000000002"  # epoch, sequence_number
        "c1d0" "0005"  # cid, length_of_DTLSInnerPlaintext
    )  # fmt: skip
    without = r.Record(r.APPLICATION_DATA, 0xFEFD, 1, 2, b"", b"")
    assert without.additional(5).hex() == "000100000000000217fefd0005"


def test_a_record_with_a_connection_id_has_the_layout_of_the_rfc():
    """RFC 9146 §4: type 25, version, epoch, number, cid, length, then nonce, content, real type, tag."""
    key, salt = bytes(range(16)), b"salt"
    inner = r.wrap(b"hello", r.APPLICATION_DATA, 3)
    assert inner == b"hello\x17\0\0\0" and r.unwrap(inner) == (r.APPLICATION_DATA, b"hello")
    record = r.Ccm8(key, salt).seal(r.Record(r.TLS12_CID, 0xFEFD, 1, 2, b"\xc1\xd0", inner))
    number = bytes.fromhex("0001000000000002")
    additional = b"\xff" * 8 + bytes.fromhex("190219fefd") + number + bytes.fromhex("c1d00009")
    data = AESCCM(key, 8).encrypt(salt + number, inner, additional)
    assert record.encode() == b"\x19\xfe\xfd" + number + b"\xc1\xd0" + b"\0\x19" + number + data


@pytest.mark.parametrize("spoilt", range(5))
def test_a_cbc_record_opens_only_untouched(spoilt):
    cbc = r.CbcSha256(bytes(16), bytes(32), random.Random(1))
    for kind, cid in ((r.APPLICATION_DATA, b""), (r.TLS12_CID, b"id")):
        sealed = cbc.seal(r.Record(kind, 0xFEFD, 1, spoilt, cid, b"x" * 20 * spoilt))
        assert cbc.open(sealed).body == b"x" * 20 * spoilt
        body = bytearray(sealed.body)
        body[len(body) * spoilt // 5] ^= 0x10
        for other in (
            r.Record(kind, 0xFEFD, 1, spoilt, cid, bytes(body)),
            r.Record(kind, 0xFEFD, 1, 9, cid, sealed.body),
        ):
            with pytest.raises(r.BadRecord):
                cbc.open(other)


def test_a_record_costs_29_bytes_and_one_more_and_the_id_with_a_connection_id():
    for options, cid, up, down in ((PLAIN, b"", 29, 29), (Options(), b"", 38, 29), (Options(cid=4), b"abc", 34, 33)):
        _, session, client = talk(options, cid=cid)
        assert (len(client.send(bytes(64))), len(session.send(bytes(64))[0])) == (64 + up, 64 + down)


# connection ids


def test_a_client_that_moved_is_found_by_its_connection_id_and_only_by_an_authentic_record():
    server, session, client = talk(cid=b"")
    moved = client.send(b"from elsewhere")
    assert server.owner(moved) is session and session.receive(moved) == ([], [b"from elsewhere"]) and session.fresh
    forged = client.send(b"forged")
    assert session.receive(forged[:-1] + bytes([forged[-1] ^ 1])) == ([], []) and not session.fresh
    assert server.owner(moved[:11] + bytes(8) + moved[19:]) is None


def test_an_old_record_does_not_move_the_address():
    server, session, client = talk(cid=b"")
    older, newer = client.send(b"older"), client.send(b"newer")
    assert session.receive(newer) == ([], [b"newer"]) and session.fresh
    assert session.receive(older) == ([], [b"older"]) and not session.fresh


def test_a_record_without_the_negotiated_connection_id_is_dropped():
    _, session, client = talk(cid=b"")
    client.to_server = b""
    assert session.receive(client.send(b"x")) == ([], [])


def test_no_connection_id_where_one_side_has_none():
    for options, asked in ((PLAIN, b""), (Options(), None)):
        server, session, client = talk(options, cid=asked)
        assert 54 not in client.server_hello["extensions"] and session.connection_id == b"" and not server.by_cid


def test_a_closed_session_is_not_found_any_more():
    server, session, client = talk(cid=b"")
    late = client.send(b"late")
    [notice] = session.close()
    assert client.open(notice) == [(21, 1, b"\1\0")]
    assert server.owner(late) is None and session.receive(late) == ([], []) and session.send(b"x") == []


# replays and losses


def test_a_record_counts_once_and_one_of_64_before_the_newest_not_at_all():
    _, session, client = talk()
    records = [client.send(bytes([number])) for number in range(70)]
    for number in (69, 10, 6, 5, 69, 10):
        plain = [bytes([number])] if number in (69, 10, 6) and not client.received.count(number) else []
        assert session.receive(records[number]) == ([], plain), number
        client.received.append(number)


def lossy(session, client, lost):
    """From now on the `lost`-th datagram, counted in both directions, is lost; the client sends its flight again."""
    receive, count = session.receive, []

    def through(datagram):
        count.append(datagram)
        if len(count) == lost:
            return through(client.again(datagram))
        out, plain = receive(datagram)
        count.extend(out)
        return through(client.again(datagram)) if out and len(count) == lost else (out, plain)

    session.receive = through
    return count


@pytest.mark.parametrize("cid", (None, b""))
@pytest.mark.parametrize(("resumed", "datagrams"), ((False, 6), (True, 5)))
def test_any_datagram_of_a_handshake_may_be_lost(resumed, datagrams, cid):
    for lost in range(1, datagrams + 1):
        server = engine()
        first = Client(seed=5).connect(server.session("b"))
        saved = (first.session_id, first.master) if resumed else (b"", b"")
        session, client = server.session("a"), Client(cid=cid, saved=saved)
        count = lossy(session, client, lost)
        client.connect(session)
        assert session.established and session.resumed == resumed, lost
        assert len(count) == datagrams + (1 if lost % 2 else 2), "what was lost went again, and nothing more"
        assert session.receive(client.send(b"x")) == ([], [b"x"])


def test_data_before_a_lost_finished_makes_an_abbreviated_handshake_repeat():
    server = engine()
    first = Client(seed=5).connect(server.session("b"))
    session, client = server.session("a"), Client(saved=(first.session_id, first.master))
    receive, lost = session.receive, []
    session.receive = lambda datagram: receive(datagram) if datagram[0] != 20 else (lost.append(datagram), [])
    client.connect(session)
    assert not session.established
    out, plain = receive(client.send(b"early"))
    assert out and plain == [], "nothing is delivered before the Finished, and the flight comes again"
    receive(client.again(lost[0]))
    assert session.established


# handshakes


def test_a_server_that_asks_for_a_cookie_keeps_nothing_and_takes_it_from_one_address_only():
    server = engine()
    here, there, client = server.session("here"), server.session("there"), Client()
    [asked], _ = here.receive(client.hello())
    assert asked[13] == 3 and asked[1:3] == b"\xfe\xff" and not here.begun
    answered = client.hello(asked[28:])
    assert there.receive(answered)[0][0][13] == 3 and not there.begun, "another address is asked again"
    assert server.session("here").receive(answered)[0][0][13] == 2, "nothing was kept in between"
    assert here.receive(answered[:-1] + bytes([answered[-1] ^ 1]))[0] == []


def test_a_client_hello_whose_numbers_are_near_their_end_is_dropped():
    """The server's own numbers follow the client's (RFC 6347 §4.2.1, §4.2.2)."""
    session, client = engine(Options(cookie=0)).session("a"), Client()
    client.seq = 0xFFFF
    assert session.receive(client.hello())[0] == []
    client.seq = 0
    good = client.hello()
    assert session.receive(good[:5] + b"\xff" * 6 + good[11:])[0] == [] and not session.begun


def test_a_second_handshake_on_a_live_session_needs_a_cookie():
    for options, restarts in ((Options(), True), (Options(restart=False), False), (Options(cookie=0), False)):
        _, session, client = talk(options)
        other = Client(seed=2)
        if restarts:
            [asked], _ = session.receive(other.hello())
            assert session.established and session.receive(client.send(b"x"))[1] == [b"x"], "the old one lives"
            assert session.receive(other.hello(asked[28:]))[0][0][13] == 2 and not session.established
        else:
            assert session.receive(other.hello())[0] == []
            assert session.receive(client.send(b"x"))[1] == [b"x"]


def test_a_session_is_resumed_by_its_id():
    server, _, client = talk(cid=b"")
    session = server.session("b")
    again = Client(cid=b"", saved=(client.session_id, client.master), seed=3).connect(session)
    assert session.established and session.resumed and session.identity == IDENTITY
    assert session.receive(again.send(b"x")) == ([], [b"x"])


def test_a_session_is_not_resumed_without_its_key_nor_for_ever_nor_where_that_is_switched_off():
    server, _, client = talk()
    saved = (client.session_id, client.master)
    server.keys[IDENTITY] = b"a new key"
    session = server.session("b")
    Client(psk=b"a new key", saved=saved, seed=3).connect(session)
    assert session.established and not session.resumed
    for number in range(SAVED_LIMIT + 5):
        Client(psk=b"a new key", seed=10 + number).connect(server.session(number))
    assert len(server.saved) == SAVED_LIMIT
    _, _, client = talk(Options(resumption=False))
    assert client.session_id == b""


def alert_of(options=None, **changes):
    """(level, code) of the plain alert that a handshake ends with."""
    server, client = engine(options), Client(**{k: v for k, v in changes.items() if k in ("psk", "identity")})
    session = server.session("a")
    client.suites, client.version = changes.get("suites", client.suites), changes.get("version", client.version)
    out = client.begin(session)
    if out[0][0] == 22:
        client.transcript += out[0][13 : 13 + out[0][12]] + out[0][-12:]
        client.read_server_hello(out[0][13 : 13 + out[0][12]])
        flight = b"".join(client.key_exchange())
        out, _ = session.receive(changes.get("spoil", bytes)(flight))
    assert not session.begun
    return (out[0][0], *out[0][13:]) if out else ()


def test_handshakes_that_fail_end_with_their_alert():
    assert alert_of(suites=(0xC0A9,)) == (21, 2, 40)
    assert alert_of(version=0xFEFF) == (21, 2, 70)
    assert alert_of(identity=b"nobody") == (21, 2, 115)
    assert alert_of(Options(unknown_identity=51), identity=b"nobody") == (21, 2, 51)
    assert alert_of(identity=b"\xff\xfe") == (21, 2, 115)
    assert alert_of(identity=bytes(200)) == (21, 2, 50)
    assert alert_of(psk=b"another") == (21, 2, 20)
    assert alert_of(Options(unreadable_finished=51), psk=b"another") == (21, 2, 51)


def test_a_finished_that_opens_and_is_wrong_is_a_decrypt_error():
    session, client = engine().session("a"), Client()
    verify = client.verify_data
    client.verify_data = lambda label: verify(label)[:-1] + b"?" if label == b"client finished" else verify(label)
    with pytest.raises(IndexError):
        client.connect(session)
    assert session.ended == "alert 51 sent" and not session.begun


def test_a_renegotiation_is_refused_and_the_session_goes_on():
    _, session, client = talk()
    [refused], _ = session.receive(client.record(22, 1, client.hello()[13:]))
    assert client.open(refused) == [(21, 1, b"\1\x64")]
    assert session.receive(client.send(b"x")) == ([], [b"x"])


# what it does wrong, and bytes from anyone


def said_by(name):
    """All that a server with this misbehaviour says to a client that does everything right."""
    session, client = engine(Options(wrong=(name,) if name else ())).session("a"), Client(seed=4)
    seen = client.begin(session)
    first, size = seen[0], 13 + seen[0][12]
    if first[0] == 22 and first[13] == 2:
        client.read_server_hello(first[13:size])
        client.transcript += first[13:size] + first[size + 13 :]
        seen += session.receive(b"".join(client.key_exchange()))[0]
    return b"".join(seen + session.send(b"data"))


def test_every_misbehaviour_is_seen_on_the_wire():
    sound = said_by("")
    assert [name for name in sorted(wrong.NAMES) if said_by(name) == sound] == []
    with pytest.raises(ValueError, match="nonsense"):
        Options(wrong=("nonsense",))


def test_a_run_of_a_seed_is_equal_byte_by_byte():
    def run(seed):
        session = engine(Options(reorder=True, fragment=30), seed).session("a")
        return Client(cid=b"").begin(session)

    assert run(1) == run(1) != run(2)


def test_bytes_from_anyone_neither_raise_nor_end_a_session():
    source = random.Random(11)
    for cid in (None, b""):
        server, session, client = talk(cid=cid)
        fresh = Client(seed=9)
        other = Client(seed=8)
        other.begin(server.session("b"))
        other.server_hello, other.seq = client.server_hello, 2
        flight = b"".join(other.key_exchange())  # of the number that would be next, under other keys
        good = [fresh.hello(), client.send(b"good"), flight, b""]
        for _ in range(4000):
            data = bytearray(source.choice(good) + source.randbytes(source.randrange(0, 30) * source.randrange(2)))
            for _ in range(source.randrange(1, 4)):
                if data:
                    data[source.randrange(len(data))] = source.randrange(256)
            data = data[: source.randrange(len(data) + 1)] if source.randrange(3) == 0 else data
            server.owner(bytes(data))
            session.receive(bytes(data))
        assert session.established and session.receive(client.send(b"still"))[1] == [b"still"]


def test_bytes_from_anyone_at_every_step_of_a_handshake_do_not_raise():
    source = random.Random(12)
    for options in (Options(), Options(cookie=0)):
        server = engine(options)
        for number in range(400):
            session, client = server.session(number), Client(seed=number)
            receive = session.receive

            def hostile(datagram, receive=receive):
                for _ in range(3):
                    data = bytearray(datagram)
                    data[source.randrange(len(data))] = source.choice((0, 1, 255, source.randrange(256)))
                    receive(bytes(data[: source.randrange(len(data)) + 1]))
                return receive(datagram)

            session.receive = hostile
            try:
                client.connect(session)
            except (ValueError, IndexError, AssertionError, KeyError):
                continue  # the client was led astray, as anybody on the way can do before there are keys
            assert session.established
