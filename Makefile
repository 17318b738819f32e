# Two commands: `make run` and `make test`. Each sets everything up first; nothing else has to be installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A file's tests stay together. Many wait for servers as much as they compute: three at a time keep two cores busy.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
TEST_WORKERS ?= 3

.PHONY: help run test test-thorough test-quick check format bench bench-data bench-faults bench-large bench-peers docs micro-clip serve lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || ($(PYTHON) -m pip install --user virtualenv && $(PYTHON) -m virtualenv $(VENV))

# Every file that is installed has the hash that requirements/ names: an install next year is the install of today.
LOCKED := -m pip install --quiet --require-hashes -r
ITSELF := -m pip install --quiet --no-deps --no-build-isolation -e .

$(VENV)/.installed: $(BIN)/python pyproject.toml requirements/run.txt
	$(BIN)/python $(LOCKED) requirements/run.txt
	$(BIN)/python $(ITSELF)
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml requirements/dev.txt
	$(BIN)/python $(LOCKED) requirements/dev.txt
	$(BIN)/python $(ITSELF)
	@touch $@ $(VENV)/.installed

run: $(VENV)/.installed ## Run the demonstration: 65 flags, texts against names
	$(BIN)/coder-eval run --engine prefect --report report.html

serve: $(VENV)/.installed ## Server, deployments and a worker on this machine, until Ctrl-C (docs/operations.md)
	@exec $(BIN)/coder-eval serve

test: $(VENV)/.installed-dev ## Run the tests, but for the thorough ones
	$(PYTEST) -n $(TEST_WORKERS) -m "not thorough"

test-thorough: $(VENV)/.installed-dev ## Run the tests that take long: kills, restarts, S3, thousands of cases (CI runs them, too)
	$(PYTEST) -n $(TEST_WORKERS) -m thorough

# Half of their time would be spent on making and removing ten thousand small files: in memory, where there is room.
test-quick: $(VENV)/.installed-dev ## Run the tests that start no server and train nothing
	TMPDIR=$$(tests/scratch_folder.sh) $(PYTEST) -n logical -m "not slow"

check: $(VENV)/.installed-dev ## Format, lint, types, import contracts: what CI checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Where the environments of other tools lie, and what they see behind their own packages: see docs/peers.md.
PEERS ?= .peers
PEERS_SHARED ?= $(shell $(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" 2>/dev/null)

# Beside it `make bench-peers` (whole commands of other tools), `make bench-large` (how cost grows) and `make bench-faults`
# (kills) print what docs/ says of them: each installs something, or takes hours.
bench: $(VENV)/.installed-dev ## Classifier, rerank, few-shot, images, texts, device and prediction against their plain forms
	$(BIN)/python bench/heuristic.py
	$(BIN)/python bench/rerank.py
	$(BIN)/python bench/few_shot.py
	$(BIN)/python bench/images.py --images 1200 --only bound
	$(BIN)/python bench/images.py --only batches threads half compiled draft
	PYTHON=$(BIN)/python bench/gpu.sh
	$(BIN)/python bench/few_shot_views.py
	@[ ! -f ../shared/data/texts/dtd.json ] || $(BIN)/python bench/texts.py ../shared/data/texts/dtd.json
	$(BIN)/python bench/predict.py
	$(BIN)/python bench/text_generation.py

bench-data: $(VENV)/.installed-dev ## Few-shot methods and transduction on the real features of ../shared/data (hours)
	$(BIN)/python bench/few_shot_real.py --processes 2
	$(BIN)/python -m bench.few_shot_ideas
	$(BIN)/python bench/transduction_real.py

bench-large: $(VENV)/.installed-dev ## How cost grows with images, classes and runs (an hour, 4 GB)
	$(BIN)/python bench/scale.py
	$(BIN)/python bench/large_run.py
	$(BIN)/python bench/many_runs.py
	$(BIN)/python bench/many_parts.py
	$(BIN)/python bench/report.py
	$(BIN)/python bench/new_class.py --images 20

bench-faults: $(VENV)/.installed-dev ## Kills, runs at once and failing disks, compared with undisturbed runs (hours)
	$(BIN)/python bench/kill_resume.py
	$(BIN)/python bench/concurrent_runs.py
	$(BIN)/python bench/soak.py

bench-peers: $(VENV)/.installed-dev ## Beside CLIP_benchmark, clip-retrieval, daft, ray and mteb, which it installs into .peers
	$(BIN)/python bench/peers.py $(PEERS) --shared $(PEERS_SHARED)

docs: $(VENV)/.installed ## Write the reference pages from the code
	$(BIN)/python -m coder_core.report.reference docs

micro-clip: $(VENV)/.installed ## Train the demonstration's encoder again (about an hour on two cores)
	$(BIN)/python -m tools.micro_clip.train

lock: $(VENV)/.installed-dev ## Renew requirements/: the newest releases that pyproject.toml allows, with their hashes
	$(BIN)/python -m tools.lock_requirements --upgrade

clean: ## Remove what the project made here, the store included
	rm -rf $(VENV) store report.html .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
