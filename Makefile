# `make help` lists the targets. Each sets up what it needs in .venv; results go to stdout, all else to stderr.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/ready
OLD_VM := build/oldvm/ready
ARGS ?=

.PHONY: help run console test check coverage bench fuzz logs oldvm judges clean
.DEFAULT_GOAL := help

help: ## lists the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 16

run: $(READY) ## three wakes of a simulated module against a local AEP; ARGS="--json", ARGS="--help"
	@$(PY) -m tools run $(ARGS)

console: $(READY) ## the local AEP in real time, with a web page, until Ctrl-C; ARGS="--device IMEI", ARGS="--help"
	@$(PY) -m tools aep $(ARGS)

test: $(READY) oldvm ## all tests, in CPython, the newest MicroPython VM and an old one, on all cores; ARGS="-n 0 -k outbox"
	@$(PY) -m pytest -n auto $(ARGS)

check: $(READY) ## ruff, the dialect of on-module code (lint, both bytecode compilers), types of both halves
	@$(PY) -m ruff check
	@$(PY) -m tools.dialect
	@$(PY) -m tools.dialect.types

# In CPython only, judges left out: what is counted is what the project's own vectors reach.
JUDGED := $(addprefix --ignore=tests_host/dtls/test_,fuzz.py lossy.py openssl.py libcoap.py mbedtls.py tshark.py) \
  $(addprefix --ignore=tests_host/mqtt/test_,fuzz.py brokers.py packet_judges.py tshark.py)
coverage: $(READY) ## branch coverage of the rooms without I/O, 95 % at least
	@mkdir -p build
	@$(PY) -m coverage run --data-file=build/coverage --branch --include='lib/coap/*,lib/m2m/*,lib/dtls/*,lib/mqtt/*' -m pytest -q tests_host/coap tests_host/m2m tests_host/dtls tests_host/mqtt $(JUDGED) -k "not vm: and not old: and not v113:" >&2
	@$(PY) -m coverage report --data-file=build/coverage --fail-under=95 --skip-covered

bench: $(READY) ## datagrams, bytes, code size, heap and instructions of a report, counted; ARGS="--json"
	@$(PY) -m tools bench $(ARGS)

fuzz: $(READY) ## five million inputs each for the DTLS and MQTT clients, 40 minutes; ARGS="--inputs 100000 --seed 7"
	@$(PY) -m tests_host.fuzz dtls $(or $(ARGS),--inputs 5000000)
	@$(PY) -m tests_host.fuzz mqtt $(or $(ARGS),--inputs 5000000)

logs: $(READY) ## the wakes of a device as its journal tells them; ARGS="run.littlefs"
	@$(PY) -m tools logs $(ARGS)

# Without npm the tests of that VM skip and say so (or fail, when CI=true).
oldvm: ## MicroPython 1.10 as WebAssembly for node, where npm exists; part of `make test`
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(OLD_VM) >&2; \
	else echo "no npm: tests in MicroPython 1.10 will skip (apt-get install nodejs npm)" >&2; fi

# program:package of Debian
JUDGES := tshark:tshark valgrind:valgrind openssl:openssl node:nodejs npm:npm \
  $(foreach tls,notls openssl gnutls,coap-client-$(tls):libcoap3-bin coap-server-$(tls):libcoap3-bin) \
  mosquitto:mosquitto mosquitto_passwd:mosquitto mosquitto_pub:mosquitto-clients mosquitto_sub:mosquitto-clients
# What has no program yet: where node is not Debian's, Debian's npm would not install. mosquitto is in root's PATH only.
MISSING = $(sort $(shell PATH="$$PATH:/usr/sbin" IFS=:; for each in $(JUDGES); do set -- $$each; \
  command -v $$1 >/dev/null || echo $$2; done))
SUDO ?=
judges: ## outside programs that tests ask: installs what is missing on Debian as root (or SUDO=sudo), else prints the line
	@missing="$(MISSING)"; if [ -z "$$missing" ]; then echo "all judges are here" >&2; \
	elif command -v apt-get >/dev/null && { [ "$$(id -u)" = 0 ] || [ -n "$(SUDO)" ]; }; then \
	  $(SUDO) apt-get update -qq >&2 && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >&2; \
	else echo "sudo apt-get install $$missing    or: brew install wireshark libcoap mosquitto node"; fi

clean: ## removes the environment and everything built
	@rm -rf $(VENV) build run.littlefs .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip builds where the project file lies, so it gets a copy: the tree stays clean.
$(READY): pyproject.toml tools/constraints.txt tools/dialect/typings.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or newer is needed; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up $(VENV) (once; a minute or two)" >&2
	@rm -rf $(VENV) build/setup && mkdir -p build/setup && cp pyproject.toml build/setup/
	@$(PYTHON) -m venv $(VENV) >&2 \
	  || { echo "no venv module: apt-get install python3-venv" >&2; exit 1; }
	@echo "  packages" >&2
	@$(PY) -m pip install -qq --disable-pip-version-check -c tools/constraints.txt './build/setup[dev]' >&2
	@echo "  type stubs of MicroPython" >&2
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --target $(VENV)/typings \
	  -r tools/dialect/typings.txt >&2
	@touch $@

$(OLD_VM): Makefile
	@echo "setting up MicroPython 1.10 (npm micropython@1.1.8)" >&2
	@mkdir -p build/oldvm
	@npm install --loglevel=error --no-audit --no-fund --legacy-peer-deps --prefix build/oldvm micropython@1.1.8 >&2
	@touch $@
