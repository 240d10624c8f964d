# Packshot: every recipe says what it does; CI calls the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
STAMP := $(VENV)/.ready

# Ray starts a dozen processes, and each imports torch or Ray, and our code. Where this variable is set, as on many build
# machines, each would compile what set-up has not compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup runtime tools demo catalogue-demo train-demo test shuffled k8s chart check soak attack bench loadtest eval-mini quality serve wheel clean

runtime: $(RUNTIME)                 ## Make .venv with what demo and serve need, each version pinned (TORCH=cpu: without CUDA)

setup: $(STAMP)                     ## The same with what tests, checks, benches and training need too

# .ci/set-up says what comes and how far it is. It compiles the bytecode of what is imported at every start.
$(RUNTIME): pyproject.toml constraints.txt
	$(PYTHON) .ci/set-up $(VENV) demo $(TORCH)
	touch $@

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) .ci/set-up $(VENV) dev $(TORCH)
	-$(BIN)/python -m tests.corpus   # malformed photos for the tests; they skip with a reason where it cannot be had
	touch $(RUNTIME) $@

tools:                              ## Install the Debian packages that the tests drive: Chromium, promtool, PostgreSQL, exiftool, and for soak Redis and PgBouncer (asks sudo)
	.ci/install-tools --sudo

demo: $(RUNTIME)                    ## A real photo of a cup, cut out and painted into two scenes: pictures in out/demo
	$(BIN)/python -m bench.demo

catalogue-demo: $(RUNTIME)          ## 30 SKUs, three scenes, two channels: a whole catalogue and its set report, in out/catalogue-demo
	$(BIN)/python -m bench.catalogue_demo

train-demo: setup                   ## A LoRA of one look from 24 drawn pictures, in 5 minutes: before and after, in out/train-demo
	$(BIN)/python -m training.train_demo

test: setup                         ## The tests (README's test command; what CI runs): unit tests in three processes, those with Ray beside them
	.ci/install-tools
	.ci/run-tests $(BIN)/python

shuffled: setup                     ## The tests in a random order, whose seed is printed; the same order again: make shuffled SEED=…
	$(BIN)/python -m pytest -m 'not soak and not gpu' $(if $(SEED),--random-order-seed=$(SEED),--random-order)

k8s: setup                          ## Build every overlay and check it: schemas, rules, alerts, the edge, the Dockerfile; nothing is fetched
	$(BIN)/python -m cluster.kube check
	$(BIN)/python -m pytest tests/unit/k8s

chart: setup                        ## The Helm chart of k8s/overlays/production, in out/chart/packshot (OVERLAY=mine: of your own)
	rm -rf out/chart
	$(BIN)/python -m cluster.kube chart out/chart/packshot $(OVERLAY)

check: setup                        ## Lint, format and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2

soak: setup                         ## The long tests: 200 shots in a row, every malformed photo, upgrades and faults on several nodes, twelve browsers
	$(BIN)/python -m pytest -m soak --timeout 3600

attack: setup                       ## What strangers, tenants and bad networks try at the doors, on loopback: a table and one JSON line a row
	$(BIN)/python -m tests.attack

bench: setup                        ## The measured comparisons: a table and one JSON line each
	$(BIN)/python -m bench

loadtest: setup                     ## Smoke and flash sale against a cluster of their own, judged: reports in out/loadtest
	$(BIN)/packshot loadtest smoke
	$(BIN)/packshot loadtest flash-sale

eval-mini: setup                    ## What the embedded pack can do: figures, targets and sheets in out/eval-mini (EVAL=--subset: fewer; docs/training.md)
	$(BIN)/python -m training.mini.evaluation $(EVAL)

quality: setup                      ## Held-out products in scenes, painted and judged: table and page in out/quality (QUALITY="--pack sd15 --limit 60")
	$(BIN)/python -m bench.defects --out out/defects
	$(BIN)/python -m bench.quality $(QUALITY)

serve: $(RUNTIME)                   ## Graph, API and studio on http://127.0.0.1:8000, no keys, loopback only (PACK=sd15 PROFILE=one-gpu)
	$(if $(PACK),PACKSHOT_PACK=$(PACK)) $(BIN)/packshot serve $(if $(PROFILE),--profile $(PROFILE))

wheel: setup                        ## The wheel of the last commit, in out/wheel (docs/releasing.md)
	rm -rf out/wheel && mkdir -p out/wheel/source
	git archive HEAD | tar -x -C out/wheel/source
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir out/wheel out/wheel/source
	rm -r out/wheel/source && ls -l out/wheel

clean:                              ## Remove what the recipes made
	rm -rf $(VENV) out runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
