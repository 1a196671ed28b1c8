# Each target is one readable line or a script. `make help` lists them.
VENV = $(shell hack/venv)
export PYTHONPATH = $(CURDIR)/crds:$(CURDIR)/operator:$(CURDIR)/trainer_image:$(CURDIR)/hack
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/: .*## */\t/' | expand -t 18

demo: ## a two-node Kubernetes on this machine, the operator in it, one job from apply to a trained model
	@hack/demo

demo-down: ## end all that the demo started
	@hack/cluster down

try: ## the same manifest and the same operator on this machine without Kubernetes
	@LLMTRAIN_COMMAND="make try" $(VENV)/bin/python -m llmtrain run examples/tiny-llama.yaml

test: ## lint and every layer of tests (hack/test --help: some of them; AGAIN=--again: what fails once more)
	@hack/lint
	@hack/test $(AGAIN)

proofs: ## the long tests: every layout against one fp64 process, kills and resumes in pairs of layouts, 20,000 lives (more than an hour; CI runs those of integration and trainer)
	@hack/test --proofs

layouts: ## prove every parallel layout equal to one fp64 process and write proven.json (make proofs: a part)
	@cd tests && PYTHONPATH=$(PYTHONPATH):$(CURDIR)/tests $(VENV)/bin/python -m harness.layouts.prove && $(MAKE) -C .. generate

resume: ## kill and resume in every pair of layouts (make proofs: one of each kind)
	@LLMTRAIN_RESUME=all hack/test --proofs trainer -k test_resume_layouts

sizes: ## 1 GB of weights in every layout, 300 MB and 5 GB of text: nothing is read or held twice (an hour; make proofs: a part)
	@cd tests && export PYTHONPATH=$(PYTHONPATH):$(CURDIR)/tests && $(VENV)/bin/python -W ignore -m harness.sizes.large \
	  && $(VENV)/bin/python -m harness.sizes.text txt 300 && $(VENV)/bin/python -m harness.sizes.text jsonl 300 \
	  && $(VENV)/bin/python -m harness.sizes.text jsonl 5000

faults: ## only the kills on a real cluster: processes, pods and the operator under one job
	@hack/test e2e -k each_fault

simulate: ## 100,000 random lives of a job under faults (make test: 1,500; make proofs: 20,000)
	@LLMTRAIN_SCHEDULES=100000 hack/test --proofs simulation -k random_schedules

real: models ## fine-tune a real 135M model, alone and on a cluster, and go on with a real BERT (15 minutes; not in make test)
	@hack/test real

corpora: ## each task on real text of this machine: 64 rows by heart, held-out rows beside what needs no model; kinds of tokenizers; writes docs/gallery.md (half an hour; CORPORA=translation: one; not in make test)
	@cd tests && PYTHONPATH=$(PYTHONPATH):$(CURDIR)/tests $(VENV)/bin/python -W ignore -m harness.corpora $(CORPORA) && $(MAKE) -C .. generate

examples: ## an example of each task on a two-node cluster, for three steps (10 minutes beside its start; not in make test)
	@hack/test examples_on_cluster

models: ## fetch what tests of real models need into the cache: SmolLM2, MiniLM, dialogues (180 MB)
	@cd tests && PYTHONPATH=$(PYTHONPATH):$(CURDIR)/tests $(VENV)/bin/python -m harness.models

kueue: ## jobs in a queue of the real Kueue, built from its Go module, also real training on two nodes (5 minutes more the first time; not in make test)
	@hack/test kueue

rules: ## the chart's alerts, checked and fired by Prometheus' own promtool, built from its Go module (not in make test)
	@hack/test rules

lm-eval: ## evaluation.tasks with the real lm-evaluation-harness, which pip gets into the cache (450 MB; not in make test)
	@hack/test lm_eval_tasks

lint: ## ruff, mypy --strict, import boundaries
	@hack/lint

docs: ## the site of the documents into build/site, offline; a broken link or a page outside the menu is an error
	@hack/docs

generate: ## write the version where it is said again, the CRD, the schemas of manifests, the chart's copy, its boards and its README, and the generated pages
	@$(VENV)/bin/python -m releasing.version && $(VENV)/bin/python -m llmtrain_api && $(VENV)/bin/python -m llmtrain.cli.page && $(VENV)/bin/python -m llmtrain.render.schema && $(VENV)/bin/python hack/boards.py && $(VENV)/bin/python hack/chartreadme.py && $(VENV)/bin/python -m docsite

release: ## wheel, chart, CRDs, schema, bills of materials, site, notes and checksums of the newest commit into build/release/VERSION (RELEASE=--help: options)
	@$(VENV)/bin/python -m releasing $(RELEASE)

images: ## build both images
	@hack/cluster images

venv: ## make (once) and print the virtual environment that everything above uses
	@hack/venv

web: ## build the page from web/ into the Python package (needs Node 20; nobody else does)
	@cd web && npm ci --silent && npm run --silent build

page: ## the page in a headless Chromium, beside a real job (needs Node and Chromium; not in make test)
	@hack/test page

page-on-cluster: ## the same on the two-node cluster, as users with rights on one namespace or none see it (needs Node and Chromium; not in make test)
	@hack/test page_on_cluster

bench: ## tokens/s of the trainer's step beside a plain loop and Hugging Face's Trainer (BENCH=--help: options)
	@$(VENV)/bin/python -W ignore -m bench.trainer $(BENCH)

bench-operator: ## what the operator costs the API server beside bare pods, in turns (BENCH=--help: options)
	@$(VENV)/bin/python -m bench.operator $(BENCH)

bench-writes: ## what a write of a job, of its status and of other kinds costs the API server (BENCH=--help: options)
	@$(VENV)/bin/python -m bench.write_cost $(BENCH)

bench-recovery: ## from the death of a pod to the next step, part by part, on the demo's cluster (BENCH=--help: options)
	@$(VENV)/bin/python -m bench.recovery $(BENCH)

bench-scale: ## memory, CPU of an event and longest stretches of the operator with 2,500 jobs and 10,000 pods (BENCH=--help: options)
	@$(VENV)/bin/python -m bench.scale $(BENCH)

bench-page: ## what 300 open web pages of 2,000 jobs cost: first view, how late changes are told, CPU, the operator's decisions (BENCH=--help: options)
	@$(VENV)/bin/python -m bench.page $(BENCH)

constraints: ## pin what a fresh environment without constraints.txt would get
	@hack/constraints

.PHONY: lm-eval corpora examples release docs web page page-on-cluster proofs rules kueue models real bench bench-operator bench-writes bench-recovery bench-page bench-scale layouts resume simulate faults help demo demo-down try test lint generate images venv constraints
