# Every command of the project; `make` alone lists them. Extra arguments go in ARGS.
.DEFAULT_GOAL := help
.PHONY: help demo run build test bench chaos chaos-long chaos-large soak lint fuzz mutations pictures zones clean

ARGS ?=
FUZZTIME ?= 30s
SEED ?= 1

# The program needs no C; only the race detector of `make test` does, and turns it on for itself.
export CGO_ENABLED := 0

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a whole campaign in one process, with nothing installed
	go run ./cmd/carillon demo $(ARGS)

run: ## serve API, workers and scheduler on http://127.0.0.1:8080
	go run ./cmd/carillon serve $(ARGS)

build: ## the binary ./carillon, static
	go build -trimpath -ldflags '-s -w' -o carillon ./cmd/carillon

test: ## all tests, with the race detector, on SQLite and on MariaDB + Redis (installs them), and lint; ARGS='-run X ./models' without lint
	@go run ./internal/testkit/runtests $(ARGS)

chaos: ## the promises of docs/, tried on the real binary under faults drawn from SEED=1; ARGS='--trials smooth,share,patch,first'
	go run ./internal/testkit/chaos --seed $(SEED) $(ARGS)

chaos-long: ## the same with 200 storms, seeds SEED to SEED+199; some six hours
	go run ./internal/testkit/chaos --seed $(SEED) --schedules 200 $(ARGS)

chaos-large: ## trials million and slow: 1,000,000 recipients with 20 × kill -9, and at 1/s beside ten others; ARGS='--recipients 100000'
	go run ./internal/testkit/chaos --seed $(SEED) --trials million,slow $(ARGS)

soak: ## trial soak: 20 minutes of campaigns under the race detector, goroutines and memory flat; ARGS='--span 2m'
	go run ./internal/testkit/chaos --seed $(SEED) --trials soak --race $(ARGS)

bench: ## speed, memory and latency against bare loops in the same run; ARGS='--only one,batch,inbox --recipients 100000'
	go run ./internal/testkit/bench $(ARGS)

lint: ## golangci-lint and go mod tidy -diff, as `make test` has them; the first build of golangci-lint takes minutes
	@go run ./internal/testkit/runtests lint $(ARGS)

fuzz: ## every fuzz test for FUZZTIME=30s each
	@for pkg in $$(go list ./...); do \
		for fuzz in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$fuzz$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

mutations: ## take one guard at a time out of a copy of the code, and see its test fail; ARGS=--check compiles alone
	go run ./internal/testkit/mutations $(ARGS)

# The pictures that README.md shows; all others stay out of git.
SHOWN := overview campaign campaigns-new schedules-calendar

pictures: ## each page of the console in each state, light and dark, wide and narrow, into docs/img/all; needs a Chromium
	mkdir -p docs/img/all
	go test -count 1 -timeout 60m -run TestPagesAreAccessible ./handlers/console -pictures "$(CURDIR)/docs/img/all"
	for name in $(SHOWN); do cp docs/img/all/$$name-light-1280.png docs/img/; done

zones: ## the time zones of Go's distribution, which come with each of its releases, as this program's own
	cp "$$(go env GOROOT)/lib/time/zoneinfo.zip" internal/zones/zoneinfo.zip

clean: ## remove what build, test and lint left here; never the data directory
	rm -f carillon *.test *.out
