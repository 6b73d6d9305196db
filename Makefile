# What there is to do here: `make demo` shows what loadline is for, `make test` runs everything,
# `make release` writes the files to ship, `make bench` measures them against what else there is.
# Each sets up what it needs, below target/ where it can.

# The architectures that are released, by the names that container images have for them, and the
# one to build for: this machine's, unless ARCH= names another. Rust has the kernel's names.
RELEASED := amd64 arm64
NATIVE   := $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(shell uname -m)))
ARCH     :=
TARGETED := $(or $(ARCH),$(NATIVE))
TRIPLE   := $(patsubst amd64,x86_64,$(patsubst arm64,aarch64,$(TARGETED)))-unknown-linux-musl
# Where `make artifact` puts the file.
OUT      := target/artifact
# The toolchain of the demo's Go service, as in `make demo GO=1.27`; the oldest at hand if empty.
GO       ?=
CARGO    := cargo --quiet
SYSROOT  := $(shell rustc --print sysroot)

# What `loadline --version` calls the commit: of one length in every clone, however much is in it.
export LOADLINE_COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

# No path of the building machine in the file: two machines with the same compiler get the same one.
REMAP := --remap-path-prefix=$(CURDIR)=. \
         --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo \
         --remap-path-prefix=$(SYSROOT)=rust

# Rust's own lld, for every architecture, with the musl that comes with the target: no C compiler
# has a say. A static PIE is spelled out, as Rust does not know yet that arm64 has it; of musl's
# start files it needs the one that relocates. lld pads no segment to a page, which would be up to
# 4 KB each, and still lets pages be as large as the architecture has them.
MUSL := $(SYSROOT)/lib/rustlib/$(TRIPLE)/lib/self-contained
LINK := -Clinker=rust-lld -Clink-self-contained=no -Lnative=$(MUSL) \
        $(addprefix -Clink-arg=,$(MUSL)/rcrt1.o -static -pie --no-dynamic-linker -ztext \
        -zpack-relative-relocs --build-id=none --hash-style=gnu)
# And for the small build: no section headers, as nothing that runs a program reads them.
SLIM := $(addprefix -Clink-arg=,-znosectionheader --no-rosegment \
        --symbol-ordering-file=target/link/first --no-warn-symbol-ordering)

# What the linker is given for it:
# - An empty library in the place of the one that unwinds: nothing does, and nothing calls it, but
#   a kilobyte of stdio would be kept for it.
# - The C library's own variables to be put first, in the page that is dirty anyway, and not behind
#   the allocator's region.
FIRST := __environ main_tls builtin_tls __progname_full __progname
LINKED := mkdir -p target/link && ar rc target/link/libunwind.a && \
          printf '%s\n' $(FIRST) > target/link/first

# The small build: the standard library is built again without its panic machinery, which only
# an unstable flag can ask for, and then nothing unwinds, so there need be no tables for it.
# Calls into the C library are direct (plt), as in a static program nothing is found at run time. Two
# passes that make code faster by making it longer are left out, and so are tables of few jumps.
# A target directory of its own, as other flags rebuild everything.
SMALL := RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zunstable-options -Cpanic=immediate-abort \
         -Cforce-unwind-tables=no -Zplt=yes \
         -Zmir-enable-passes=-JumpThreading,-MatchBranchSimplification \
         -Cllvm-args=-min-jump-table-entries=8 -Lnative=target/link $(LINK) $(SLIM) $(REMAP)" \
         $(CARGO) build --release --locked --target $(TRIPLE) --target-dir target/artifact-build \
         -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size --bin loadline
# The plain build: with the standard library as it comes, by any stable toolchain.
PLAIN := RUSTFLAGS="$(LINK) $(REMAP)" $(CARGO) build --release --locked --target $(TRIPLE) \
         --target-dir target/plain-build --bin loadline

.NOTPARALLEL:
.PHONY: help artifact plain fork demo test lint bench release clean

help:
	@sed -n '1,3s/^# *//p' Makefile

artifact:
	@tests/lab/rust $(TRIPLE)
	@echo 'building the small file for $(TARGETED), with the standard library rebuilt'
	@$(LINKED)
	@$(SMALL)
	@tests/lab/install-atomic target/artifact-build/$(TRIPLE)/release/loadline $(OUT)/loadline

# For the tests: the same with fork in place of vfork, as emulators have it.
fork:
	@tests/lab/rust $(TRIPLE)
	@$(LINKED)
	@$(SMALL) --features test-fork
	@tests/lab/install-atomic target/artifact-build/$(TRIPLE)/release/loadline $(OUT)/fork/loadline

plain:
	@tests/lab/rust --plain $(TRIPLE)
	@$(PLAIN)
	@tests/lab/install-atomic target/plain-build/$(TRIPLE)/release/loadline $(OUT)/plain/loadline

demo: artifact
	@examples/demo.py $(if $(GO),--go $(GO))

test:
	@tests/run.py

lint:
	@tests/run.py --only lint

bench:
	@benches/run.py

release: $(RELEASED:%=dist/loadline-linux-%)

# The small build where the standard library's source is at hand, the plain one otherwise.
dist/loadline-linux-%: FORCE
	@if tests/lab/rust; then \
	    build=artifact built=loadline; \
	else \
	    build=plain built=plain/loadline; \
	    echo 'release: the plain build, as the source of the standard library is not at hand'; \
	fi && \
	$(MAKE) --no-print-directory $$build ARCH=$* OUT=target/artifact/$* && \
	tests/lab/install-atomic target/artifact/$*/$$built $@ && \
	cd dist && sha256sum $(@F) > $(@F).sha256

FORCE:

clean:
	rm -rf target dist
