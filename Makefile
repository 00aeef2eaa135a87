# Every task of the project. `make help` lists them.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fix docs bench bench-demo bench-api bench-cycle bench-skill bench-fuzz soak clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/made:
	@test -n "$(PYTHON)" || { echo "Skyproof needs Python 3.11 or newer; none was found. Install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/runtime: .venv/made requirements/runtime.txt pyproject.toml
	@echo "installing what Skyproof needs (a minute or two) ..."
	$(INSTALL) --require-hashes -r requirements/runtime.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/runtime requirements/dev.txt
	@echo "installing what tests and checks need ..."
	$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

setup: .venv/dev ## make the virtual environment with everything development needs

demo: .venv/runtime ## the whole product on the sandbox planet, served on 127.0.0.1:8080
	$(BIN)/skyproof demo

test: .venv/dev ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: .venv/dev ## format, lint, types, floors, lengths, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/check_house.py

fix: .venv/dev ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/dev ## write the generated reference pages anew
	$(BIN)/python tools/generate_docs.py

bench: bench-demo bench-cycle bench-learn bench-api ## every benchmark

bench-demo: .venv/runtime ## wall time, memory and size of the demo
	$(BIN)/python benchmarks/demo_bench.py

bench-cycle: .venv/runtime ## one cycle for 2,000 sites
	$(BIN)/python benchmarks/cycle_bench.py

bench-learn: .venv/runtime ## learning: the solver beside scipy's, and the refit of a whole business
	$(BIN)/python benchmarks/learn_bench.py
	$(BIN)/python benchmarks/business_bench.py

.venv-peers/made: requirements/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers.txt
	@touch $@

bench-api: .venv/dev .venv-peers/made ## requests per second beside pygeoapi, xpublish-edr and the server's own static ceiling
	$(BIN)/python -m benchmarks.api.bench

soak: .venv/dev ## half an hour of load with runs published, keys rotated, workers killed and the database locked
	$(BIN)/python benchmarks/soak.py

bench-fuzz: .venv/dev ## 100,000 hostile requests, schemathesis, slow clients, and the parsers under changed input
	$(BIN)/python benchmarks/fuzz_bench.py

.venv-bench/made: requirements/bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

SKILL_DATA ?= ../shared/data
SKILL_OUT ?= build/skill
bench-skill: .venv/runtime .venv-bench/made ## the model beside the published methods on every real set; hours on two cores
	PYTHONPATH=src .venv-bench/bin/python -m benchmarks.skill.run --data $(SKILL_DATA) --out $(SKILL_OUT)

clean: ## remove the virtual environment and caches; a home is never touched
	rm -rf .venv .venv-bench .venv-peers .mypy_cache .ruff_cache .import_linter_cache .hypothesis
