"""Module families (`ec800e`, ...) and the networks they attach to (`networks`)."""

from tools.module.profiles.base import CLIENTS, OPTIONAL, Profile
from tools.module.profiles.ec200u import EC200U
from tools.module.profiles.ec800e import EC800E
from tools.module.profiles.ec800m import EC800K, EC800M

FAMILIES: dict[str, Profile] = {family.name: family for family in (EC800E, EC800M, EC800K, EC200U)}
"""By the name that `python -m tools run --family` takes."""

__all__ = ["CLIENTS", "FAMILIES", "OPTIONAL", "Profile"]
