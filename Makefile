# Every command a person needs. Those that need the environment make it first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup horovod backends run test test-slow test-all lint bench gpu-check gpu-wheels image sif push hepscore configs clean
.PHONY: setup horovod backends triton run test test-slow test-all lint bench image sif push hepscore configs clean

setup: $(READY)  ## make .venv with everything that pip has for this machine

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("hepbench needs Python 3.11 to 3.13, got %s; call make PYTHON=python3.11" \
		% sys.version.split()[0] if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	$(PYTHON) -m venv $(if $(wildcard $(READY)),,--clear) $(VENV)  # one that was never ready may be of another Python
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[cpu,containers,data,kernels,report,serving,dev]'
	@$(BIN)/pip install --quiet -e '.[tracking]' || echo 'make setup: pip could not install ACTS (pyacts), as it says' \
		'above. Only generated tracking data need it: docs/data.md, "Other machines", says what to do without.'
	touch $@

horovod: setup  ## Horovod for the TensorFlow in .venv, from its source (needs g++ and make, takes minutes)
	containers/build-horovod.sh $(BIN)/python build/horovod
	$(BIN)/pip install --quiet --no-cache-dir --no-deps --force-reinstall build/horovod/horovod-*.whl
	$(BIN)/pip install --quiet -e '.[horovod]'

backends: setup  ## JAX and PyTorch beside TensorFlow in .venv, for the tests that compare the three
	$(BIN)/pip install --quiet -e '.[jax]' torch==2.13.0  # the version that the tests were last run with

triton: $(VENV)-triton/.ready  ## the inference server Triton, in an environment of its own beside .venv

# The wheel with the server asks for NumPy 1, and a run for NumPy 2. The server needs none of its other requirements.
$(VENV)-triton/.ready: Makefile
	$(PYTHON) -m venv --clear $(VENV)-triton
	$(VENV)-triton/bin/pip install --quiet 'numpy<2' keras==3.15.1 \
	    '$(if $(filter cuda,$(ACCELERATOR)),tensorflow[and-cuda],tensorflow-cpu)==2.20.0'
	$(VENV)-triton/bin/pip install --quiet --no-deps nvidia-pytriton==0.7.0
	touch $@

run: setup  ## the main job: MLPF, small preset, on events it makes itself
	$(BIN)/hepbench run mlpf --preset smoke

test: setup  ## the fast tests, two at a time
	$(BIN)/pytest -n 2 --dist loadfile -m 'not slow and not exhaustive'

test-slow: setup  ## the slow tests, which CI runs too
	$(BIN)/pytest -m 'slow and not exhaustive' --durations=20

test-all: setup  ## every test there is, the exhaustive ones included: more than an hour
	$(BIN)/pytest --durations=20

lint: setup  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint containers/Dockerfile

bench: setup  ## our steps against plain transcriptions, two ranks against one, graph building, the harness
	$(BIN)/python -m tests.bench

# PYTHON is the interpreter that has JAX and PyTorch. What it lacks comes from WHEELS, without a network.
DEVICE ?= gpu
WHEELS ?= build/gpu-wheels
gpu-check:  ## measure a machine with JAX and PyTorch in 8 minutes, on a GPU or on a CPU at a small size
	@$(PYTHON) -m benchmarks.gpu_check.wheels install $(WHEELS) build/gpu-check
	@PYTHONPATH=$(CURDIR):$(CURDIR)/build/gpu-check $(PYTHON) -m benchmarks.gpu_check --device $(DEVICE)

gpu-wheels:  ## fill WHEELS for a machine with a stock JAX and PyTorch on Python 3.12 (needs a network)
	$(PYTHON) -m benchmarks.gpu_check.wheels fetch $(WHEELS)

# One workload at a time: make image sif WORKLOAD=gnn_tracking. docs/containers.md has the variables.
WORKLOAD ?= mlpf
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE = $(subst _,-,$(WORKLOAD))-bmk:v$(VERSION)
LOCAL = localhost/hepbench/$(IMAGE)
SIF = build/sif/$(subst :,_,$(IMAGE)).sif
# An image for CUDA has a second name. A SIF has each name once more with the architecture, for hep-score's `addarch`.
NAMES = $(IMAGE) $(if $(filter cuda,$(ACCELERATOR)),$(subst -bmk:,-gpu-bmk:,$(IMAGE)))
SIF_NAMES = $(NAMES) $(addsuffix _$(shell uname -m),$(NAMES))
# Podman takes the same commands as Docker, and Singularity those of Apptainer.
export DOCKER ?= $(or $(shell command -v docker),$(shell command -v podman),docker)
APPTAINER ?= $(or $(shell command -v apptainer),$(shell command -v singularity),apptainer)
ARGUMENTS = $(foreach name,BASE_IMAGE BUILDER_IMAGE ACCELERATOR PRESETS,$(if $($(name)),--build-arg $(name)='$($(name))'))

image:  ## the container image of WORKLOAD; BUILD_FLAGS go to docker build
	containers/build-image.sh $(subst -,_,$(WORKLOAD)) $(VERSION) $(LOCAL) $(ARGUMENTS) $(BUILD_FLAGS)

sif:  ## the image as SIF, under its own name and those that hep-score's dir:// registry expects
	mkdir -p build/sif
	$(APPTAINER) build --force --disable-cache --mksquashfs-args '-Xcompression-level 1' \
	    --build-arg IMAGE=$(LOCAL) $(SIF).part containers/image.def
	mv $(SIF).part $(SIF)
	for name in $(SIF_NAMES); do ln -f $(SIF) build/sif/$$name || exit; done

push:  ## image and SIF to REGISTRY, such as registry.example.org/hepbench
	@test -n '$(REGISTRY)' || { echo 'make push: say where to: REGISTRY=HOST/PROJECT' >&2; exit 2; }
	for name in $(NAMES); do \
	    $(DOCKER) tag $(LOCAL) $(REGISTRY)/$$name && $(DOCKER) push $(REGISTRY)/$$name || exit; \
	done
	for name in $(SIF_NAMES); do $(APPTAINER) push build/sif/$$name oras://$(REGISTRY)/sif/$$name || exit; done

hepscore: setup  ## the real hep-score (HEPSCORE_BIN) on every image and SIF, preset smoke
	$(BIN)/python -m tests.hepscore

configs: setup  ## the shipped configurations of hep-score, out of the reference runs beside them
	$(BIN)/hepbench hepscore config --gpus 1 --output hepscore_adapter/configs/hepscore-gpu.yaml
	$(BIN)/hepbench hepscore config --preset hepscore-small --gpus 0 \
	    --output hepscore_adapter/configs/hepscore-gpu-cpuonly.yaml

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(VENV)-triton build results .mypy_cache .pytest_cache .ruff_cache
