# The everyday commands; Meson and Ninja do the work.
#
#   make          the release binary, build/postern
#   make run      a demonstration on loopback: its own CA, server and client certificates
#   make check    every test, with sanitizers; the last line counts them
#   make install  below PREFIX (/usr/local), staged with DESTDIR
#   make clean    everything that was made
#
# CC, CFLAGS and LDFLAGS are taken when a build folder is made first: after changing them, make clean.

PREFIX ?= /usr/local
DESTDIR ?=
export CC CFLAGS LDFLAGS

# make's own default is no choice of the user's
ifeq ($(origin CC),default)
unexport CC
endif

.PHONY: all run check install clean
.DELETE_ON_ERROR:

all:
	@tools/install-deps build
	@test -f build/build.ninja || meson setup build --prefix '$(PREFIX)' >build-setup.log 2>&1 || \
	    { cat build-setup.log; rm -rf build build-setup.log; exit 1; }
	@rm -f build-setup.log
	@ninja -C build src/app/postern
	@ln -sf src/app/postern build/postern
	@echo "build/postern is ready"

run: all
	@tools/run-demo

check:
	@tools/install-deps check
	@tools/check

install: all
	meson install -C build --no-rebuild --quiet $(if $(DESTDIR),--destdir '$(abspath $(DESTDIR))')

clean:
	rm -rf build build-check build-threads build-fuzz build-interop run
