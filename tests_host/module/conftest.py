"""Ends the worlds that a test has made with `bench.py` or `at_port.py`."""

import asyncio

import pytest

from tests_host.module.at_port import Desk
from tests_host.module.bench import WORLDS


@pytest.fixture(autouse=True)
def worlds_end():
    yield
    while WORLDS:
        loop = WORLDS.pop()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.jump.failure = None
        if left:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()


@pytest.fixture
def desk():
    """Makes an AT port with a platform behind it."""
    made = []

    def make(*args, **named) -> Desk:
        made.append(Desk(*args, **named))
        return made[-1]

    yield make
    for one in made:
        one.close()
