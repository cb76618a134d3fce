"""How tests are divided among the processes of pytest-xdist: one by one, and together where they share what is made
once, by a fixture of their module or by a run of an interpreter."""

from xdist.scheduler import LoadScopeScheduling

from tests_host.interpreters.collect import RUNNERS
from tests_host.interpreters.judges import ROOT


class Sharing(LoadScopeScheduling):
    """The largest groups first, then what is by itself, in the order of the collection. xdist's own groups by mark
    (loadgroup) are lost under pytest 9."""

    def __init__(self, config, log) -> None:
        super().__init__(config, log)
        self._sharing: dict[str, bool] = {}  # file -> whether its module makes something once

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        interpreter = test.partition(":")[0]
        if interpreter in RUNNERS:
            return f"{file}::{interpreter}"
        if file not in self._sharing:
            self._sharing[file] = 'scope="module"' in (ROOT / file).read_text("utf-8")
        return file if self._sharing[file] else nodeid
