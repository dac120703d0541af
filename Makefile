# SPDX-License-Identifier: BSD-3-Clause
# A thin layer over tools/, tests/ and bench/. `make` alone lists what there is.

ARGS         =
FUZZ_SECONDS = 60
PREFIX       = /usr/local
USER_FLAG    = $(if $(filter 0,$(shell id -u)),-u nobody)

.NOTPARALLEL:
.PHONY: help run build test demo bench soak fuzz install test-clients deb test-deb format docs deps clean

help:
	@echo 'make run           build optimised and serve 127.0.0.1:11211 (ARGS="-m 1024": options)'
	@echo 'make test          run every test; ends with "N passed, N failed"'
	@echo 'make build         optimised programs in build/release, test build in build/debug'
	@echo 'make demo          a small web application with and without the cache'
	@echo 'make bench         compare with memcached, figures in bench/RESULTS.md'
	@echo 'make fuzz          fuzz every parser for FUZZ_SECONDS=$(FUZZ_SECONDS) each'
	@echo 'make soak          ten minutes of mixed load from 100 connections, every byte checked'
	@echo 'make test-clients  real clients of several languages against the server'
	@echo 'make deb           packages for Debian, into build/deb'
	@echo 'make test-deb      build them; install, upgrade and purge them in a fresh Debian'
	@echo 'make install       into PREFIX=$(PREFIX) (below DESTDIR)'
	@echo 'make format        lay out the sources'
	@echo 'make docs          write docs/metrics.md from the tables'
	@echo 'make clean         remove build/'
	@echo 'Missing packages of Debian are installed first, and named.'

run: build/release/matted
	exec build/release/matted $(USER_FLAG) $(ARGS)

build: build/release/matted build/debug/matted

# Always asked: ninja knows what is up to date.
.PHONY: build/release/matted build/debug/matted
build/release/matted build/debug/matted: build/%/matted:
	@sh tools/install-deps build
	@sh tools/build $*

test:
	@sh tools/install-deps build test
	@/usr/bin/python3 tests/run.py

demo: build/release/matted
	@/usr/bin/python3 examples/demo.py $(ARGS)

bench: build/release/matted
	@sh tools/install-deps bench
	@/usr/bin/python3 bench/run.py $(ARGS)

soak: build/release/matted
	@/usr/bin/python3 tests/soak/soak.py $(ARGS)

fuzz:
	@sh tools/install-deps build test
	@sh tools/build fuzz
	@sh tools/fuzz $(FUZZ_SECONDS)

test-clients: build/release/matted
	@sh tools/install-deps clients
	@/usr/bin/python3 tests/clients/run.py $(ARGS)

deb:
	@sh tools/install-deps build deb
	@sh tools/deb

test-deb: deb
	@sh tools/install-deps test-deb
	@/usr/bin/python3 -m pytest -q -rs -p no:cacheprovider tests/deb

install: build/release/matted
	meson configure build/release --prefix=$(PREFIX)
	meson install -C build/release

format:
	@sh tools/format

docs:
	@/usr/bin/python3 tools/metrics_doc.py

clean:
	rm -rf build
