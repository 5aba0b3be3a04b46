# Everything you can run. Each target does its own set-up; a second run is quick.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

help:                 ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --editable '.[all]' --group test --group lint
	touch $(STAMP)

install: $(STAMP)     ## create the environment in .venv

test: $(STAMP)        ## all tests
	$(BIN)/python -m pytest -n auto

quick: $(STAMP)       ## the tests without the slow ones
	$(BIN)/python -m pytest -n auto -m 'not slow and not e2e'

e2e: $(STAMP)         ## end to end against a real object store on loopback
	$(BIN)/pip install --quiet --group e2e
	$(BIN)/python -m pytest -m e2e

lint: $(STAMP)        ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

guest-images: $(STAMP)  ## build the Debian test images (root, some minutes)
	$(BIN)/python fixtures/guest_images.py

format: $(STAMP)      ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: help install test quick lint format guest-images e2e
