# The project's tasks. `make help` lists them. Everything is built under build/<preset>, run-time data lives in var/.
PRESET ?= release
PORT ?= 8080
ADMIN_PORT ?= 9090
JOBS ?= $(shell nproc)
CTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run demo test unit e2e e2e-s3 e2e-deps build deps lint fmt tidy bench bench-store bench-cold bench-micro bench-baseline bench-media torture asan tsan clang clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'
	@echo "  Settings: PORT=8080 (run), PRESET=release (build, test), JOBS=$(JOBS), CTEST_ARGS='-R name' (test)"

deps: ## install the Debian packages a build needs, when missing
	@tools/install_deps build

build: deps ## build PRESET (default: release)
	@mkdir -p build; cmake --preset $(PRESET) -Wno-dev > build/$(PRESET).configure.log 2>&1 || { cat build/$(PRESET).configure.log; rm -f build/$(PRESET).configure.log; exit 1; }
	@rm -f build/$(PRESET).configure.log
	cmake --build --preset $(PRESET) -j $(JOBS)

demo: deps
	@tools/make_demo --dir var --port $(PORT) --admin-port $(ADMIN_PORT)

run: build demo ## build, make demo clips, serve them on 127.0.0.1:PORT
	@tools/make_demo --dir var --port $(PORT) --admin-port $(ADMIN_PORT) --print
	@exec build/$(PRESET)/bin/video-resizer serve --config var/demo.jsonc

test: test-deps build e2e-deps ## install, build and run every test
	ctest --preset $(PRESET) -j $(JOBS) $(CTEST_ARGS)

unit: build ## only the unit and integration tests
	ctest --preset $(PRESET) -j $(JOBS) -LE e2e $(CTEST_ARGS)

e2e: test-deps build e2e-deps ## only the tests that run the real programs
	ctest --preset $(PRESET) -L e2e $(CTEST_ARGS)

e2e-s3: build ## the tests of S3 sources against a real Ceph RGW (root; 300 MB of packages)
	@tools/install_deps s3
	@VR_BIN_DIR=$(CURDIR)/build/$(PRESET)/bin tests/s3/run

.PHONY: test-deps
test-deps:
	@tools/install_deps test

# Playwright's driver for the browser test, the public HTTP cache tests; a machine without npm registry skips those.
e2e-deps: tests/e2e/browser/node_modules/.package-lock.json tests/e2e/conformance/node_modules/.package-lock.json
tests/e2e/%/node_modules/.package-lock.json: tests/e2e/%/package-lock.json
	@cd $(dir $<) && npm ci --silent --no-audit --no-fund || echo "npm ci failed: the $* test will be skipped"

lint: ## source rules, import check, clang-format (make tidy: clang-tidy)
	@tools/install_deps lint
	@tools/check_imports
	@tools/lint regex format

tidy: deps ## clang-tidy on all sources (10 minutes on two cores), or SINCE=<commit> for what changed
	@tools/install_deps lint
	@cmake --preset clang -Wno-dev > /dev/null
	@tools/lint tidy --jobs $(JOBS) $(if $(SINCE),--since $(SINCE))

fmt: ## reformat src/ with clang-format-16
	@tools/install_deps lint
	@find src -name '*.h' -o -name '*.cc' | xargs clang-format-16 -i

bench: ## hits and concurrency against nginx, Varnish, Traffic Server and a bare loop, store, growth; writes bench/results/ (15 minutes; QUICK=1: 2, BENCH_ARGS='--only hits')
	@tools/install_deps bench
	@$(MAKE) --no-print-directory build PRESET=release
	@cmake --build --preset release --target vr_store_bench vr_growth_bench > /dev/null
	@tools/bench --bin build/release/bin $(if $(QUICK),--quick) $(BENCH_ARGS)

bench-store: ## the store: start with 100,000 entries, commits against plain files, a purge of 10,000; writes bench/results/
	@tools/install_deps bench
	@$(MAKE) --no-print-directory build PRESET=release
	@cmake --build --preset release --target vr_store_bench > /dev/null
	@tools/bench_store --bin build/release/bin --out bench/results/$$(date +%F)-store.md

bench-cold: ## the cold path against the ffmpeg command line, with targets; writes bench/results/ (ROUNDS=5)
	@tools/install_deps bench
	@$(MAKE) --no-print-directory build PRESET=release
	@tools/bench_cold --bin build/release/bin --out bench/results/$$(date +%F)-cold.md

bench-micro: ## the steps of a hit one by one (Google Benchmark)
	@tools/install_deps bench
	@$(MAKE) --no-print-directory build PRESET=release
	@cmake --build --preset release --target bench_micro > /dev/null
	@build/release/bin/bench_micro $(BENCH_ARGS)

bench-baseline: ## count a hit's instructions anew and write bench/baseline.json (see bench/instructions.py)
	@tools/install_deps test
	@$(MAKE) --no-print-directory build PRESET=release
	@tools/bench_instructions --bin build/release/bin --write

bench-media: ## every mode and format against the ffmpeg command line; writes bench/results/ (ROUNDS=3)
	@tools/install_deps bench
	@$(MAKE) --no-print-directory build PRESET=release
	@tools/bench_media --bin build/release/bin --out bench/results/$$(date +%F)-media.md

torture: build ## kill -9 of the real server under load, ROUNDS=50 times (SEED, DURABILITY=none|body|full)
	@tools/install_deps test
	@VR_BIN_DIR=$(CURDIR)/build/$(PRESET)/bin /usr/bin/python3 tests/torture/kill9.py

asan: deps ## build with address and undefined behaviour sanitizers, run the unit and integration tests
	@tools/install_deps test
	@$(MAKE) --no-print-directory build PRESET=asan
	ctest --preset asan -j $(JOBS) -LE e2e $(CTEST_ARGS)

tsan: deps ## the same with the thread sanitizer
	@tools/install_deps test
	@$(MAKE) --no-print-directory build PRESET=tsan
	ctest --preset tsan -j $(JOBS) -LE e2e $(CTEST_ARGS)

clang: deps ## the same with clang-16 (thread-safety annotations are checked there)
	@tools/install_deps test lint
	@$(MAKE) --no-print-directory build PRESET=clang
	ctest --preset clang -j $(JOBS) -LE e2e $(CTEST_ARGS)

clean: ## remove what was built and the demo's data
	rm -rf build var tests/e2e/browser/node_modules tests/e2e/conformance/node_modules
