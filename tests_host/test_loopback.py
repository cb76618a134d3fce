"""Ports for servers that must be told one."""

import socket

from tools import loopback


def test_ports_lie_below_those_that_systems_give_out_and_come_once():
    given = [loopback.free_port() for _ in range(50)]
    assert len(set(given)) == 50
    assert min(given) >= 1024 and max(given) < 32768


def test_a_port_that_somebody_has_is_passed_over():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as somebody:
            somebody.bind(("127.0.0.1", loopback.free_port() + 1))
            assert loopback.free_port() != somebody.getsockname()[1]


def test_processes_that_start_together_begin_far_apart():
    starts = sorted(pid * loopback.APART % loopback.COUNT for pid in range(12))
    assert min(later - earlier for earlier, later in zip(starts, starts[1:], strict=False)) > 500
