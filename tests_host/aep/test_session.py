# runs in: cpython, vm, old
"""The session's errors: one family, each with a number of its own, a hint, and one thing for the cycle to do."""

from aep import dtls_faults as d
from aep import refusals as r
from aep import session as s
from aep import stream_faults as c
from aep import thing as t
from link import fault, hints


def family():
    found = []
    for module in (fault, s, r, d, c, t):
        for name in dir(module):
            kind = getattr(module, name)
            if isinstance(kind, type) and issubclass(kind, fault.Fault) and kind not in found:
                found.append(kind)
    return found


def test_every_error_has_a_number_of_its_own():
    codes = [kind.code for kind in family()]
    assert len(codes) >= 19 and len(set(codes)) == len(codes)


def test_every_error_has_a_hint_of_its_own():
    found = [kind().hint() for kind in family()]
    assert len(set(found)) == len(found) == len(hints.HINTS)
    for hint in found:
        assert len(hint) > 20


def test_every_error_says_what_the_cycle_should_do():
    actions = {kind: kind.action for kind in family()}
    assert set(actions.values()) == {fault.RETRY, fault.BACK_OFF, fault.REATTACH, fault.WAIT}
    # A person must act; trying on costs the battery (DESIGN §3: "not provisioned / wrong credentials")
    for kind in (r.NotProvisioned, r.BadRequest, r.WrongVersion, d.BadKey, c.BadCertificate):
        assert actions[kind] == fault.WAIT
    assert actions[s.SessionLost] == fault.RETRY and actions[s.Silent] == fault.BACK_OFF


def test_receipts_and_verdicts_are_told_apart():
    assert len({s.ACKNOWLEDGED, s.HANDED_OVER}) == 2 and len({s.KEPT, s.MALFORMED, s.BUSY, s.DONE}) == 4
