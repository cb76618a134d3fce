"""`python -m tools.dialect`: lint, then both compilers, over the tree in the current project."""

import argparse
import json
import sys
from pathlib import Path

from tools.dialect import compile as compilers
from tools.dialect.lint import lint_tree

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.dialect", description=__doc__)
    parser.add_argument("--json", action="store_true", help="sizes of the .mpy files as one JSON object on stdout")
    options = parser.parse_args()
    findings = lint_tree(ROOT)
    for finding in findings:
        print(finding, file=sys.stderr)
    report = compilers.compile_tree(ROOT)
    for problem in report.problems:
        print(problem, file=sys.stderr)
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    print(json.dumps(report.sizes()) if options.json else report.table())
    return 1 if findings or report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
