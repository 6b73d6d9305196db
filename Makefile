# `make demo` shows what loadline is for. `make check` is what to run before each commit. `make test`
# runs everything. `make release` writes the files to ship, and `make bench` measures them against
# other inits. Each sets up what it needs, below target/ where possible.

# The architectures that are released, by the names that container images use, with the variant of arm at
# the end, and the one to build for: this machine's, unless ARCH= names another. Rust has other names.
RELEASED := amd64 arm64 armv7 386 riscv64 ppc64le s390x
NATIVE   := $(or $(patsubst $(shell uname -m)=%,%,$(filter $(shell uname -m)=%,x86_64=amd64 aarch64=arm64 \
            armv7l=armv7 i686=386)),$(shell uname -m))
ARCH     :=
TARGETED := $(or $(ARCH),$(NATIVE))
TRIPLES  := amd64=x86_64-unknown-linux-musl arm64=aarch64-unknown-linux-musl \
            armv7=armv7-unknown-linux-musleabihf 386=i686-unknown-linux-musl \
            riscv64=riscv64gc-unknown-linux-musl ppc64le=powerpc64le-unknown-linux-musl \
            s390x=s390x-unknown-linux-musl
TRIPLE    = $(or $(patsubst $(TARGETED)=%,%,$(filter $(TARGETED)=%,$(TRIPLES))), \
            $(error ARCH must be one of $(RELEASED)))
# Rust ships a standard library with musl for these. For the others, musl is Debian's, and the standard
# library is always rebuilt: what rustup offers for them depends on where it downloads from.
SHIPPED  := $(filter $(TARGETED),amd64 arm64)
# Those for which the OCI runtime is released: it needs an unwinder, which Rust ships for the same ones.
RUNTIMES := $(filter amd64 arm64,$(RELEASED))
# Where `make artifact` puts the file.
OUT      := target/artifact
# The toolchain of the demo's Go service, as in `make demo GO=1.27`. If empty, the oldest available.
GO       ?=
# Without the job server of make, which only other makes can reach.
CARGO    := env -u MAKEFLAGS -u MFLAGS cargo --quiet
SYSROOT  := $(shell env -u MAKEFLAGS -u MFLAGS rustc --print sysroot)

# The file contains no path of the machine that built it, so two machines with the same compiler
# build the same bytes.
REMAP := --remap-path-prefix=$(CURDIR)=. \
         --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo \
         --remap-path-prefix=$(SYSROOT)=rust

# rust-lld links for every architecture, so no C compiler is needed. These options make a static PIE, which
# rustc makes by itself for some architectures only. rcrt1.o is musl's start file that relocates the program.
# lld does not pad segments to whole pages in the file.
MUSL  = $(if $(SHIPPED),$(SYSROOT)/lib/rustlib/$(TRIPLE)/lib/self-contained,target/lab/musl-$(TARGETED))
LINK  = -Clinker=rust-lld -Clink-self-contained=no -Lnative=$(MUSL) \
        $(addprefix -Clink-arg=,$(MUSL)/rcrt1.o -static -pie --no-dynamic-linker -ztext \
        -zpack-relative-relocs --build-id=none --hash-style=gnu --no-rosegment) $(LINK_$(TARGETED))
# Instructions of 16 bits where possible. That saves 40 KB.
LINK_armv7   := -Ctarget-feature=+thumb-mode
# Kernels with pages of 64 KiB can then make all of the relocated data read-only.
LINK_arm64   := -Clink-arg=-zcommon-page-size=65536
# Two functions of the unwinder remain, which nothing calls.
LINK_ppc64le := $(LINK_arm64) \
                $(addprefix -Clink-arg=,--defsym=_Unwind_GetTextRelBase=0 --defsym=_Unwind_GetDataRelBase=0)
LINK_riscv64 := -Ctarget-feature=+crt-static
LINK_s390x   := -Ctarget-feature=+crt-static
# Puts the code that an idle init does not need into a segment of its own.
STARTUP := -Clink-arg=-Tsrc/startup.ld

# What the small build needs.
SETUP = $(if $(SHIPPED),tests/lab/rust $(TRIPLE),tests/lab/rust && tests/lab/musl $(TARGETED) >/dev/null)

# Each architecture has directories of its own, so that `make --jobs=2 release` builds two at a time: much of a
# build has work for one CPU only.
#
# The small build compiles the standard library again, without its panic messages and optimized for
# size. Only unstable flags can ask for that, and RUSTC_BOOTSTRAP lets the stable compiler accept
# them. Nothing unwinds then. So the tables for unwinding are left out, by a flag that is stable, and an
# empty library takes the place of the unwinder, whose messages would bring the C library's stdio. The
# build has a target directory of its own, because other flags would rebuild everything. Without jump
# tables, with direct access to data (nothing here comes from a shared library), and with functions folded
# that are the same (nothing compares their addresses), the file is a kilobyte smaller.
NO_UNWINDER = mkdir -p target/link/$(TARGETED) && ar rc target/link/$(TARGETED)/libunwind.a
SMALL = RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zunstable-options -Cpanic=immediate-abort \
        -Cforce-unwind-tables=no -Cjump-tables=no -Zdirect-access-external-data=yes \
        -Clink-arg=--icf=all -Lnative=target/link/$(TARGETED) $(LINK) $(STARTUP) $(REMAP)" \
        $(CARGO) build --release --locked --target $(TRIPLE) --target-dir target/artifact-build/$(TARGETED) \
        -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size
