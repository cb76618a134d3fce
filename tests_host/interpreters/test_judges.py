"""What a test says is missing, `make judges` installs."""

import re

import pytest

from tests_host.interpreters.judges import JUDGES, ROOT

LISTED = re.search(r"^JUDGES := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.M)[1]


@pytest.mark.parametrize("name", [name for name, (_, install) in JUDGES.items() if "apt-get" in install])
def test_make_judges_knows_the_packages_that_a_judge_names(name):
    packages = re.search(r"apt-get install ([\w -]+)", JUDGES[name][1])[1].split()
    assert packages and all(re.search(rf":{package}\b(?!-)", LISTED) for package in packages)
