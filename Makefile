# Two commands are enough to see it run:  make up  and, in another terminal,  make journey
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
HERE   := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
RUN    := $(HERE).venv/bin/python
HELAN  := $(HERE).venv/bin/helan

.DEFAULT_GOAL := help
.PHONY: help setup up up-empty test test-long check format journey pictures python

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	  echo "找不到 Python 3.11。Debian 12 上请运行 | Python 3.11 was not found. On Debian 12 type:"; \
	  echo; echo "    sudo apt-get install -y python3.11 python3.11-venv"; echo; exit 1; }

setup: python ## .venv with what running needs, and the web parts (a second run does nothing)
	@$(PYTHON) portal/setup.py run

up: setup ## start everything here, with a demo region; Ctrl-C stops it
	@exec $(HELAN) up

up-empty: setup ## the same without the demo: one administrator, one first clinic
	@exec $(HELAN) up --no-demo

test: python ## all tests but the long ones (installs what they need first)
	@$(PYTHON) portal/setup.py test
	@$(RUN) -m pytest -q -m "not long" -n 2 --dist loadfile

test-long: python ## kills, faults and other slow tests
	@$(PYTHON) portal/setup.py test
	@$(RUN) -m pytest -q -m long --timeout 900

check: python ## form (ruff), types (basedpyright), import contracts
	@$(PYTHON) portal/setup.py lint
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(HERE).venv/bin/basedpyright --level error
	@$(HERE).venv/bin/lint-imports --no-cache

format: python ## put the form right
	@$(PYTHON) portal/setup.py lint
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

journey: python ## one case from the modality's first byte to the receipt, by outside tools, with its time line
	@$(PYTHON) portal/setup.py test
	@$(RUN) -m tests.journeys

pictures: python ## the README's pictures, taken anew by the browser test
	@$(PYTHON) portal/setup.py test
	@HELAN_PICTURES=1 $(RUN) -m pytest -q tests/browser/test_journey.py