# The plain build uses the standard library as it comes. Any stable toolchain can make it, for the
# architectures that Rust ships one for.
PLAIN = RUSTFLAGS="$(LINK) $(STARTUP) $(REMAP)" $(CARGO) build --release --locked \
        --target $(TRIPLE) --target-dir target/plain-build/$(TARGETED) --bin loadline
# The OCI runtime runs on hosts for some milliseconds, so its size matters little. A panic must not keep a
# container from starting, so it ends one thread only.
RUNTIME = RUSTFLAGS="$(LINK) $(REMAP)" $(CARGO) build --release --locked --target $(TRIPLE) \
          --config 'profile.release.panic="unwind"' \
          --target-dir target/runtime-build/$(TARGETED) --package loadline-runtime --bin loadline-runtime

.PHONY: help artifact plain fork emulator runtime target demo check test lint bench release image reproduce packages \
        sbom checksums notes clean

help:
	@sed -n '1,3s/^# *//p' Makefile

artifact:
	@$(SETUP)
	@echo 'building the small file for $(TARGETED), with the standard library rebuilt'
	@$(NO_UNWINDER)
	@$(SMALL) --bin loadline
	@tests/lab/install-atomic target/artifact-build/$(TARGETED)/$(TRIPLE)/release/loadline $(OUT)/loadline

# For tests only: starts the program with fork instead of vfork, as emulators do.
fork:
	@$(SETUP)
	@$(NO_UNWINDER)
	@$(SMALL) --bin loadline --features test-fork
	@tests/lab/install-atomic target/artifact-build/$(TARGETED)/$(TRIPLE)/release/loadline $(OUT)/fork/loadline

# For tests only: shows what an emulator does differently from the kernel.
emulator:
	@$(SETUP)
	@$(NO_UNWINDER)
	@$(SMALL) --package emulator
	@tests/lab/install-atomic target/artifact-build/$(TARGETED)/$(TRIPLE)/release/emulator $(OUT)/emulator

plain:
	@$(if $(SHIPPED),,$(error there is no plain build for $(TARGETED)))
	@tests/lab/rust --plain $(TRIPLE)
	@$(PLAIN)
	@tests/lab/install-atomic target/plain-build/$(TARGETED)/$(TRIPLE)/release/loadline $(OUT)/plain/loadline

runtime:
	@$(if $(SHIPPED),,$(error there is no OCI runtime for $(TARGETED)))
	@tests/lab/rust --plain $(TRIPLE)
	@$(RUNTIME)
	@tests/lab/install-atomic target/runtime-build/$(TARGETED)/$(TRIPLE)/release/loadline-runtime $(OUT)/loadline-runtime

# For scripts: what Rust calls the architecture, and where its musl is.
target:
	@echo $(TRIPLE) $(MUSL)

demo: artifact
	@examples/demo.py $(if $(GO),--go $(GO))

# Needs neither root nor a network. The integration tests say what they could not run.
check:
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked

test:
	@tests/run.py

lint:
	@tests/run.py --only lint

bench:
	@benches/run.py

release: $(RELEASED:%=dist/loadline-linux-%) $(RUNTIMES:%=dist/loadline-runtime-linux-%)

dist/loadline-runtime-linux-%: FORCE
	@$(MAKE) --no-print-directory runtime ARCH=$* OUT=target/artifact/$*
	@tests/lab/install-atomic target/artifact/$*/loadline-runtime $@

# The small build if the standard library's source can be had, otherwise the plain build.
dist/loadline-linux-%: FORCE
	@if tests/lab/rust; then \
	    build=artifact built=loadline; \
	else \
	    build=plain built=plain/loadline; \
	    echo 'release: the plain build, because the source of the standard library is missing'; \
	fi && \
	$(MAKE) --no-print-directory $$build ARCH=$* OUT=target/artifact/$* && \
	tests/lab/install-atomic target/artifact/$*/$$built $@

# An image with nothing but /loadline, for COPY --from and for init containers.
image: $(RELEASED:%=dist/loadline-linux-%)
	@packaging/image.py dist/loadline-image.tar $(foreach arch,$(RELEASED),$(arch)=dist/loadline-linux-$(arch))

# Builds all of it again elsewhere, as another user if root starts it, and compares.
reproduce: release image
	@tests/reproducible.py

packages: release
	@for arch in $(RELEASED); do packaging/build $$arch loadline || exit; done
	@for arch in $(RUNTIMES); do packaging/build $$arch loadline-runtime || exit; done

# What the released files consist of, for users and for scanners.
sbom: release image packages
	@packaging/sbom.py dist/loadline.cdx.json

# One file for all others in dist, which is everything that is published.
checksums: sbom
	@cd dist && sha256sum $$(LC_ALL=C ls | grep --invert-match '^SHA256SUMS') > SHA256SUMS

# The section of the changelog, which the release on GitHub shows.
notes:
	@packaging/notes.py target/notes.md

FORCE:

clean:
	rm -rf target dist
