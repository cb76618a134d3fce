"""DTLS sessions over wakes: what becomes of one that the other side has lost, spoilt or refuses."""

from dataclasses import replace

import pytest

from tests_host.device.world import World
from tools.ctwing.dtls_own import Options

KEEPING = Options(cid=0)


def spoil(world):
    """The platform has another secret for every session that it would resume."""
    saved = world.aep.dtls.engine.saved
    for name, session in list(saved.items()):
        saved[name] = replace(session, master=bytes(48))


def handshakes(world):
    return [event.data["how"] for event in world.of("dtls") if "how" in event.data]


def test_a_resumption_that_the_platform_spoils_ends_in_a_new_session_in_the_same_wake():
    """Nothing of it is the key's fault: E32 would make the device wait for a person."""
    with World(dtls=KEEPING) as world:
        assert world.power_on() == "psm"
        for wake in range(3):
            spoil(world)
            assert world.wake() == "psm"
            assert world.waiting() == [] and handshakes(world)[-1] == "new"
            assert not [line for line in world.log() if "BadKey" in line], wake
        assert world.record("session")["session"]["learn"]["r"][0] >= 1


@pytest.mark.parametrize("alert", [40, 47, 80])
def test_a_platform_that_refuses_to_hear_of_an_old_session_is_not_asked_for_it_again_at_once(alert):
    with World(dtls=KEEPING) as world:
        assert world.power_on() == "psm"
        engine = world.aep.dtls.engine
        hello = type(engine.session("x"))._agree

        def refusing(session, state, asked):
            if asked.session_id:
                from tools.ctwing import dtls_own_messages

                raise dtls_own_messages.Fatal(alert)
            return hello(session, state, asked)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(engine.session("x")), "_agree", refusing)
            for _ in range(3):
                assert world.wake() == "psm"
                assert world.waiting() == []
        assert handshakes(world) == ["new"] * len(handshakes(world))


def test_a_wrong_key_is_still_the_keys_fault_where_a_session_was_offered():
    with World(dtls=KEEPING) as world:
        assert world.power_on() == "psm"
        world.aep.dtls.engine.saved.clear()
        world.aep.fault("wrong-psk", world.device)
        assert world.wake() == "psm"
        assert any("E32 BadKey" in line for line in world.log())
