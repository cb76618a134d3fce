"""Observers of other paths than 19/0/0: what they are to be told. Loaded only where there is something to tell or to
decide; the session asks first whether anything changed at all."""

from aep.shortcuts import SHORT_RETRIES, SHORT_TIMEOUT
from coap import message as m
from m2m import client as c
from m2m import notices


def due(session, now: int) -> list:
    """The paths whose observer is to be told something at `now` (Unix s)."""
    client = session.client
    return notices.due(client.tree, client.tokens, client.attributes, session.marks, now)


def next_due(session):
    """Unix time at which the first longest period ends, or None."""
    client = session.client
    return notices.next_due(client.tree, client.tokens, client.attributes, session.marks)


def tell(session, path: str, until: int) -> None:
    """Tells what a path reads now. Nothing depends on it: where nobody answers, the next wake tells it."""
    client = session.client
    code, form, payload = client.tree.read(path, client.forms.get(path))
    if code != m.CONTENT:
        client.tokens.pop(path, None)  # what was there is no more; a server that asks again is told so
        return
    clock, number = session.clock, session.numbers.next("seq")
    client.notify(clock.now(), payload, number, True, path, form, SHORT_TIMEOUT, SHORT_RETRIES)
    event = session.wait((c.DELIVERED, c.LOST, c.CANCELLED, c.SILENT), until)
    if event is not None and event[0] == c.DELIVERED:
        notices.told(client.tree, session.marks, path, clock.unix())
