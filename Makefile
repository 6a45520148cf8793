# Few verbs. `make demo` and `make test` set up everything they need in .venv.
PYTHON      ?= python3
VENV        ?= .venv
# Another torch build:  make demo TORCH='torch==2.13.0' TORCH_INDEX='--index-url <index of builds>'
TORCH       ?= torch==2.13.0
TORCH_INDEX ?=
CORES       ?= 2
THREADS     ?= 1
KILLS       ?= 100
SEED        ?= 0
BIN         := $(VENV)/bin
PIP         := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CONFIG      ?= config/demo.yaml

.PHONY: help demo test lint check soak bench bench-gpu docs clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    a whole study on a simulated cohort: set-up, training, report, MLflow"
	@echo "make test    the tests"
	@echo "make lint    style, types, floors, workflow"
	@echo "make check   lint and test: what must pass before anything lands"
	@echo "make soak    long proofs (kills, races, short studies, fuzzing, a cluster with TENTER_CLUSTER=1); hours"
	@echo "make bench   speed and memory, as ratios to peers; make bench-gpu on a GPU"
	@echo "make docs    what is generated: schemas, config/README.md, the picture of the floors"

# Installed once per set of requirements; the stamp names what is inside.
$(VENV)/.run: pyproject.toml constraints/reproducible.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH_INDEX) --constraint constraints/reproducible.txt "$(TORCH)"
	$(PIP) --constraint constraints/reproducible.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --constraint constraints/reproducible.txt --editable ".[test,lint]"
	touch $@

# ANTsPy, a peer in the tests, pins older NumPy and SciPy: it has an environment of its own.
$(VENV)/.ants: constraints/ants.txt
	$(PYTHON) -m venv $(VENV)/ants
	$(VENV)/ants/bin/python -m pip install --quiet --disable-pip-version-check --requirement constraints/ants.txt
	touch $@

demo: $(VENV)/.run
	$(BIN)/tenter simulate results/demo-cohort
	$(BIN)/snakemake --profile profiles/local --cores $(CORES) --configfile $(CONFIG)

test: $(VENV)/.dev $(VENV)/.ants
	$(BIN)/python -m pytest -n $(CORES)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python tests/workflow/lint.py
	$(BIN)/python tests/lint/sizes.py
	$(BIN)/python tests/lint/texts_of_errors.py
	$(BIN)/python tests/lint/floors.py --check
	$(BIN)/python tests/lint/words.py
	$(BIN)/python -m tenter.config.reference --check

check: lint test

soak: $(VENV)/.dev $(VENV)/.ants
	TENTER_KILLS=$(KILLS) TENTER_SEED=$(SEED) $(BIN)/python -m pytest tests/workflow/test_training_resume.py
	$(BIN)/python -m pytest tests/studies tests/cluster -m "" --capture=no
	$(BIN)/python -m pytest tests/properties --hypothesis-profile=soak --hypothesis-seed=$(SEED)

bench: $(VENV)/.dev
	$(BIN)/python tests/bench/run.py --threads $(THREADS)

bench-gpu: $(VENV)/.dev
	$(BIN)/python tests/bench/run.py --device cuda --output results/bench/bench-gpu.json

docs: $(VENV)/.dev
	$(BIN)/python -m tenter.config.reference
	$(BIN)/python tests/lint/floors.py

clean:
	rm -rf results .snakemake
