"""Ends the worlds that a test has made with `bench.py`."""

import asyncio

import pytest

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
