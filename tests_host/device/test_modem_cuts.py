"""The module's own LwM2M client: the power goes at every flash program, every AT command and every datagram of a wake
with a command, or that datagram is lost: nothing is lost, the command is answered once."""

import pytest

from tests_host.device.cutting import COMMAND, CUT, LOST, PROGRAM, Scene, play, points
from tests_host.device.test_connection_cuts import INTERRUPTED, registered
from tests_host.device.world import World

MODEM = {"lwm2m.engine": "modem"}
# The AEP group answers the platform before anybody has read what it asks (lib/aep/modem_ncdp.py).
UNREAD = (r"command 8001 task 1: 0 answers", r"the valve was to move \[0\] and moved \[\]")
CLIENTS = {"qlw": (), "ncdp": UNREAD}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("how", [PROGRAM, CUT, LOST, COMMAND])
def test_a_wake_with_a_command_cut_or_disturbed_anywhere_ends_well(client, how):
    case = Scene(before=registered, allowed=INTERRUPTED + CLIENTS[client], config=MODEM, world={"client": client})
    count = points(case)[how]
    assert count >= 12
    for n in range(1, count + 1):
        with World(case.config, case.app, **case.world) as world:
            play(world, case, how, n)
