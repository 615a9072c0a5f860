# Every target makes or refreshes .venv first; `make help` shows the list.
SHELL := /bin/sh
PY := .venv/bin/python
# One worker per core, but not more than fill the memory of a large machine.
PYTEST := scripts/in_tmp $(PY) -m pytest -n auto --maxprocesses 8 --dist loadfile
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help demo test test-faults test-full coverage bench bench-quick console console-check console-test bench-console screenshots \
	check format generate lock build clean setup setup-runtime

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=/path/to/python3 chooses the Python (3.11 or newer) for .venv; PYTEST_ARGS=… goes to pytest."

demo: setup-runtime  ## Watch changes applied, tested, rolled back and repaired, then look at them in the console; NO_SERVE=1 ends before that.
	@$(PY) scripts/console.py build --optional
	@scripts/in_tmp .venv/bin/executor demo $(if $(NO_SERVE),--no-serve)

test: setup  ## Run the tests in their short form.
	@$(PY) scripts/console.py build --optional
	$(PYTEST) $(PYTEST_ARGS)

test-full: setup  ## Run the tests in their long form too: larger numbers, more examples.
	@$(PY) scripts/console.py build --optional
	$(PYTEST) -m "full or not full" --hypothesis-profile=full --timeout 3600 $(PYTEST_ARGS)

coverage: setup  ## Prove that the tests take every branch of the graph's code.
	scripts/in_tmp $(PY) scripts/check_coverage.py

test-faults: setup  ## The long form of the faults: every file operation of a real run fails, and is fatal, once.
	$(PYTEST) --dist worksteal -m faults --timeout 3600 $(PYTEST_ARGS)

bench: setup  ## Measure the store against the bare driver, up to a million executions; fails when a target is missed.
	scripts/in_tmp $(PY) -m benchmarks $(BENCH_ARGS)

bench-quick: setup  ## The same on 10,000 executions in fewer rounds, without the large work tree, at most 3 minutes.
	scripts/in_tmp $(PY) -m benchmarks --sizes 10k --without capture --rounds 5 --slice 0.05 $(BENCH_ARGS)

console: setup-runtime  ## Build the console into the package that serves it.
	@$(PY) scripts/console.py build

console-check: setup  ## Check types and lint of the console, and run its tests that need no browser.
	@$(PY) scripts/console.py check

console-test: setup  ## Walk the console in a browser, on a real server.
	@$(PY) scripts/console.py browser

bench-console: setup  ## Measure the console in a browser; fails when a budget is missed.
	@$(PY) scripts/console.py bench

screenshots: setup  ## Pictures of every page, light and dark, wide and narrow, in build/screenshots.
	@$(PY) scripts/console.py screenshots

check: setup  ## Check format, lint, types, the import rule, the lock files and the generated files.
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) scripts/check_addresses.py
	$(PY) scripts/generate.py --check

format: setup  ## Format the sources and repair what the linter can repair.
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

generate: setup  ## Write the committed files that are made from others.
	$(PY) scripts/generate.py

lock: setup  ## Write requirements/*.txt and the lock files of npm; LOCK_ARGS=--upgrade chooses the newest for the former.
	scripts/lock $(LOCK_ARGS)
	$(PY) scripts/console.py lock

build: setup  ## Build wheel and source distribution into dist/.
	rm -rf dist
	$(PY) -m hatchling build

clean:  ## Remove everything that make made, .venv included.
	rm -rf .venv build dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache \
		apps/core-api/executor_api/static apps/web-console/node_modules apps/web-console/e2e/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:  ## Make .venv, or bring it up to date, with what tests and checks need.
	@scripts/setup dev

setup-runtime:  ## The same with what an installed executor needs, and no more.
	@scripts/setup runtime
