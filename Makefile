# `make run` and `make test` do all the set-up on a fresh machine; both are quick the second time.
PYTHON ?= python3
BASE := .venv
DEV := .venv-dev
PIP := -m pip --disable-pip-version-check install --quiet
export PYTHONUNBUFFERED = 1

.PHONY: run test lint test-slow test-cluster bench bench-latency screenshots clean help

help:
	@echo "make run    install, migrate, serve API, worker and page on 127.0.0.1:8000"
	@echo "make test   install, lint, type-check, test"
	@echo "make test-slow | test-cluster | bench | bench-latency   the longer suites"

run: $(BASE)/.installed
	$(BASE)/bin/muquery serve

test: $(DEV)/.installed $(BASE)/.installed lint
	$(DEV)/bin/python -m pytest -n auto --dist loadfile

lint: $(DEV)/.installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

test-slow: $(DEV)/.installed
	$(DEV)/bin/python -m pytest -m slow

test-cluster: $(DEV)/.installed
	$(DEV)/bin/python -m pytest -m cluster

bench: $(DEV)/.installed
	$(DEV)/bin/python -m pytest -m bench -s

# The library of 100,000 tracks is kept, so that a second run begins at once.
bench-latency: $(DEV)/.installed
	$(DEV)/bin/python -m tests.latency --library build/latency/library --out build/latency/report

# The serving environment holds no torch; the development one holds everything.
$(BASE)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "muquery needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BASE)/bin/python || $(PYTHON) -m venv $(BASE)
	$(BASE)/bin/python $(PIP) --constraint constraints.txt --editable .
	touch $@

$(DEV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "muquery needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(DEV)/bin/python || $(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python $(PIP) 'torch==$(shell sed -n 's/^torch==//p' constraints.txt)'
	$(DEV)/bin/python $(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@

screenshots: $(DEV)/.installed
	$(DEV)/bin/python -m tests.web.take_screenshots

clean:
	rm -rf $(BASE) $(DEV) build dist *.egg-info
