.PHONY: help run test faults bench check

help: ## Show what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

run: ## Run the server on a private Postgres
	@scripts/install-missing server
	cargo run --release

test: ## Pass every test
	@scripts/install-missing server faults clients browser
	cargo test
	tests/clients/run
	tests/oauth/run
	tests/oauth/examples
	tests/oauth/upstream/run
	tests/browser/run
	tests/live/run
	tests/autobahn/run
	tests/deploy/compose
	tests/deploy/run
	tests/faults/run
	tests/faults/slow

faults: ## Break things under the server, for as long as it takes
	@scripts/install-missing server faults
	cargo build
	tests/faults/run --long
	tests/faults/slow

bench: ## Measure the workloads beside their floors
	@scripts/install-missing server bench
	bench/run

check: ## Do what CI does
	.ci/run
