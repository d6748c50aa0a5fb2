# Carpool beside other proxies. Built only when asked for: make bench, with options in BENCHFLAGS,
# e.g. make bench BENCHFLAGS='--scenarios short,keep --peers floor,carpool,nginx --rounds 3'
EXTRA_PROGRAMS = bench/load bench/floor
# What this load and that of tests/soak have in common.
load_sources = tests/load/loop.c tests/load/loop.h tests/load/message.c tests/load/message.h
bench_load_SOURCES = bench/load.c bench/load.h bench/load_clients.c bench/load_origin.c bench/load_pattern.c \
	bench/load_tls.c $(load_sources)
bench_load_LDADD = $(OPENSSL_LIBS)
bench_floor_SOURCES = bench/floor.c
bench_floor_LDADD =

BENCHFLAGS =

bench/%.so: bench/%.c
	$(AM_V_CC)$(MKDIR_P) bench && $(CC) -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -shared -o $@ $< -ldl

bench: carpoold carpoolctl bench/load$(EXEEXT) bench/floor$(EXEEXT) bench/locks.so bench/writes.so
	$(PYTHON) $(srcdir)/bench/run --build . $(BENCHFLAGS)

CLEANFILES += bench/locks.so bench/writes.so $(EXTRA_PROGRAMS)

.PHONY: bench
