# What there is to do here: `make demo` shows what loadline is for, `make test` runs everything,
# `make release` writes the file to ship, `make bench` measures it against other inits. Each sets up
# what it needs, below target/ where it can.

MACHINE := $(shell uname -m)
TRIPLE  := $(MACHINE)-unknown-linux-musl
# The name that container images use for the architecture.
ARCH    := $(if $(filter x86_64,$(MACHINE)),amd64,$(if $(filter aarch64,$(MACHINE)),arm64,$(MACHINE)))
# The toolchain of the demo's Go service, as in `make demo GO=1.27`; the oldest at hand if empty.
GO      ?=
CARGO   := cargo --quiet
SYSROOT := $(shell rustc --print sysroot)

# What `loadline --version` calls the commit.
export LOADLINE_COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

# No path of the building machine in the file: two machines with the same compiler get the same one.
REMAP := --remap-path-prefix=$(CURDIR)=. \
         --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo \
         --remap-path-prefix=$(SYSROOT)=rust

# Rust's own lld: it pads no segment to a page, which would be up to 4 KB each; relocations packed.
LINK := -Clink-self-contained=+linker -Clinker-flavor=gnu-lld-cc \
        -Clink-arg=-Wl,-z,pack-relative-relocs,--build-id=none

# Where an empty library stands for the one that unwinds: nothing does, and nothing calls it, but
# the linker would keep a kilobyte of stdio for it.
EMPTY := target/empty

# The small build: the standard library is built again without its panic machinery, which only
# an unstable flag can ask for, and then nothing unwinds, so there need be no tables for it.
# A target directory of its own, as other flags rebuild everything.
SMALL := RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zunstable-options -Cpanic=immediate-abort \
         -Cforce-unwind-tables=no -Lnative=$(EMPTY) $(LINK) $(REMAP)" \
         $(CARGO) build --release --locked --target $(TRIPLE) --target-dir target/artifact-build \
         -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size --bin loadline
# The plain build: what any stable toolchain with the musl target makes.
PLAIN := RUSTFLAGS="$(REMAP)" $(CARGO) build --release --locked --target $(TRIPLE) \
         --target-dir target/plain-build --bin loadline

.NOTPARALLEL:
.PHONY: help artifact plain fork demo test lint bench release clean

help:
	@sed -n '1,3s/^# *//p' Makefile

artifact:
	@tests/lab/rust
	@echo 'building the small file, with the standard library rebuilt'
	@mkdir -p $(EMPTY) && ar rc $(EMPTY)/libunwind.a
	@$(SMALL)
	@tests/lab/place target/artifact-build/$(TRIPLE)/release/loadline target/artifact/loadline

# For the tests: the same with fork in place of vfork, as emulators have it.
fork:
	@tests/lab/rust
	@mkdir -p $(EMPTY) && ar rc $(EMPTY)/libunwind.a
	@$(SMALL) --features test-fork
	@tests/lab/place target/artifact-build/$(TRIPLE)/release/loadline target/artifact/fork/loadline

plain:
	@tests/lab/rust --plain
	@$(PLAIN)
	@tests/lab/place target/plain-build/$(TRIPLE)/release/loadline target/artifact/plain/loadline

demo: artifact
	@examples/demo.py $(if $(GO),--go $(GO))

test:
	@tests/run.py

lint:
	@tests/run.py --only lint

bench:
	@benches/run.py

# The small build where the standard library's source is at hand, the plain one otherwise.
release:
	@if tests/lab/rust; then $(MAKE) --no-print-directory artifact && built=target/artifact/loadline && \
	    echo "release: the small build, standard library rebuilt"; \
	else $(MAKE) --no-print-directory plain && built=target/artifact/plain/loadline && \
	    echo "release: the plain build, as the source of the standard library is not at hand"; fi && \
	tests/lab/place $$built dist/loadline-linux-$(ARCH) && \
	cd dist && sha256sum loadline-linux-$(ARCH) > loadline-linux-$(ARCH).sha256

clean:
	rm -rf target dist
