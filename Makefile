# Nothing needs to be prepared: every target makes .venv and installs the library when it is not there yet.
#
#   make demo       three questions about a video, answered by the embedded model
#   make lab        JupyterLab on this folder, with notebooks/ open (make lab ARGS=--no-browser)
#   make test       all tests, and the notebooks' stored outputs compared
#   make test-portable  notebooks and numerical tests again, with the instructions of an older processor
#   make browser    of these, the page and JupyterLab in a headless Chromium (apt-get install chromium)
#   make check      ruff (rules and format), mypy, import-linter
#   make docs       the site in docs/_build/html, from docs/ and the stored notebooks; warnings are errors
#   make notebooks  run the notebooks and store their outputs, and pictures of them
#   make wheel      dist/*.whl
#   make clean      remove .venv, caches and results

# The first Python of 3.11 to 3.13 on the path; `make PYTHON=/path/to/python3.12 demo` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; \
	then echo $$p; break; fi; done)
BIN := .venv/bin
READY := .venv/.installed
WORKERS ?= 2
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.PHONY: help setup demo lab test test-portable browser check docs notebooks wheel clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

setup: $(READY)

$(READY): pyproject.toml constraints.txt tempo_lab/common/version.py
	@if [ -z "$(PYTHON)" ]; then \
	  echo "Tempo Lab needs Python 3.11, 3.12 or 3.13; found: $$(python3 --version 2>&1 || true)."; \
	  echo "Install one of them, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; \
	  exit 1; fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || { rm -rf .venv; \
	  echo "$(PYTHON) could not make .venv. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/tempo-lab demo

lab: $(READY)
	$(BIN)/jupyter lab --notebook-dir=. --FileContentsManager.preferred_dir=notebooks \
	  --LabApp.default_url=/lab/tree/notebooks/00_quickstart.ipynb \
	  $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

# Timeouts are for what hangs; a busy machine takes long.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -p tests.notebook_numbers \
  --nbval --nbval-current-env --nbval-cell-timeout=900 --nbval-kernel-startup-timeout=300 \
  --nbval-sanitize-with tests/notebook_sanitize.cfg

test: $(READY)
	$(PYTEST) --ignore=tests/browser tests $(wildcard notebooks)
	$(BIN)/python -m tests.browser

# The tests that compare what a model computes with recordings and with a plain twin.
NUMERICAL := $(addprefix tests/,test_parity.py model/test_pixels.py model/test_compressor.py session \
  analysis/attribution analysis/front_loading analysis/test_attention.py analysis/test_attention_groups.py \
  analysis/test_relevance_by_layer.py analysis/test_rollout.py nano/training/test_optimizers.py)
# What torch, oneDNN, MKL and OpenBLAS (numpy) may use of the processor. ISA= leaves the choice to them.
ISA ?= default
ISA_default := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE \
  OPENBLAS_CORETYPE=Nehalem
ISA_avx2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=AVX2 OPENBLAS_CORETYPE=Haswell

test-portable: $(READY)
	$(ISA_$(ISA)) $(PYTEST) $(NUMERICAL) $(wildcard notebooks)

browser: $(READY)
	$(BIN)/python -m tests.browser

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Built from scratch: a warning is only given when its page is read, and a removed page would stay.
docs: $(READY)
	rm -rf docs/_build
	$(BIN)/python -m sphinx -q -W --keep-going -c docs . docs/_build/html

notebooks: $(READY)
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.timeout=900 --ExecutePreprocessor.record_timing=False \
	  --ExecutePreprocessor.store_widget_state=False \
	  notebooks/*.ipynb
	$(BIN)/python tests/notebook_store.py notebooks/*.ipynb

wheel: $(READY)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf .venv dist results docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
