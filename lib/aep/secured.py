"""DTLS around a path: `send` and `receive(until)` as link/sockets.py has them (RFC 6347, guide §4.1.3.2).

A session that was closed in order lies in the vault, one record on flash, and a later wake goes on with it. No record
number is used twice: before the first of a block is used, the vault says that all of them may have been. No record is
taken twice: before a request of the platform is acted on, the vault knows that its record came. So a cut skips
numbers and repeats none; a session that is not in the vault dies with the power, and its keys with it.
"""

import usys
from micropython import const
from ubinascii import hexlify, unhexlify

from aep import dtls_faults as f
from dtls import client as d
from dtls import record as r
from dtls.primitives import sha256, usable
from link import sockets
from link.entropy import random_bytes
from link.fault import BACK_OFF

# Short cuts beside those of aep/shortcuts.py
BY_ID = "c"  # a session of before goes on: the platform knows us by its connection id
KEPT = "k"  # it goes on from the same port, though the NAT has forgotten us
AT_ONCE = "n"  # the platform takes a report before it was told our address by an Update
RESUME = "r"  # a handshake is shorter: the server resumes the session before it

_BLOCK = const(64)  # record numbers reserved at a time: a wake uses about four
_JUNK = const(256)  # datagrams without effect in a row, after which the path counts as flooded; estimate
_FIRST_PORT = const(0xC000)  # of the dynamic ports (RFC 6335 §6)
_PORTS = const(0x3FFF)
# Alerts that a person must see to: bad_record_mac, decryption_failed, handshake_failure, access_denied, decrypt_error,
# unknown_psk_identity (RFC 5246 §7.2, RFC 4279 §2)
_FINAL = (20, 21, 40, 49, 51, 115)


