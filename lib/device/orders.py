"""What is to be done when the exchanges of a wake are over, asked for by app.py or by the server.

    from device import orders
    orders.ask(orders.REBOOT)

Orders live in RAM: one that a power cut takes is asked for again, or is not wanted any more.
"""

REBOOT = "reboot"  # the module restarts
UPDATE = "update"  # the registration is updated, as a sign of life
LEAVE = "leave"  # deregisters; the next wake registers again
DISABLE = "disable"  # deregisters, and leaves the server alone for as long as its object 1 says (1/0/5)

pending = {}


def ask(order: str) -> None:
    """Notes an order; twice is once."""
    pending[order] = 1


def take(order: str) -> bool:
    """Whether it was asked for; it is not any more."""
    return pending.pop(order, 0) == 1
