# The verbs of the project. `make` builds ./vpclab, one static binary; `make help` lists the rest.

.DEFAULT_GOAL := build
.PHONY: build test generate lint fuzz soak bench demo schema ci clean help
sudo := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

build: ## build ./vpclab, one static binary (the default)
	CGO_ENABLED=0 go build -trimpath -o vpclab ./cmd/vpclab

test: ## run every test; what needs root skips without it (sudo make test REQUIRE_ROOT=1 to insist)
	REQUIRE_ROOT=$(REQUIRE_ROOT) go test ./...

generate: ## write the generated files anew: eBPF objects and bindings, the drop reasons' header and page
	scripts/generate-ebpf.sh

lint: ## run the linters
	scripts/lint.sh

fuzz: ## run each fuzz target for 10 seconds (make fuzz TIME=1m for longer)
	scripts/fuzz.sh $(or $(TIME),10s)

soak: ## run each fuzz target for 10 minutes, 100,000 random labs against the reference and 2,000 live ones against their twins, then every test ten times under the race detector; takes hours
	scripts/fuzz.sh 10m
	go test ./dataplane/engine -run=TestEngineEqualsReference -timeout=2h -sequences=100000
	$(sudo) env "PATH=$$PATH" REQUIRE_ROOT=1 go test ./ctrl/lab -run=TestFastPathDoesWhatTheEngineWould -timeout=4h -sequences=2000
	$(sudo) env "PATH=$$PATH" go test -race -count=10 -timeout=2h ./...

bench: ## measure vpclab against a bare veth pair and the kernel's forwarding; takes about half an hour
	CGO_ENABLED=0 go build -trimpath -o vpcbench ./cmd/vpcbench
	$(sudo) ./vpcbench

demo: build ## run the tour
	$(sudo) ./vpclab run scenarios/tour.yaml

schema: build ## write vpclab.schema.json, for editors
	./vpclab schema > vpclab.schema.json

ci: ## run what CI runs (as root; installs Debian packages that are missing)
	$(sudo) env "PATH=$$PATH" bash .ci/run

clean: ## remove what was built
	rm -rf bin vpclab vpcbench vpclab.schema.json

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
