# The front door. Everything that a bare Debian 12 machine lacks is installed by scripts/setup (apt, as root or with sudo).
BUILD ?= build
JOBS  ?= $(shell nproc)
PREFIX ?= /usr/local

SETUP_OPTS := -Dlto=true

# make check SAN=address|undefined|thread|address,undefined
comma := ,
ifdef SAN
BUILD := build-$(subst $(comma),-,$(SAN))
SETUP_OPTS := -Db_sanitize=$(SAN) -Db_lundef=false -Ddebug_checks=true --buildtype=debugoptimized
endif

.PHONY: help setup build debug demo check check-long check-cached bench install clean format

help:
	@echo 'make demo        set up, build, fetch a small arm64 Debian system, run programs in it'
	@echo 'make check       set up, build, run the tests (SAN=address|undefined|thread for a sanitizer build)'
	@echo 'make check-long  the long tests: hundreds of thousands of random cases, whole test suites'
	@echo 'make check-cached  the tests twice with a persistent cache that all share: the second time with what the first left'
	@echo 'make bench       speed and memory beside native code and QEMU 10: table, bench/results.json'
	@echo 'make build       build/dragoman and build/dragoman-static'
	@echo 'make debug       build-debug/: with the verifier after every pass, ASan and UBSan'
	@echo 'make setup       install what the build needs (apt); SETUP=check or bench for what those need'
	@echo 'make install     into $$(DESTDIR)$$(PREFIX) (default /usr/local)'

setup:
	@scripts/setup $(or $(SETUP),build)

$(BUILD)/build.ninja: | setup
	meson setup $(BUILD) --prefix=$(PREFIX) $(SETUP_OPTS)

build: setup $(BUILD)/build.ninja
	ninja -C $(BUILD) -j $(JOBS)

debug: setup
	test -f build-debug/build.ninja || meson setup build-debug --buildtype=debug -Db_sanitize=address,undefined -Ddebug_checks=true
	ninja -C build-debug -j $(JOBS)

demo: build
	BUILD=$(BUILD) scripts/demo

check:
	@scripts/setup check
	@$(MAKE) --no-print-directory build
	@scripts/check $(BUILD)

check-long:
	@scripts/setup check
	@$(MAKE) --no-print-directory build
	@scripts/check $(BUILD) long

check-cached:
	@scripts/setup check
	@$(MAKE) --no-print-directory build
	@rm -rf $(BUILD)/tests/cached
	@scripts/check $(BUILD) cached
	@scripts/check $(BUILD) cached

bench:
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	bench/run --build $(BUILD) $(BENCH_ARGS)

install: build
	meson configure $(BUILD) --prefix=$(PREFIX)
	meson install -C $(BUILD)

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build build-*
