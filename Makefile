# `make help` lists the targets. Needed: python3 >= 3.11 with venv, and make. All else goes into .venv, pinned by hash.

PYTHON ?= python3
ENGINE ?= docker
IMAGE ?= braid
BUNDLES ?= models/bundles/digits
MINUTES ?= 30
BIN := .venv/bin
LOCK := docker/lock
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
LOCKED := $(PIP) --no-deps --require-hashes --only-binary :all: -r  # the lists are complete: no-deps keeps what they leave out, out

.DEFAULT_GOAL := help
.PHONY: help serve test check lint types rolling fuzz soak overload audit sbom swaps format train lock image

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: .venv/serve  ## serve the digits model on http://127.0.0.1:8000 (BUNDLES=... for others)
	$(BIN)/braid serve $(BUNDLES)

test: .venv/dev  ## the whole suite that needs no torch
	$(BIN)/pytest --ignore tests/models --ignore tests/browser --ignore tests/clients --ignore tests/ops --ignore tests/fuzz --ignore tests/soak

check: lint types .venv/fuzz/ready .venv/audit/ready test .venv/torch .venv/kserve/ready tests/clients/typescript/node_modules  ## what CI runs: format, lint, types, tests, those with a browser and others' clients, those of models/ with torch
	$(BIN)/pytest tests/browser tests/clients tests/ops tests/fuzz tests/soak tests/test_supply.py
	$(BIN)/pytest tests/models

lint: .venv/dev  ## format and lint, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/hadolint Dockerfile
	$(BIN)/yamllint --strict .

types: .venv/torch  ## mypy --strict over service, models and tests
	$(BIN)/mypy

rolling: .venv/dev  ## two replicas behind haproxy, then nginx, restarted in turn under load, five times: no request may fail
	ROUNDS=5 $(BIN)/pytest tests/ops/test_rolling.py

swaps: .venv/dev  ## a hundred swaps of a model in two workers under 32 connections: no request may fail, no memory may stay
	SWAPS=100 $(BIN)/pytest -s tests/test_swap.py -k no_request_fails

overload: .venv/dev  ## ten times what a server can do, hammering clients, idle ones by the thousand, killed workers: what becomes of the others?
	$(BIN)/python -m tests.bench.overload

fuzz: .venv/dev .venv/fuzz/ready  ## ten minutes of atheris on all decoders and parsers, and schemathesis on the API
	.venv/fuzz/bin/python -m tests.fuzz.run --seconds 600 --keep .
	$(BIN)/pytest tests/fuzz/test_schema.py

soak: .venv/dev  ## MINUTES=30 of mixed load with swaps and kills, decoding inside and then apart: what grows?
	$(BIN)/python -m tests.soak.run --minutes $(MINUTES)
	$(BIN)/python -m tests.soak.run --minutes $(MINUTES) --isolation process

audit: .venv/audit/ready  ## known vulnerabilities of what the locks name
	.venv/audit/bin/python docker/audit.py

sbom: .venv/audit/ready  ## braid.cdx.json: what the image installs, as CycloneDX
	.venv/audit/bin/cyclonedx-py requirements $(LOCK)/cpu.txt --pyproject pyproject.toml --mc-type application \
		--output-reproducible --sv 1.6 --of JSON --validate -o braid.cdx.json

format: .venv/dev  ## format, and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: .venv/torch  ## train, evaluate and export the digits bundle (data: BRAID_DATA, see README)
	$(BIN)/python -m models train digits
	$(BIN)/python -m models evaluate digits
	$(BIN)/python -m models export digits
	$(BIN)/braid verify models/bundles/digits

image: ## build the container image: ENGINE=podman, IMAGE=name:tag
	$(ENGINE) build -t $(IMAGE) --build-arg VERSION=$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
		--build-arg REVISION=$(shell git rev-parse HEAD) .

# Environments. A stamp is newer than what it was made from, so that a second call starts at once.
.venv/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Braid needs Python 3.11 or later; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/serve: .venv/pip $(LOCK)/build.txt $(LOCK)/cpu.txt pyproject.toml
	@echo "installing what serving needs into .venv, once"
	$(LOCKED) $(LOCK)/build.txt -r $(LOCK)/cpu.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/serve $(LOCK)/dev.txt
	$(LOCKED) $(LOCK)/dev.txt
	@touch $@

.venv/torch: .venv/dev
	$(PIP) $(shell sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
	@touch $@

# Tools whose dependencies are nobody else's.
.venv/fuzz/ready: .venv/pip $(LOCK)/cpu.txt $(LOCK)/fuzz.txt
	$(PYTHON) -m venv .venv/fuzz
	.venv/fuzz/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r $(LOCK)/cpu.txt -r $(LOCK)/fuzz.txt
	@touch $@

.venv/audit/ready: .venv/pip $(LOCK)/audit.txt
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r $(LOCK)/audit.txt
	@touch $@

# KServe's client pins what others need newer, so it lives apart.
.venv/kserve/ready: .venv/pip $(LOCK)/kserve.txt
	$(PYTHON) -m venv .venv/kserve
	.venv/kserve/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r $(LOCK)/kserve.txt
	@touch $@

tests/clients/typescript/node_modules: tests/clients/typescript/package-lock.json
	npm ci --prefix tests/clients/typescript --silent --no-audit --no-fund
	@touch $@

# Locks: one version of each package for every Python and platform; `dev` decides, the others follow it.
COMPILE = $(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock"

lock: .venv/pip  ## resolve all dependencies anew and write docker/lock/*.txt
	$(PIP) uv
	$(COMPILE) --upgrade pyproject.toml --extra dev --extra train --extra bench --extra tracing --excludes $(LOCK)/dev.exclude -o $(LOCK)/dev.txt
	$(COMPILE) --upgrade -c $(LOCK)/dev.txt pyproject.toml --extra tracing --excludes $(LOCK)/cpu.exclude -o $(LOCK)/cpu.txt
	$(COMPILE) --upgrade -c $(LOCK)/dev.txt pyproject.toml --extra tracing --excludes $(LOCK)/librosa.exclude -o $(LOCK)/librosa.txt
	$(COMPILE) --upgrade -c $(LOCK)/dev.txt pyproject.toml $(LOCK)/gpu.in --extra tracing --excludes $(LOCK)/gpu.exclude -o $(LOCK)/gpu.txt
	$(COMPILE) --upgrade $(LOCK)/kserve.in -o $(LOCK)/kserve.txt
	$(COMPILE) --upgrade -c $(LOCK)/dev.txt $(LOCK)/fuzz.in -o $(LOCK)/fuzz.txt
	$(COMPILE) --upgrade -c $(LOCK)/dev.txt $(LOCK)/audit.in -o $(LOCK)/audit.txt
	$(COMPILE) --upgrade $(LOCK)/build.in -o $(LOCK)/build.txt
