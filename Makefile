# Everything a contributor runs. Each target sets up what it needs: Python 3.11 or later, make and a package index are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# More than two cores are kept busy by: many tests wait for processes of their own.
WORKERS ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start hundreds of processes; compiling every module anew in each would double their time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: dev test lint fix demo bench campaign conformance lock clean

dev: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("fhir-anchor needs Python 3.11 or later, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# In the order of folders, so that the slow files of e2e do not come last, when nothing is left for the other workers.
test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not campaign and not conformance"

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: dev
	$(BIN)/fhir-anchor demo

bench: dev
	$(BIN)/fhir-anchor bench

campaign: dev
	$(BIN)/python -m pytest -m campaign

conformance: dev
	$(BIN)/python -m pytest -n $(WORKERS) -m conformance

# Locks for every platform and Python from 3.11 on; names no index host.
lock: dev
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/run.in -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/dev.in -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/build.in -o requirements/build.txt

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
