# lazydisk: how it is built, checked, tested and shown.
#
#   make build      compile lib and mount to dist/
#   make check      types, lint (the layers included), format
#   make test-unit  the fast tests: no root, no S3 server, no mount
#   make test       everything; as root it installs what is missing (see tests/tools/run-tests.sh)
#   make torture    SECONDS=600 [SEED=n]: kills, faults, outages, full disks, commits and a guest at once; then every byte compared
#   make demo       set up, then the whole story on a real file-system image (KEEP=1, IMAGE=path)
#   make bench      lazydisk beside its neighbours: all parts, then every ratio with its target (as root; ROUNDS=3, QUICK=1)
#   make bench-cold bench-hot bench-commit bench-many   one part;  bench-report: the tables again;  bench-docs: into the docs
#   make docs       write docs/CONFIGURATION.md from what the verbs declare
#   make install    PREFIX=/usr/local [DESTDIR=…], and uninstall, deb: see mount/install/install.mk
#   make clean      remove what was built; node_modules and the cached guest stay (make distclean takes them too)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: build check check-types check-lint check-format test-unit test torture demo docs clean distclean
.PHONY: bench bench-build bench-cold bench-hot bench-commit bench-many bench-report bench-docs

SOURCES := $(shell find lib mount -name '*.ts' -o -path 'mount/dashboard/page/*' -type f 2>/dev/null)
# What needs root, a mount, an S3 server, the whole program or others than Node.
NOT_UNIT := '/tests/(mounted|guest|torture|disks)/' '\.mounted\.test\.ts$$' '/tests/store/(s3-store|test-tools)\.' '/tests/cli/(s3-errors|repository-verbs)\.'
JEST := NODE_OPTIONS=--experimental-vm-modules npx jest

build: dist/.built

# npm ci leaves its own record in node_modules; it is older than the lock when somebody changed a dependency.
node_modules/.package-lock.json: package-lock.json
	npm ci --no-fund --no-audit --loglevel=error
	touch $@

dist/.built: node_modules/.package-lock.json tsconfig.json tsconfig.build.json mount/bundle.js mount/install/completion.bash $(SOURCES)
	rm -rf dist
	npm run --silent build
	chmod +x dist/mount/cli/main.js
	touch $@

# Caches keep a second run short. The linter's does not see a type that changed in another file: a fresh clone, without cache, does.
check: check-types check-lint check-format

check-types: node_modules/.package-lock.json
	npx tsc -p tsconfig.json --noEmit --incremental --tsBuildInfoFile .cache/check/types.tsbuildinfo
	npx tsc -p mount/dashboard/page --incremental --tsBuildInfoFile .cache/check/page.tsbuildinfo

check-lint: node_modules/.package-lock.json
	npx eslint --cache --cache-location .cache/check/eslint .

check-format: node_modules/.package-lock.json
	npx prettier --cache --cache-location .cache/check/prettier --check --log-level warn .

test-unit: build
	$(JEST) -w 2 --reporters=default --reporters=./tests/reporter/tally.mjs --testPathIgnorePatterns $(NOT_UNIT)

test:
	tests/tools/run-tests.sh

torture:
	ONLY=torture tests/tools/run-tests.sh

demo: build
	examples/demo.sh

docs: build
	cp dist/share/doc/lazydisk/CONFIGURATION.md docs/CONFIGURATION.md

include mount/install/install.mk

BENCH := node .cache/bench/program/tests/bench/main.js

bench-build: build
	tests/bench/install-peers.sh
	npx tsc -p tests/bench/tsconfig.json

# One thing at a time, whatever -j says; a part that fails leaves the others and the report.
bench: bench-build
	status=0; for part in cold hot commit many; do $(BENCH) $$part || status=1; done; $(BENCH) report; exit $$status

bench-cold bench-hot bench-commit bench-many: bench-build
	$(BENCH) $(@:bench-%=%)
	$(BENCH) report

bench-report: bench-build
	$(BENCH) report

bench-docs: bench-build
	$(BENCH) docs

clean:
	rm -rf dist

distclean: clean
	rm -rf node_modules .cache
