"""`python -m tools bench`: what a report costs, counted, beside aiocoap doing the same. Counts, not times: every run of
a tree gives the same."""

from tools.bench.command import bench
from tools.bench.device import report_run

__all__ = ["bench", "report_run"]
