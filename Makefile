# The YOLACT workbench. Each target stands alone: it first makes .venv with the versions that constraints.txt pins.
#
#   make demo         train, measure and report a small ablation (the second time: seconds)
#   make paper-toy    every table of the paper, at the toy scale, one seed
#   make quick        the tests of configurations, operators, evaluation, specs and statistics
#   make test         the fast tests
#   make test-slow    the tests that take minutes
#   make lint         ruff and mypy
#   make clean        remove .venv and caches; results/ stays
#
# With another interpreter: make demo PYTHON=/path/to/python3.12

PYTHON ?= python3
BIN := .venv/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
QUICK := tests/test_architecture.py $(addprefix tests/,yolact/config yolact/ops yolact/evaluation experiments/spec \
	analysis/statistics analysis/tables benchmarks/common)
PAPER := main nms prototypes mask_methods sbd boxes activations crop semantic_loss mask_quality backbones image_size quirks
DEMO := results/reports/quickstart-toy/index.html

.PHONY: help demo paper-toy quick test test-slow lint clean
# One target after the other, also under -j: tests and training fill the cores by themselves.
.NOTPARALLEL:

help:
	@sed -n 's/^#   //p' Makefile

demo: .venv/installed
	@start=$$(date +%s); \
	$(BIN)/yolact run quickstart --scale toy --seeds 0; status=$$?; \
	[ $$status -gt 1 ] || $(BIN)/yolact report quickstart --scale toy || status=$$?; \
	[ ! -f $(DEMO) ] || printf '\nReport: %s\n' "$$PWD/$(DEMO)"; \
	printf 'Took %d min %d s.\n' $$((($$(date +%s) - start) / 60)) $$((($$(date +%s) - start) % 60)); \
	exit $$status

# The paper's tables: 46 trainings of 600 iterations, a third of the toy scale's length. A folder of its own keeps the demo's
# record.
paper-toy: .venv/installed
	@worst=0; for spec in $(PAPER); do \
	$(BIN)/yolact run $$spec --scale toy --seeds 0 --set training.iterations=600 --results results/paper-toy; status=$$?; \
	[ $$status -le 1 ] || exit $$status; [ $$status -eq 0 ] || worst=1; \
	$(BIN)/yolact report $$spec --scale toy --results results/paper-toy || exit $$?; \
	done; exit $$worst

quick: .venv/installed
	$(PYTEST) -n logical --maxprocesses 4 $(QUICK)

test: .venv/installed
	$(PYTEST) -n logical --maxprocesses 4 --dist loadfile

test-slow: .venv/installed
	$(PYTEST) -m slow --durations 10

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy yolact experiments analysis

# The stamp is written last, so that an interrupted installation is taken up again. setuptools comes first and builds
# without isolation, so that it too is the pinned one.
.venv/installed: pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null || { echo >&2 "make: no Python at '$(PYTHON)'. Name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { \
		echo >&2 "make: the workbench needs Python 3.11 to 3.14; '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1). Name another: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo >&2 "make: '$(PYTHON)' cannot make virtual environments. On Debian: apt install python3-venv"; exit 1; }
	@echo "Installing into .venv: about 6 GB, some minutes; later calls skip this."
	@[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[all]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .ruff_cache .mypy_cache
	find analysis experiments notebooks tests yolact -name __pycache__ -prune -exec rm -rf {} +
