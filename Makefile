# Everything a developer types. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export GOFLAGS := -buildvcs=false -tags=duckdb_arrow
export PATH := $(CURDIR)/.venv/bin:$(PATH)
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo development)
LDFLAGS := -X github.com/tidemill/tidemill/internal/cli.Version=$(VERSION)
TALLY := build/tally

.PHONY: help build demo test check lint unit race failpoints sdk example bench generate clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build bin/tidemill
	@scripts/prepare.sh
	@go build -ldflags "$(LDFLAGS)" -o bin/tidemill ./cmd/tidemill

demo: build ## run the flights example from nothing to predictions
	@examples/flights/scripts/demo.sh

test: ## set up everything and run all tests
	@scripts/prepare.sh tests
	@mkdir -p build && rm -f $(TALLY)
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory race
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory failpoints
	@$(MAKE) --no-print-directory sdk
	@$(MAKE) --no-print-directory example
	@python3 scripts/sum.py $(TALLY)

check: ## the quick part of the tests, before a commit
	@scripts/prepare.sh tests
	@mkdir -p build && rm -f $(TALLY)
	@test -z "$$(gofmt -l cmd internal bench)" || { gofmt -l cmd internal bench; echo "not formatted: run gofmt -w"; exit 1; }
	@go vet ./...
	@$(MAKE) --no-print-directory unit
	@python3 scripts/sum.py $(TALLY)

lint: ## all linters, every finding fatal
	@test -z "$$(gofmt -l cmd internal bench)" || { gofmt -l cmd internal bench; echo "not formatted: run gofmt -w"; exit 1; }
	@test -x .tools/golangci-lint || GOFLAGS=-buildvcs=false go build -modfile=tools/go.mod -o .tools/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@go mod tidy -diff
	@go vet ./...
	@.tools/golangci-lint run ./...

# Packages without DuckDB run under the race detector.
RACE := ./internal/core/... ./internal/ledger/... ./internal/dispatch/... ./internal/worker/... ./internal/notify/... ./internal/logs/... \
	./internal/launch/... ./internal/session/... ./internal/move/... ./internal/secret/... ./internal/blob/... ./internal/format/... ./internal/scheduler/...

race: ## tests of the concurrent packages under the race detector
	@mkdir -p build
	@python3 scripts/count.py race $(TALLY) -- go test -json -race -short $(RACE)

unit: ## unit tests, conformance suites on SQLite and PostgreSQL, scripts, 2,000 simulation seeds
	@mkdir -p build
	@python3 scripts/count.py unit $(TALLY) -- go test -json ./...

failpoints: ## kill -9 at every named point of a publish
	@mkdir -p build
	@python3 scripts/count.py failpoints $(TALLY) -- go test -json -tags=duckdb_arrow,failpoint ./internal/store/...

sdk: ## tests of the Python SDK
	@mkdir -p build
	@scripts/sdktest.sh $(TALLY)

example: build ## the flights example end to end, twice
	@scripts/exampletest.sh $(TALLY)

bench: build ## benchmarks beside their peers
	@scripts/bench.sh

generate: build ## write the generated references again
	@bin/tidemill schema > docs/reference/tidemill.schema.json
	@bin/tidemill schema --markdown > docs/reference/project-files.md
	@bin/tidemill internal-reference > docs/reference/cli.md

clean: ## remove what was built
	@rm -rf bin build
