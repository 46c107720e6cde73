# dunlin. `make` alone lists the targets.

BIN := bin/dunlin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
PACKAGES ?= ./...
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# Every target below is a command and no file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(MAKEFILE_LIST))

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

# The address is the file's. A flag would silence DUNLIN_PORT and DUNLIN_HOST.
run: build ## build and start on 127.0.0.1:6001 with apps.yaml
	@exec $(BIN) serve --config apps.yaml

test: deps ## every lane: static checks, Go with the race detector, stock clients in Node and Chromium
	test/lanes.sh

check: ## format, vet, lint and unit tests: needs Go only
	test/check.sh all

# Always asks Go, which knows better than make whether something has changed.
build: ## bin/dunlin, static
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/dunlin

# For benchstat: COUNT=10 make bench >new.txt
bench: ## the Go benchmarks whose names match BENCH (all), each COUNT (1) times
	@go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem -count $(or $(COUNT),1) -timeout 60m $(PACKAGES)

bench-webhooks: ## the figures of docs/webhooks.md, half a minute
	go test -run '^$$' -bench 'OneEndpoint|Healthy|Held100k|Queued100k' ./webhooks/deliver ./webhooks/memory 2>/dev/null
	go test -run '^$$' -bench 'Append|Open100k' ./webhooks/spool
	go test -run '^$$' -bench Recovery -benchtime 3x ./test/e2e

bench-live: ## dunlin beside the least a server can do, ROUNDS (3) times; Linux, two cores
	test/floor/run.sh

bench-latency: ## what events take while something disturbs the server; two to three minutes a round
	@ROUNDS=$${ROUNDS:-1} test/floor/run.sh -latency

bench-million: ## what 1,000 to 1,000,000 connections cost, over simulated sockets; Linux, 2 GB of memory
	@mkdir -p .cache/million
	go build -tags simulated -o .cache/million/million ./test/million
	.cache/million/million -out .cache/million/results-$$(date +%Y%m%d-%H%M%S).json

bench-curve: ## throughput and latency against subscribers; Linux, two cores
	@mkdir -p .cache/floor
	test/floor/curve.sh >.cache/floor/curve-$$(date +%Y%m%d-%H%M%S).json

bench-cluster: ## what Redis costs, a node on Redis beside one in memory, and a rolling restart with 3,000 clients
	go test -tags redis -run '^$$' -bench . ./cluster/redis
	go test -tags redis -run '^$$' -bench . -benchtime 1x ./test/scale -rounds $(or $(ROUNDS),4)
	go test -tags redis -count 1 -v ./test/scale -clients 3000 -drain 5s

dist: ## a release in dist/: archives for Linux and macOS, lists of their parts, checksums
	VERSION=$(VERSION) COMMIT=$(COMMIT) test/dist.sh

chaos: ## break nodes, links and Redis for DURATION (2m), from SEED (0: any) on; HOSTS=1: in network namespaces
	go test -tags redis -count=1 -timeout 0 ./test/chaos -run TestChaos -v -duration $(or $(DURATION),2m) -seed $(or $(SEED),0) $(if $(HOSTS),-hosts)

fuzz: ## each fuzz target for FUZZTIME (10s)
	test/fuzz.sh

deps: ## install what the lanes need (root with apt), or name it
	@test/deps.sh

clean: ## remove what was built and fetched
	rm -rf bin dist .cache test/clients/node_modules
