"""Chance by seed: the same for every device whatever the others do, and tokens that never mean two things."""

from tools.ctwing.draws import RETIRED, Draws


def free(token):
    return False


def test_a_devices_draws_do_not_depend_on_other_devices():
    alone, busy = Draws(3), Draws(3)
    for _ in range(5):
        busy.token("b", 4, free)
        busy.first_mid("b")
        busy.ack_timeout("b")
    assert alone.token("a", 4, free) == busy.token("a", 4, free)
    assert alone.first_mid("a") == busy.first_mid("a") and alone.ack_timeout("a") == busy.ack_timeout("a")


def test_a_retired_token_is_not_given_again_soon():
    draws, seen = Draws(1), []
    for _ in range(RETIRED):
        seen.append(draws.token("a", 1, free))
        draws.retire(seen[-1])
    assert len(set(seen)) == RETIRED


def test_a_token_grows_by_a_byte_when_short_ones_run_out():
    draws, taken = Draws(1), set()
    while len(token := draws.token("a", 1, taken.__contains__)) == 1:
        taken.add(token)
    assert len(token) == 2 and len(taken) > 240


def test_acknowledgement_timeouts_are_2_to_3_seconds():
    draws = Draws(1)
    drawn = [draws.ack_timeout("a") for _ in range(500)]
    assert 2.0 <= min(drawn) < 2.1 and 2.9 < max(drawn) <= 3.0
