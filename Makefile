# Everything here needs only Go, make and git, except the cluster targets, which say
# what they miss. `make help` lists the targets.

GO      ?= go
# go-mysql-server's regular expressions would need the ICU library through cgo.
TAGS    := gms_pure_go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
OUTPUT  ?= sqlflow_playground
# The binary is static, so that it runs in an empty container image.
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(OUTPUT)
# RACE=1 runs the tests under the race detector, which needs a C compiler.
ifdef RACE
TEST    := CGO_ENABLED=1 $(GO) test -race -tags $(TAGS)
else
TEST    := CGO_ENABLED=0 $(GO) test -tags $(TAGS)
endif
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
PREFIX  ?= /usr/local

.DEFAULT_GOAL := build

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z0-9_-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build ./sqlflow_playground, a static binary.
	$(BUILD) -tags $(TAGS) .

.PHONY: lean
lean: ## Build it without the embedded MySQL, which only demo needs: a third of the size.
	$(BUILD) .

.PHONY: run
run: build ## Serve https://localhost:50052 on the embedded MySQL; needs no cluster.
	./sqlflow_playground demo

.PHONY: test
test: ## Run every test that needs no root. RACE=1: under the race detector.
	$(TEST) ./...

.PHONY: check
check: ## gofmt, go vet, staticcheck, go mod tidy.
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	$(GO) vet -tags $(TAGS) ./...
	$(GO) run $(STATICCHECK) -tags $(TAGS) ./...
	$(GO) mod tidy -diff

.PHONY: bench
bench: ## Measure the server beside a bare net/http handler, and the compiler.
	CGO_ENABLED=0 $(GO) test -tags $(TAGS) -run '^$$' -bench . -benchtime 2s ./handlers ./couler/...

.PHONY: install
install: build ## Install the binary and gen_cert.sh under PREFIX (/usr/local).
	install -d $(DESTDIR)$(PREFIX)/bin
	install sqlflow_playground scripts/gen_cert.sh $(DESTDIR)$(PREFIX)/bin/

# The test bed: a real Kubernetes on this machine, as root. See test/README.md.
NODES ?= real

.PHONY: cluster-up
cluster-up: ## Boot a real single-node Kubernetes here (NODES=fake: simulated nodes).
	cd test && $(GO) run ./cmd/cluster up --nodes=$(NODES)

.PHONY: cluster-down
cluster-down: ## Stop it and remove all that it left.
	cd test && $(GO) run ./cmd/cluster down --nodes=$(NODES)

.PHONY: cluster-status
cluster-status: ## Tell what runs of it.
	cd test && $(GO) run ./cmd/cluster status --nodes=$(NODES)

BENCH     := ^TestPerformance$$
WORKFLOWS := ^TestWorkflowsOn

.PHONY: e2e
e2e: build ## Prove the server on the test bed, as root; rewrites docs/e2e.md.
	cd test && $(GO) vet ./... && $(GO) test -count=1 -p 1 -parallel 8 -timeout 70m $$($(GO) list ./... | grep -v '/e2e$$\|/engines$$')
	cd test && $(GO) test -count=1 -timeout 70m -skip '$(BENCH)|$(WORKFLOWS)' ./e2e

.PHONY: e2e-workflows
e2e-workflows: build ## Prove the workflows on a real Argo and a real Tekton, and by their own validators, as root.
	cd test/argo && $(GO) test -count=1 .
	cd test/tekton && $(GO) test -count=1 .
	cd test && $(GO) test -count=1 -timeout 70m ./engines
	cd test && $(GO) test -count=1 -timeout 70m -run '$(WORKFLOWS)' ./e2e

.PHONY: bench-e2e
bench-e2e: ## Measure all beside kubectl by hand and the Python server's way, as root; rewrites docs/performance.md.
	cd test/e2e && $(GO) test -count=1 -timeout 90m -run '$(BENCH)'

.PHONY: clean
clean: ## Remove what was built; key_store stays.
	rm -f sqlflow_playground
