# Everything a user or CI does, by name. `make help` lists it.
PYTHON ?= python3
# HOST= and PORT= of make's own command line: shells have a HOST of their own, and RPN_HOST and RPN_PORT are the settings.
LISTEN = $(if $(filter command,$(origin HOST)),--host $(HOST)) $(if $(filter command,$(origin PORT)),--port $(PORT))
MINUTES ?= 20
# TORCH=cpu installs PyTorch's own CPU build (about 0.2 GB instead of 3 GB) from the index TORCH_CPU_INDEX, which is
# for whoever installs to choose: PyTorch's own, which its installation page names, or a mirror.
TORCH ?= cuda
TORCH_CPU_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What `make compare` serves beside ours, in an environment that has ours below its own: their wants of versions differ.
FRAMEWORKS := litserve==0.2.19 bentoml==1.4.39 ray[serve]==2.60.0
PACKAGES_OF := -c "import sysconfig; print(sysconfig.get_path('purelib'))"
# What a first start would do, and take ten seconds for: the shipped networks as a CPU computes them, into the user's cache.
PREPARE = $(BIN)/rpn weights prepare weights/*.safetensors > /dev/null || true

.DEFAULT_GOAL := help
.PHONY: help serve test bench soak compare lint format lock install install-dev image-check clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

serve: install ## install what is missing and serve, on 127.0.0.1:8000 unless told (HOST=, PORT=)
	$(BIN)/rpn serve $(LISTEN)

test: install-dev lint ## lint, types, and every test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

bench: install ## speed, over HTTP too, and memory, on this machine, into bench/results (a quarter of an hour)
	$(BIN)/python -m bench all

soak: install ## whether memory stays flat under load, in MINUTES=20, into bench/results
	$(BIN)/python -m bench soak --minutes $(MINUTES)

compare: install ## the service beside FastAPI, LitServe, BentoML and Ray Serve, into bench/results (ten minutes)
	$(PYTHON) -m venv $(VENV)/frameworks
	$(BIN)/python $(PACKAGES_OF) > "$$($(VENV)/frameworks/bin/python $(PACKAGES_OF))/ours.pth"
	$(VENV)/frameworks/bin/pip install --quiet $(FRAMEWORKS)
	$(VENV)/frameworks/bin/python -m bench compare

lint: install-dev ## ruff, format check, strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install-dev ## rewrite the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed-$(TORCH) ## the locked run-time dependencies into .venv
install-dev: $(VENV)/.installed-dev-$(TORCH) ## the locked development dependencies into .venv

# A stamp per lock: a second run installs nothing and starts at once.
$(VENV)/.installed-%: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(MAKE) --no-print-directory install-lock-$* LOCK=requirements.txt
	$(PREPARE)
	@touch $@

$(VENV)/.installed-dev-%: requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	$(MAKE) --no-print-directory install-lock-$* LOCK=requirements-dev.txt
	$(PREPARE)
	@touch $@ $(VENV)/.installed-$*

# pip takes 2.14.1 and 2.14.1+cpu for one version: where TORCH has changed, the other build goes first, with the libraries
# that came with it. .torch-* tells which build there is, even after an install that broke off and left no stamp.
define remove_other_torch
@if [ -n "$$(find $(VENV) -maxdepth 1 \( -name '.torch-*' -o -name '.installed-*' \) ! -name '*-$(1)')" ]; then \
    rm -f $(VENV)/.installed-* && \
    $(PIP) --quiet uninstall --yes $$(sed -nE 's/^(torch|torchvision|triton|nvidia-[^=]+|cuda-[^=]+)==.*/\1/p' $(LOCK)) && \
    rm -f $(VENV)/.torch-*; \
fi && touch $(VENV)/.torch-$(1)
endef

.PHONY: install-lock-cuda install-lock-cpu
install-lock-cuda:
	$(call remove_other_torch,cuda)
	$(PIP) install --require-hashes -r $(LOCK)
	$(PIP) install --no-deps --no-build-isolation -e .

# The CPU build has versions and hashes of its own, and needs neither Triton nor the CUDA libraries: it is
# installed by version first, then the rest of the lock by hash.
install-lock-cpu:
	$(if $(TORCH_CPU_INDEX),,$(error TORCH=cpu needs TORCH_CPU_INDEX, the package index of PyTorch's CPU builds))
	$(call remove_other_torch,cpu)
	$(PIP) install --no-deps --index-url $(TORCH_CPU_INDEX) $$(sed -nE 's/^(torch|torchvision)==([^ ]+).*/\1==\2/p' $(LOCK))
	$(BIN)/python scripts/lock_without.py $(LOCK) torch torchvision triton 'nvidia-*' 'cuda-*' > $(VENV)/lock-cpu.txt
	$(PIP) install --require-hashes -r $(VENV)/lock-cpu.txt
	$(PIP) install --no-deps --no-build-isolation -e .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

lock: ## resolve pyproject.toml again into both locks (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q --extra openvino pyproject.toml -o requirements.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q --extra dev pyproject.toml -o requirements-dev.txt

image-check: ## build the container image with buildah and ask the service inside (root, Debian)
	deploy/image_check.sh

clean: ## remove what the targets made
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
