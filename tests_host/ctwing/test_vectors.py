"""ctwing.md §7.6, byte for byte: what the platform answers and asks, against messages nobody here encoded."""

import pytest

from tools.ctwing.draws import Draws

REGISTER = (
    "4102362201b272641128396c776d326d3d312e300d0565703d38363835343330363039373433333403623d55086c743d3836343030ff3c2f3e3b72"
    "743d226f6d612e6c776d326d222c3c2f312f303e2c3c2f332f303e2c3c2f31392f303e2c3c2f31392f313e"
)
CREATED = "61413622018272640d02383638353433303630393734333334"
OBSERVE = "4401ad092d82e7f56052313901300130612a"
OBSERVED = "6445ad092d82e7f560612a"
NOTIFY, ACK, RST = "444536232d82e7f56101612aff68656c6c6f776f726c64", "60003623", "70003623"
UPDATE = "4102362402b272640d02383638353433303630393734333334486c743d3836343030"
UPDATED = "6144362402"
WRITE = "4403ad0b2d82e7f5b2313901310130112aff68656c6c6f776f726c642061636b"
WRITTEN = "6444ad0b2d82e7f5"
DEREGISTER, DELETED = "4104362503b272640d02383638353433303630393734333334", "6142362503"

FIXED = "2d82e7f5"


class Fixed(Draws):
    """Chance replaced by the vectors' own token and MID: the n-th token drawn is the fixed one."""

    def __init__(self, nth: int) -> None:
        super().__init__(1)
        self.nth = nth

    def first_mid(self, device: str) -> int:
        return 44296  # /3/0 takes it, so that /19/0/0 is 44297 and the first write 44299, as in the guide's log

    def token(self, device, length, taken):
        self.nth -= 1
        return bytes.fromhex(FIXED) if self.nth == 0 else super().token(device, length, taken)


def fixed(aep, nth):
    aep.draws = aep.front.draws = Fixed(nth)


def test_register_observe_notify_update_deregister(world):
    async def work():
        aep = world.aep()
        fixed(aep, nth=2)
        device, wire = await world.device(aep)
        assert (await wire.ask(REGISTER)).hex() == CREATED
        first = await wire.receive()
        assert first[1] == 1 and first.endswith(bytes.fromhex("6051330130"))  # GET, Observe 0, /3/0
        wire.send(bytes([0x64, 0x45]) + first[2:8] + b"\x60\xff\x00")
        assert (await wire.receive()).hex() == OBSERVE
        wire.send(OBSERVED)
        third = await wire.receive()
        assert third.endswith(bytes.fromhex("b13401300138"))  # GET /4/0/8, no Observe
        assert int.from_bytes(third[2:4], "big") == 44298
        wire.send(bytes([0x64, 0x45]) + third[2:8])
        assert (await wire.ask(NOTIFY)).hex() == ACK
        assert [uplink.payload for uplink in aep.uplinks(device)] == [b"helloworld"]
        assert (await wire.ask(UPDATE)).hex() == UPDATED
        assert (await wire.ask(DEREGISTER)).hex() == DELETED

    world.run(work)


def test_write(world):
    async def work():
        aep = world.aep()
        fixed(aep, nth=4)
        device, wire = await world.device(aep)
        await wire.ask(REGISTER)
        await wire.observed()
        command = aep.command(device, "helloworld ack")
        assert (await wire.ask(UPDATE)).hex() == UPDATED
        assert (await wire.receive()).hex() == WRITE
        wire.send(WRITTEN)
        assert await wire.silent()
        done = aep.commands(device)[0]
        assert (done.id, done.status, done.result) == (command, "DELIVERED", "2.04")

    world.run(work)


@pytest.mark.parametrize("before", [False, True])
def test_notify_with_an_unknown_token_is_reset(world, before):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        if before:
            await wire.ask(REGISTER)
            await wire.observed()
        assert (await wire.ask(NOTIFY)).hex() == RST
        assert aep.uplinks(device) == []

    world.run(work)
