"""Module families (`ec800e`, ...) and the networks they attach to (`networks`)."""

from tools.module.profiles.base import Profile
from tools.module.profiles.ec800e import EC800E

FAMILIES: dict[str, Profile] = {EC800E.name: EC800E}
"""By the name that `python -m tools run --family` takes."""

__all__ = ["FAMILIES", "Profile"]
