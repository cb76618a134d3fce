"""The world's water meter: our own line protocol, its own battery."""

from tests_host.module.modem_rig import Rig


def talk(rig: Rig, line: bytes) -> bytes:
    uart = rig.make("machine.UART", 1, 9600, 8, 0, 1, 0)
    uart("write", line)
    rig.wait(0.1)
    return uart("read", 64)


def flow(rig: Rig) -> tuple[int, int]:
    name, n, litres = talk(rig, b"READ\r\n").decode().strip().split(",")
    assert name == "FLOW"
    return int(n), int(litres)


def test_total_grows_strictly_while_water_flows():
    rig = Rig()
    samples = [flow(rig) for _ in range(5)]
    assert [n for n, _ in samples] == [1, 2, 3, 4, 5]
    litres = [total for _, total in samples]
    assert litres == sorted(set(litres))


def test_a_day_draws_what_a_household_may_draw():
    rig = Rig()
    _, before = flow(rig)
    rig.wait(86_400)
    _, after = flow(rig)
    assert 24 * 4 <= after - before <= 24 * 90 + 1


def test_reading_often_changes_nothing_in_the_total():
    often, seldom = Rig(), Rig()
    for _ in range(24):
        often.wait(3600)
        often.board.firmware["machine"].lines[1]._flow()
    seldom.wait(24 * 3600)
    seldom.board.firmware["machine"].lines[1]._flow()
    assert often.nv.values["watermeter"]["drawn"] == seldom.nv.values["watermeter"]["drawn"]


def test_every_sample_is_an_event_with_its_number():
    rig = Rig()
    n, litres = flow(rig)
    assert rig.events.of("sensor")[-1].data == {"field": "flow", "value": litres, "n": n}


def test_it_goes_on_while_the_module_is_off():
    rig = Rig()
    n, litres = flow(rig)
    rig.board.power_off()
    second = rig.again(reason=3, after=7 * 86_400)
    assert flow(second)[0] == n + 1
    assert second.events.of("sensor")[-1].data["value"] > litres + 7 * 24 * 3


def test_a_closed_valve_stops_the_flow():
    rig = Rig()
    assert talk(rig, b"VALVE,0\r\n") == b"OK\r\n"
    assert [(event.text, event.data["state"]) for event in rig.events.of("valve")] == [("closed", 0)]
    _, before = flow(rig)
    rig.wait(86_400)
    assert flow(rig)[1] == before
    assert talk(rig, b"VALVE,1\r\n") == b"OK\r\n"
    assert flow(rig)[1] > before


def test_a_stuck_valve_says_so_and_does_not_move():
    rig = Rig()
    rig.nv.values["watermeter"]["stuck"] = True
    assert talk(rig, b"VALVE,0\r\n") == b"ERR\r\n"
    assert rig.events.of("valve") == []


def test_noise_is_answered_with_err_or_not_at_all():
    rig = Rig()
    assert talk(rig, b"HELLO\r\n") == b"ERR\r\n"
    assert talk(rig, b"VALVE,2\r\n") == b"ERR\r\n"
    assert talk(rig, b"\xff" * 100) == b""
    assert talk(rig, b"REA") == b""
    assert talk(rig, b"D\n").startswith(b"FLOW,")