class Secured(sockets.Path):
    """The path to (`address`, server.port) under the settings' PSK. `vault` is a store.record.Record; `asks(data)`
    tells a request of the platform; `learned` is the aep.shortcuts.Shortcuts.

    It has a path and is none: what sockets.Path sets up itself is not. `doubt` is the short cut by which a session is
    used, "" once the platform was heard in it; `fresh`: a new one in which nothing was heard yet; `how`: 1 a new
    session, 2 resumed by the server, 3 gone on with."""

    def __init__(self, settings: dict, address: str, clock, vault, device, jitter: int, asks, learned) -> None:
        if not usable():
            raise f.NoSuite("this firmware has no SHA-256")
        self._settings = settings
        self._peer = (address, settings["server.port"])
        self._clock = clock
        self._vault = vault
        self._device = device
        self._jitter = jitter
        self._asks = asks
        self._learned = learned
        self._path = None  # type: sockets.Path  # type: ignore[assignment]
        self._port = 0
        self._client = self._new()
        # What a session is bound to beside the address
        mark = b"%d\n%s\n%s" % (self._peer[1], self._client.identity, self._client.psk)
        self._who = hexlify(sha256(mark)[:8]).decode()
        self._junk = 0
        self.strangers = 0
        self._passed = 0  # of them at earlier ports
        self.doubt = ""
        self.fresh = False
        self.how = 0

    # -- the path ------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """One datagram. Raises NoPath, SecureEnded where the session is over, or OSError where the flash does not take
        that more record numbers are used."""
        self._check()
        self._client.send(data)
        self._flush()

    def receive(self, until: int):
        """The next datagram of the platform, or None at `until`. Raises NoPath, Flooded, or SecureEnded."""
        client = self._client
        while not client.inbox:
            self._check()
            data = self._path.receive(until)
            self.strangers = self._passed + self._path.strangers
            if data is None:
                return None
            self._take(data)
        self._junk = 0
        if self.doubt:
            self._learned.outcome(self.doubt, True)
            self.doubt = ""
        self.fresh = False
        data = client.inbox.pop(0)
        if client.limit is not None and self._asks(data):
            self._save(client.limit)
        return data

    def alive(self) -> bool:
        """Whether there is a session."""
        return self._client.state == d.CONNECTED

    def has_id(self) -> bool:
        """Whether the platform knows us by a connection id, from wherever we send (RFC 9146)."""
        return self._client.cid != b""

    def close(self) -> None:
        """Frees the socket; the session is kept for a later wake."""
        if self.alive():
            try:
                self._save(self._client.sequence)
            except OSError:  # then it is not kept, or as it was when its numbers were last reserved
                pass
        self._drop()

    def end(self) -> None:
        """Ends the session at both ends. Raises NoPath."""
        self._client.close()
        self._flush()
        self._vault.remove()

    # -- beginning -----------------------------------------------------------------------------------------------

    def open(self, until: int, worth) -> None:
        """Goes on with the session in the vault, where `worth(has an id, our address changed)` names the short cut by
        which to; else begins one."""
        if self._load(worth):
            self._path = sockets.Path(self._peer[0], self._peer[1], self._clock, self._port)
        else:
            self._begin(until)

    def renew(self, until: int) -> None:
        """A new session from another port, in place of the one that does not answer."""
        if self.doubt:
            self._learned.outcome(self.doubt, False)
            self.doubt = ""
        self._drop()
        self._begin(until)

    def _load(self, worth) -> bool:
        """What is in the vault; whether to go on with it."""
        from dtls import saved

        client, found = self._client, self._vault.load()
        if found is None or found.get("who") != self._who or not saved.load(found, client):
            return False
        port = found.get("port")
        if found.get("addr") != self._peer[0] or not isinstance(port, int) or client.suite not in client.suites:
            return False
        self.doubt = worth(client.cid != b"", found.get("own") != self._device.address)
        if not self.doubt:
            return False
        self._port, self.how = port, 3
        try:
            self._reserve()
        except OSError:  # nothing says that its numbers are used
            self.doubt = ""
        return self.doubt != ""

    def _begin(self, until: int) -> None:
        """A handshake. Raises NoPath, Flooded, or what the phase says in which it ended."""
        resume = self._client.resumption()
        if resume is not None and not self._learned.worth(RESUME):
            resume = None
        _unload()
        self._client = client = self._new()
        # Another port: many servers ignore a ClientHello on a live 5-tuple
        drawn = random_bytes(34, self._device.imei)
        self._port = _FIRST_PORT + ((drawn[0] << 8 | drawn[1]) & _PORTS)
        self._path = sockets.Path(self._peer[0], self._peer[1], self._clock, self._port)
        client.start(self._clock.now(), drawn[2:], resume)
        while client.state == d.SHAKING:
            self._flush()
            due = client.deadline()
            data = self._path.receive(until if due is None or due > until else due)
            if data is not None:
                self._take(data)
            elif self._clock.now() < until:
                client.poll(self._clock.now())
            else:
                break
        _unload()
        if client.state != d.CONNECTED:
            self._drop()
            client.session_id = b""
            if resume is None or not (client.resumed or client.error is not None and client.error.alert >= 0):
                raise self._failed()
            self._learned.outcome(RESUME, False)  # the session of before may be to blame, and the key not
            self._begin(until)
            return
        self.fresh = True
        self.how = 2 if client.resumed else 1
        if resume is not None:
            self._learned.outcome(RESUME, client.resumed)

    def _new(self):
        settings = self._settings
        psk = unhexlify(settings["psk_hex"]) if settings["psk_hex"] else settings["psk"].encode()
        suites = (d.CCM_8, d.CBC) if settings["dtls.suites"] == "ccm8+cbc" else (d.CCM_8,)
        return d.Client(
            (settings["psk_id"] or self._device.imei).encode(), psk, suites,
            settings["lwm2m.ack_timeout"] * self._jitter >> 8, settings["lwm2m.retries"], True, self._reserve,
        )  # fmt: skip

    # -- parts ---------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        self._client.receive(data, self._clock.now())
        self._flush()
        self._junk += 1
        if self._junk > _JUNK:
            from aep.refusals import Flooded

            raise Flooded("%d datagrams without effect" % self._junk)

    def _flush(self) -> None:
        out = self._client.out
        while out:
            self._path.send(out.pop(0))

    def _reserve(self) -> None:
        limit = self._client.sequence + _BLOCK
        self._save(limit)
        self._client.limit = limit

    def _save(self, sequence: int) -> None:
        from dtls import saved

        value = saved.dump(self._client, sequence)
        value["who"], value["addr"], value["port"] = self._who, self._peer[0], self._port
        value["own"] = self._device.address
        self._vault.save(value)

    def _drop(self) -> None:
        if self._path is not None:
            self._passed = self.strangers
            self._path.close()
            self._path = None  # type: ignore[assignment]

    def _check(self) -> None:
        if not self.alive():
            raise f.SecureEnded("DTLS session: %s" % self._client.error)

    def _failed(self):
        """The fault of a handshake that came to nothing."""
        error, where = self._client.error, "%s:%d" % self._peer
        phase = self._client.phase() if error is None else error.phase
        if error is None or error.alert < 0:
            what, alert = "no answer from %s to " % where, -1
            what += "ClientHello" if phase == r.HELLO else "the handshake's end"
        else:
            what, alert = "%s (%s)" % (error, where), error.alert
        if phase == r.HELLO:
            return f.NoDtls(what) if alert < 0 else f.NoSuite(what)
        fault = f.BadKey(what)
        if alert not in _FINAL:
            fault.action = BACK_OFF  # silence may be loss as well
        return fault


def _unload() -> None:
    """Frees what is not needed now and would be loaded again: 10 KB of heap for a handshake, 3 KB for going on with a
    session, 5 KB for telling observers."""
    import aep
    import dtls
    import m2m

    loaded = usys.modules
    if loaded.pop("dtls.handshake", None) is not None:
        del dtls.handshake
    if loaded.pop("dtls.saved", None) is not None:
        del dtls.saved
    if loaded.pop("aep.observers", None) is not None:
        del aep.observers  # type: ignore[attr-defined]
    if loaded.pop("m2m.notices", None) is not None:
        del m2m.notices  # type: ignore[attr-defined]
