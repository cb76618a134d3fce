"""Thing models on the host: lib/services.py and the platform's service list, one turned into the other; and messages
decoded by them, with nothing of lib/."""

from tools.things.command import services

__all__ = ["services"]
