"""`checkNet`: frozen Python that waits for SIM, registration and PDP (quecpython.md §3.4)."""

from tools.module.board import Board, Firmware, Thing

POLL_S = 0.1


def _stage(board: Board) -> tuple[int, int]:
    """(1, SIM status), (2, registration), (3, PDP up)."""
    if not board.sim.ready:
        return (1, board.sim.status)
    if not board.radio.registered:
        return (2, board.radio.state)
    return (3, int(board.radio.ready))


async def _wait(board: Board, timeout: int) -> tuple[int, int]:
    """Polls every 100 ms to the end of the time, a missing card included (the newer version).

    OSError for a time outside 1-3600 s; no source names its number, EINVAL is inferred."""
    if not 1 <= timeout <= 3600:
        raise OSError(22)
    for _ in range(round(timeout / POLL_S)):
        stage = _stage(board)
        if stage == (3, 1):
            return stage
        await board.wait(POLL_S)
    return _stage(board)


class CheckNetwork(Thing):
    """checkNet.CheckNetwork(project name, version)."""

    def __init__(self, board: Board, name: str = "", version: str = "") -> None:
        super().__init__(board)
        self._name, self._version = name, version

    def poweron_print_once(self) -> None:
        """The banner; one line here."""
        text = f"PROJECT_NAME : {self._name}, PROJECT_VERSION : {self._version}"
        self.board.events.emit("app", "console", text)

    async def wait_network_connected(self, timeout: int = 60) -> tuple[int, int]:
        return await _wait(self.board, timeout)


class CheckNet(Firmware):
    NAME = "checkNet"
    CLASSES = {"CheckNetwork": CheckNetwork}

    async def waitNetworkReady(self, timeout: int = 60) -> tuple[int, int]:
        """(stage, state); (3, 1) is ready."""
        return await _wait(self.board, timeout)

    async def wait_network_connected(self, timeout: int = 60) -> tuple[int, int]:
        """S25's name of the same; both occur in the field."""
        return await _wait(self.board, timeout)
