# What is no ordinary test: load, coverage, a look at the programs themselves.
TESTS += tests/check-hardening

# make soak SOAK_SECONDS=600 SOAK_CLIENTS=10000 is the long version; it wants as many descriptors (ulimit -n).
# SOAKFLAGS='--rate 10000' asks more of it; tests/soak/soak.py --help lists the rest.
SOAK_SECONDS = 60
SOAK_CLIENTS = 300
SOAK_WORKERS = 1
SOAKFLAGS =
# Requests to an nginx that ends its connections after 10 of them.
SOAK_REQUESTS = 20000

EXTRA_PROGRAMS += tests/soak/load
tests_soak_load_SOURCES = tests/soak/clients.c tests/soak/content.c tests/soak/load.c tests/soak/load.h tests/soak/numbered.c \
	tests/soak/origin.c tests/soak/origin.h tests/soak/origin_h2.c $(load_sources)
tests_soak_load_LDADD = $(NGHTTP2_LIBS)

soak: all tests/soak/load$(EXEEXT)
	$(sanitizer_environment) CARPOOLD="$(abs_builddir)/carpoold" LOAD="$(abs_builddir)/tests/soak/load" \
	PYTHONDONTWRITEBYTECODE=1 \
	$(PYTHON) $(srcdir)/tests/soak/soak.py --seconds $(SOAK_SECONDS) --clients $(SOAK_CLIENTS) --workers $(SOAK_WORKERS) \
		$(SOAKFLAGS)

soak-goaways: all
	$(sanitizer_environment) CARPOOLD="$(abs_builddir)/carpoold" PYTHONDONTWRITEBYTECODE=1 \
	$(PYTHON) $(srcdir)/tests/soak/goaways.py --requests $(SOAK_REQUESTS)

# Misbehaving origins and clients, and reloads all the while; STRESS_SEED says what each side does.
STRESS_SECONDS = 60
STRESS_SEED = 1
STRESS_WORKERS = 1

stress: all
	$(sanitizer_environment) CARPOOLD="$(abs_builddir)/carpoold" PYTHONDONTWRITEBYTECODE=1 \
	$(PYTHON) $(srcdir)/tests/stress/stress.py --seconds $(STRESS_SECONDS) --seed $(STRESS_SEED) \
		--workers $(STRESS_WORKERS)

# A tree of its own, since every object counts its lines.
coverage:
	$(MKDIR_P) coverage-build
	cd coverage-build && { test -e config.status || \
		$(abs_srcdir)/configure --quiet --disable-hardening CC="$(CC)" CFLAGS="-O0 -g --coverage -fprofile-update=atomic"; }
	find coverage-build -name '*.gcda' -exec rm -f {} +
	cd coverage-build && $(MAKE) --no-print-directory -k check; $(PYTHON) $(abs_srcdir)/tests/coverage .

.PHONY: soak soak-goaways stress coverage

EXTRA_DIST += SECURITY.md tests/check-hardening tests/coverage tests/tsan.supp tests/model/workers.pml $(wildcard $(srcdir)/tests/hostile $(srcdir)/tests/soak $(srcdir)/tests/stress)
