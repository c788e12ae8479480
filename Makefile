# The two that matter: `make chat` and `make test`. Both make .venv themselves, with plain venv and pip.
.DEFAULT_GOAL := help
.PHONY: help chat test check e2e bench bench-learning shots fix
PYTHON ?= python3
BIN := .venv/bin
DOCS ?=
DATA ?= ../shared/data/covidqa/200423_covidQA.json
export THUMBTUNE_DOCS := $(or $(DOCS),$(THUMBTUNE_DOCS))
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PIP := $(BIN)/python -m pip --disable-pip-version-check install --progress-bar off --constraint constraints.txt
# What pip says, as one line that tells how far it is; plain lines where nobody watches a terminal.
PROGRESS = awk -v tty=$$([ -t 1 ] && echo 1) '/^ *(Collecting|Downloading|Installing)/ { \
	n += /Collecting/; line = sprintf("%4d packages  %s", n, substr($$0, 1, 60)); \
	if (tty) { printf "\r\033[K%s", line; fflush() } else if (n % 50 == 1 || /Installing/) print line } \
	END { if (tty) printf "\r\033[K" }'

help:  ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*  ## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

chat: .venv/installed  ## index the documents, train the first model, open the chat (DOCS=~/papers for yours)
	@$(BIN)/python -m chat

test: check  ## lint, types and the whole suite, in a real browser where one is found
	@$(BIN)/python -m pytest --numprocesses auto

check: .venv/installed-dev  ## lint and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

e2e: .venv/installed-dev  ## only the tests that drive the whole product
	@$(BIN)/python -m pytest --numprocesses auto -m e2e

bench: .venv/installed-dev  ## what the built-in answerer, the room and retrieval are worth and cost
	@$(BIN)/python -m benchmarks.answering.extractive
	@$(BIN)/python -m benchmarks.browser.card
	@$(BIN)/python -m benchmarks.retrieval

bench-learning: .venv/installed-dev  ## what learning gains, hours; QUICK=1 minutes (DATA=path of a SQuAD-format file)
	@$(BIN)/python -m benchmarks.learning $(DATA)

shots: .venv/installed-dev  ## screenshots of the main states into docs/images
	@$(BIN)/python -m benchmarks.browser.shots

fix: .venv/installed-dev  ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "needs Python 3.11 or newer with venv, $(PYTHON) is not: install python3 and python3-venv, or set PYTHON=..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing what thumbtune needs into .venv (once, about 2 GB with torch)"
	@$(PIP) --editable . | $(PROGRESS)
	@touch $@

.venv/installed-dev: .venv/installed
	@echo "Installing what the tests need into .venv (once)"
	@$(PIP) --editable '.[dev]' | $(PROGRESS)
	@touch $@
