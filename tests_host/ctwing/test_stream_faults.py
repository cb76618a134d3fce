"""Fault switches of the MQTT and TCP fronts, seen from the device's side."""

import asyncio

import pytest

from tests_host.ctwing.stream_device import TOKEN, connect, login, mqtt, publish, real, short
from tools.ctwing.checks import AepError

UPLINK = "0200080001000141023d71"


class Way:
    """How a device of one protocol logs in and reports, and what it is answered."""

    def __init__(self, protocol):
        self.protocol = protocol

    async def ready(self, here):
        """A device that is created, and a connection."""
        device = here.create(protocol=self.protocol, transparent=self.protocol == "mqtt")
        return device, await here.connect(self.protocol)

    def login(self, device):
        return connect(device, TOKEN) if self.protocol == "mqtt" else login(device, TOKEN, "1.1")

    @property
    def welcome(self):
        return "20020000" if self.protocol == "mqtt" else "050000"

    @property
    def report(self):
        return publish("t", b"1", 1).hex() if self.protocol == "mqtt" else UPLINK

    @property
    def answer(self):
        return "40020001" if self.protocol == "mqtt" else "82000400010000"

    def command(self, number):
        """A command with the content "one", as it comes."""
        head = mqtt(0x32, short("device_control") + number.to_bytes(2, "big") + b"one")
        return head.hex() if self.protocol == "mqtt" else "030007" + f"{number:04x}" + "0000" + b"one".hex()

    async def enter(self, here):
        device, stream = await self.ready(here)
        assert await stream.ask(self.login(device), len(self.welcome) // 2) == self.welcome
        return device, stream

    async def reports(self, stream):
        return await stream.ask(self.report, len(self.answer) // 2)


both = pytest.mark.parametrize("way", [Way("mqtt"), Way("tcp")], ids=["mqtt", "tcp"])


@pytest.mark.parametrize(("protocol", "switch", "code", "answer"), [
    *[("mqtt", "refuse-connect", code, f"2002000{code}") for code in range(1, 6)],
    *[("tcp", "refuse-login", code, f"05000{code}") for code in range(1, 5)],
])
@real()
async def test_a_login_is_refused_on_purpose_with_every_code_and_the_next_is_not(here, protocol, switch, code, answer):
    way = Way(protocol)
    device, stream = await way.ready(here)
    here.aep.fault(switch, device, strikes=1, value=code)
    stream.send(way.login(device))
    assert (await stream.closed()).hex() == answer
    again = await here.connect(protocol)
    assert await again.ask(way.login(device), len(way.welcome) // 2) == way.welcome


@both
@real()
async def test_a_lost_acknowledgement_leaves_the_report_stored(here, way):
    device, stream = await way.enter(here)
    here.aep.fault("drop-ack", device, strikes=1)
    stream.send(way.report)
    assert await way.reports(stream) == way.answer  # of the second
    assert [uplink.acknowledged for uplink in here.aep.uplinks(device)] == [False, True]


@both
@real()
async def test_a_dropped_report_is_not_stored(here, way):
    device, stream = await way.enter(here)
    here.aep.fault("drop-report", device, strikes=1)
    stream.send(way.report)
    assert await way.reports(stream) == way.answer
    assert len(here.aep.uplinks(device)) == 1


@both
@real()
async def test_a_report_is_answered_with_rst_and_is_not_stored(here, way):
    device, stream = await way.enter(here)
    here.aep.fault("reset-report", device, strikes=1)
    with pytest.raises(ConnectionResetError):
        await stream.ask(way.report, 1)
    assert here.aep.uplinks(device) == []


@both
@real()
async def test_a_sign_of_life_is_not_answered(here, way):
    device, stream = await way.enter(here)
    here.aep.fault("silent-beat", device, strikes=1)
    beat, answer = ("c000", "d000") if way.protocol == "mqtt" else ("04", "06")
    stream.send(beat)
    assert await stream.silent()
    assert await stream.ask(beat, len(answer) // 2) == answer


@both
@pytest.mark.parametrize(("kind", "begins"), [("noise", ""), ("long", "32ffffff7f 03ffff"), ("foreign", b"HTTP".hex())])
@real()
async def test_what_goes_down_is_no_frame(here, way, kind, begins):
    device, stream = await way.ready(here)
    here.aep.fault("hostile-frames", device, strikes=1, value=kind)
    first = await stream.ask(way.login(device), 3)
    assert first != way.welcome[:6] and any(one.startswith(first) or first.startswith(one)
                                            for one in begins.split() or [first])


@both
@real()
async def test_the_connection_is_closed_right_after_its_login(here, way):
    device, stream = await way.ready(here)
    here.aep.fault("close-after-login", device)
    stream.send(way.login(device))
    assert (await stream.closed()).hex() == way.welcome
    assert here.aep.registrations(device)[0].reason == "closed on purpose"


@both
@real()
async def test_a_half_open_link_answers_and_sends_nothing_and_stays(here, way):
    device, stream = await way.enter(here)
    here.aep.fault("half-open", device)
    here.aep.command(device, "one")
    stream.send(way.report)
    assert await stream.silent() and here.aep.device(device).online
    assert here.aep.uplinks(device) == [] and here.aep.commands(device)[0].status == "SAVED"
    assert here.aep.trace(device)[-1].note == "not read: half-open"
    assert here.aep.heal("half-open", device)
    assert await way.reports(stream) == way.answer


@both
@real()
async def test_frames_come_merged(here, way, monkeypatch):
    device, stream = await way.enter(here)
    here.aep.fault("merge-frames", device)
    begin = here.loop.time()
    stream.send(way.report)
    stream.send(way.report)
    stream.send(way.report)
    count = len(way.answer) // 2 * 3
    assert len(await asyncio.wait_for(stream.reader.read(1000), 5)) == count
    assert here.loop.time() - begin > 0.15


@both
@real()
async def test_frames_come_byte_by_byte_from_the_login_on(here, way):
    device, stream = await way.ready(here)
    here.aep.fault("split-frames", device)
    stream.send(way.login(device))
    parts = []
    while len(b"".join(parts)) < len(way.welcome) // 2:
        parts.append(await asyncio.wait_for(stream.reader.read(1000), 5))
    assert b"".join(parts).hex() == way.welcome and len(parts) > 1
    assert await way.reports(stream) == way.answer


@real()
async def test_a_refusal_that_is_split_is_whole_before_the_end(here):
    device = here.create()
    here.aep.fault("split-frames")
    here.aep.fault("merge-frames")
    stream = await here.connect()
    stream.send(login(device, "wrong"))
    assert (await stream.closed()).hex() == "050003"


@both
@real()
async def test_a_command_that_was_acknowledged_comes_again(here, way):
    device, stream = await way.enter(here)
    here.aep.fault("repeat-commands", device, strikes=1)
    here.aep.command(device, "one")
    count = len(way.command(1)) // 2
    assert (await stream.get(count)).hex() == way.command(1)
    stream.send("40020001" if way.protocol == "mqtt" else "83000400010000")
    assert (await stream.get(count)).hex() == way.command(2 if way.protocol == "mqtt" else 1)
    assert [command.status for command in here.aep.commands(device)] == ["DELIVERED"]


@real()
async def test_a_second_tcp_login_may_take_over(here):
    device, first = await Way("tcp").enter(here)
    here.aep.fault("take-over", device)
    second = await here.connect()
    assert await second.ask(login(device, TOKEN, "1.1"), 3) == "050000"
    assert await first.closed() == b"" and here.aep.device(device).online


@real()
async def test_a_ban_closes_the_connection_and_keeps_its_address_out_for_as_long_as_it_says(here):
    device, stream = await Way("tcp").enter(here)
    here.aep.fault("ban", device, value=0.5)
    assert await stream.closed() == b""
    assert await (await here.connect()).closed() == b""
    await asyncio.sleep(0.5)
    again = await here.connect()
    assert await again.ask(login(device, TOKEN, "1.1"), 3) == "050000"


@pytest.mark.parametrize("whom", ["the device", "everybody"])
@pytest.mark.parametrize("counted", [False, True])
@real()
async def test_a_ban_is_lifted_whatever_brought_it_about(here, counted, whom):
    device, stream = await Way("tcp").enter(here)
    if counted:
        for _ in range(30):
            await here.connect()
        await here.until(here.aep.tcp.bans)
    else:
        here.aep.fault("ban", device)
    assert await (await here.connect()).closed() == b""
    assert here.aep.tcp.bans() == {None: 7200, device: 7200}
    target = device if whom == "the device" else None
    assert here.aep.heal("ban", target) and not here.aep.heal("ban", target)
    stream.close()
    await here.until(lambda: not here.aep.device(device).online)
    again = await here.connect()
    assert await again.ask(login(device, TOKEN, "1.1"), 3) == "050000"


@real()
async def test_a_ban_is_of_tcp_devices_alone(here):
    device, stream = await Way("mqtt").enter(here)
    here.aep.fault("ban", device)
    here.aep.fault("ban")
    assert here.aep.tcp.bans() == {} and await stream.ask("c000", 2) == "d000"


@pytest.mark.parametrize(("name", "value"), [
    ("refuse-connect", 0), ("refuse-connect", 6), ("refuse-connect", "3"), ("refuse-login", 5), ("refuse-login", True),
    ("ban", 0), ("ban", "1"), ("half-open", 1), ("hostile-frames", "loud"), ("silent-beat", 1),
])
def test_an_argument_that_a_switch_does_not_take_is_refused(world, name, value):
    with pytest.raises(AepError):
        world.aep().fault(name, value=value)
