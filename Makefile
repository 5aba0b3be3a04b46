# Everything you can run. Each target does its own set-up; a second run is quick.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# What is installed, step by step: the program, then what tests and checks need as well.
PROGRAM := $(VENV)/.program
STAMP   := $(VENV)/.installed
PYTEST  := $(BIN)/python -m pytest
# Each command that a test starts would compile the whole package again.
unexport PYTHONDONTWRITEBYTECODE
# One worker more than CPUs: many tests wait for a server, a signal or the disk.
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))

help:                 ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(PROGRAM): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: this Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --editable '.[all]'
	@touch $@

$(STAMP): $(PROGRAM)
	$(BIN)/pip install --quiet --editable '.[all,guest-agpl]' --group test --group lint
	@touch $@

install: $(STAMP)     ## create the environment in .venv

demo: $(PROGRAM)      ## make a small disk image in demo/ and import it, all on this machine
	@$(BIN)/imsprep demo --dir demo

test: $(STAMP)        ## all tests but those of `make e2e`
	$(PYTEST) -n auto -m 'not e2e'

check: lint quick     ## format, lint, types, and the tests without the slow ones

quick: $(STAMP)       ## the tests without the slow ones
	$(PYTEST) -n auto -m 'not slow and not e2e' --hypothesis-profile=quick

e2e: $(STAMP)         ## end to end against a real object store on loopback
	$(BIN)/pip install --quiet --group e2e
	$(PYTEST) -n auto --dist worksteal -m e2e

kills: $(STAMP)       ## SIGKILL at random instants on four stores (KILLS=20 of each, SEED=2)
	$(BIN)/pip install --quiet --group e2e
	IMSPREP_KILLS=$(or $(KILLS),20) IMSPREP_SEED=$(or $(SEED),2) $(PYTEST) -m e2e tests/test_kills.py

coverage: $(STAMP)    ## which branches the tests run, and which lines they do not; 92 % at least
	$(PYTEST) -n auto -m 'not e2e' --cov --cov-report=term-missing:skip-covered --cov-fail-under=92

bench: $(STAMP)       ## measure against other tools and draw docs/benchmarks.md (root, 60 GiB, an hour)
	$(BIN)/pip install --quiet --group bench
	$(BIN)/python -m benchmarks --output benchmarks/results.json
	$(BIN)/python -m benchmarks.draw benchmarks/results.json

bench-quick: $(STAMP) ## the same with smaller inputs, in minutes; draws nothing
	$(BIN)/pip install --quiet --group bench
	$(BIN)/python -m benchmarks --quick

docs: $(STAMP)        ## update what the documentation repeats from the program
	$(BIN)/python -m docs.generate --sessions

site: $(STAMP)        ## the documentation as a site in build/site, its links checked
	$(BIN)/pip install --quiet --group site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

dist-check:           ## build wheel and sdist and try them in clean environments
	.ci/dist-check $(PYTHON)

lint: $(STAMP)        ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fuzz: $(STAMP)        ## fuzz the reading of ZVHD2 for half an hour (build/fuzz keeps what it finds)
	$(BIN)/pip install --quiet --group fuzz
	$(BIN)/python fixtures/fuzz_zvhd2.py build/fuzz fixtures/zvhd2_corpus -max_total_time=1800

damage: $(STAMP)      ## damage images of every format, and write docs/damage.md
	$(BIN)/python -m fixtures.damage

mutants: $(STAMP)     ## plant faults in what decides about data; MUTANTS="scan.worker --sample 20" for some
	$(BIN)/python fixtures/mutants.py $(MUTANTS)

guest-images: $(STAMP)  ## build the Debian test images (root, some minutes)
	$(BIN)/python fixtures/guest_images.py

guest-boots: $(STAMP)   ## build some 180 Debian systems, boot each, write docs/guest-boots.md (root, hours)
	$(BIN)/python fixtures/boot_systems.py --table docs/guest-boots.md

format: $(STAMP)      ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every target above does work; none is a file.
.PHONY: $(shell sed -nE 's/^([a-z0-9-]+):.*\#\#.*/\1/p' $(firstword $(MAKEFILE_LIST)))
