# Each target is one readable line or a script. `make help` lists them.
VENV = $(shell hack/venv)
export PYTHONPATH = $(CURDIR)/crds:$(CURDIR)/operator:$(CURDIR)/trainer_image:$(CURDIR)/hack
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/: .*## */\t/' | expand -t 18

venv: ## make (once) and print the virtual environment that everything below uses
	@hack/venv

lint: ## ruff, mypy --strict, import boundaries
	@hack/lint

generate: ## write the CRD and the chart's copy from crds/llmtrain_api
	$(VENV)/bin/python -m llmtrain_api

.PHONY: help venv lint generate
