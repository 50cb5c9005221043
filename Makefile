# Two commands do everything on a fresh machine: make demo, make test.

PYTHON ?= python3
DEMO_ENVIRONMENT := .venv-demo
TEST_ENVIRONMENT := .venv-test
PIP_FLAGS := --quiet --disable-pip-version-check

.PHONY: demo check test test-python mutations lint clean

demo: $(DEMO_ENVIRONMENT)/made
	$(DEMO_ENVIRONMENT)/bin/edge-tester demo

# The tests of a file share what takes long to make; the slow files come first. Three for two
# processors, since many tests wait; at most four, since each takes up to 3 GB.
test: $(TEST_ENVIRONMENT)/made lint
	$(TEST_ENVIRONMENT)/bin/python -m pytest --dist loadfile --no-loadscope-reorder \
		--numprocesses $$($(TEST_ENVIRONMENT)/bin/python -c \
		"import os; print(min(4, (3 * os.cpu_count() + 1) // 2))")
	$(TEST_ENVIRONMENT)/bin/edge-tester demo --directory build/demo-of-test --no-open-browser

# For every day: what takes no time; make test has the rest.
check: $(TEST_ENVIRONMENT)/made lint
	$(TEST_ENVIRONMENT)/bin/python -m pytest --numprocesses auto --maxprocesses 4 \
		--dist loadfile -m "not slow"

# Whether the tests fail where a figure is wrong; a quarter of an hour, for every week.
mutations: $(TEST_ENVIRONMENT)/made
	$(TEST_ENVIRONMENT)/bin/python tests/mutations.py

# An agent and a client of the built wheel, with every CPython that is here.
test-python:
	.ci/pythons

lint: $(TEST_ENVIRONMENT)/made
	$(TEST_ENVIRONMENT)/bin/ruff check .
	$(TEST_ENVIRONMENT)/bin/ruff format --check .
	$(TEST_ENVIRONMENT)/bin/mypy edge_tester

$(DEMO_ENVIRONMENT)/made: pyproject.toml constraints.txt
	@echo "Making an environment for the demo (about a minute, once)"
	$(PYTHON) -m venv $(DEMO_ENVIRONMENT)
	$(DEMO_ENVIRONMENT)/bin/pip install $(PIP_FLAGS) --constraint constraints.txt --editable '.[demo]'
	@touch $@

# PyTorch comes first and by its exact version: an unpinned torch would be taken with
# gigabytes of CUDA.
$(TEST_ENVIRONMENT)/made: pyproject.toml constraints.txt
	@echo "Making an environment with every backend (several minutes, once)"
	$(PYTHON) -m venv $(TEST_ENVIRONMENT)
	$(TEST_ENVIRONMENT)/bin/pip install $(PIP_FLAGS) torch==2.13.0
	$(TEST_ENVIRONMENT)/bin/pip install $(PIP_FLAGS) --constraint constraints.txt --editable '.[test]'
	@touch $@

clean:
	rm -rf $(DEMO_ENVIRONMENT) $(TEST_ENVIRONMENT) build
