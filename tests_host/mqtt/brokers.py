"""Others' brokers on loopback, each until its `with` ends: mosquitto as a program, amqtt in a thread of its own. One
user is known to both."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amqtt.broker import Broker
from amqtt.contexts import Action, BrokerConfig
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from tests_host.conftest import judge
from tools.loopback import free_port

USER, PASSWORD = "account", "nFSzM3tjRCOYygFWrXOb26eKsiwYtoRqgP862HcxVwU"  # 43 characters, as AEP's
LIMIT_S = 20.0  # real time after which something is no more waited for

# `user`: as root it would become another, who may not read the folder. Nagle's algorithm would delay what follows.
MOSQUITTO = """
listener {port} 127.0.0.1
user root
persistence false
set_tcp_nodelay true
allow_anonymous false
password_file {folder}/passwords
"""


def _wait_for(port: int, alive: "subprocess.Popen[bytes] | threading.Thread") -> None:
    until = time.monotonic() + LIMIT_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            running = alive.is_alive() if isinstance(alive, threading.Thread) else alive.poll() is None
            assert running and time.monotonic() < until, "no broker"
            time.sleep(0.01)


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """The port of a mosquitto that keeps sessions as long as it runs."""
    program, port = judge("mosquitto"), free_port()
    command = [judge("mosquitto_passwd"), "-b", "-c", str(folder / "passwords"), USER, PASSWORD]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "mosquitto.conf").write_text(MOSQUITTO.format(port=port, folder=folder))
    with subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stdout=sys.stderr, stderr=sys.stderr) as ran:
        try:
            _wait_for(port, ran)
            yield port
        finally:
            ran.kill()


class OneUser(BaseAuthPlugin):
    """Of amqtt: knows the one user."""

    async def authenticate(self, *, session: Session) -> bool:
        return (session.username, session.password) == (USER, PASSWORD)


class Secrets(BaseTopicPlugin):
    """Of amqtt: nobody may subscribe to a secret."""

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        return action is not Action.SUBSCRIBE or not (topic or "").startswith("secret")


@contextmanager
def amqtt(folder: Path) -> Iterator[int]:
    """The port of an amqtt."""
    port, loop = free_port(), asyncio.new_event_loop()
    config = BrokerConfig.from_dict({
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {f"{plugin.__module__}.{plugin.__qualname__}": {} for plugin in (OneUser, Secrets)},
    })  # fmt: skip
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(LIMIT_S)

    async def made() -> Broker:
        return Broker(config)

    broker = run(made())
    try:
        run(broker.start())
        _wait_for(port, thread)
        yield port
        run(broker.shutdown())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT_S)
        loop.close()


BROKERS = {"mosquitto": mosquitto, "amqtt": amqtt}
