# make fuzz: every target for FUZZ_SECONDS, with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
# What a target has learnt stays in fuzz/corpus/ of the build folder, and so do inputs that crash: fuzz/NAME-crash-*.
#
#     make fuzz FUZZ_SECONDS=3600 FUZZ=exchange
#     fuzz/exchange fuzz/exchange-crash-...          runs one input again
#
# make fuzz-check: what CI runs, a minute of each, as many side by side as there are processors.

FUZZ_CC = clang
FUZZ_CFLAGS = -g -O1
FUZZ_SECONDS = 60
FUZZ_JOBS = 1
FUZZ_FLAGS = -max_len=4096 -timeout=2 -rss_limit_mb=2048
FUZZ = $(fuzz_targets)

fuzz_targets = admin_request config h2 hello match http_chunked http_fields http_repair http_request http_response http_uri rewrite h1 \
	exchange exchange_h2 exchange_workers
fuzz_helpers = calls clock config_fuzz exchange_boundaries exchange_calls exchange_checks exchange_deadlines exchange_world h2_askers h2_origin h2_origin_hears http_fuzz
# Of Carpool's own calls, those that a target can answer itself (calls.h) or counts (exchange_world.c)
fuzz_wrapped = recv send sendmsg open clock_gettime socket connect getsockopt event_add malloc calloc realloc \
	exchange_begin exchange_refuse origin_acquire origin_acquire_own waiter_cancel

fuzz_sources = $(patsubst %,tests/fuzz/%.c,$(fuzz_targets) $(fuzz_helpers)) \
	tests/unit/http_message.c tests/unit/proxy_rig.c
fuzz_library = $(filter-out $(srcdir)/lib/daemon/%,$(wildcard $(srcdir)/lib/*/*.c)) \
	$(addprefix $(srcdir)/,$(fuzz_sources))
fuzz_sanitizers = address,undefined
fuzz_compile = $(FUZZ_CC) $(FUZZ_CFLAGS) -std=gnu17 -fsanitize=fuzzer-no-link,$(fuzz_sanitizers) \
	-fno-sanitize-recover=undefined -MMD -MP -I$(srcdir)/lib -I$(builddir)/lib -include build.h -D_GNU_SOURCE \
	-DSYSCONFDIR='"$(sysconfdir)"' $(LIBEVENT_CFLAGS) $(YAML_CFLAGS) $(OPENSSL_CFLAGS) $(CARES_CFLAGS) \
	$(JANSSON_CFLAGS) $(NGHTTP2_CFLAGS)
fuzz_link = $(addprefix -Wl$(comma)--wrap=,$(fuzz_wrapped))
fuzz_libs = $(LIBEVENT_LIBS) $(YAML_LIBS) $(OPENSSL_LIBS) $(CARES_LIBS) $(JANSSON_LIBS) $(NGHTTP2_LIBS) $(HTTP_PARSER_LIBS)
comma = ,

# make check: inputs that once were trouble, and what fuzzing begins with, on every build
check_PROGRAMS += tests/fuzz/replay
# A package is built without Python; then what fuzzing begins with is left out.
check_DATA = $(if $(shell command -v $(PYTHON)),fuzz/seeds)
tests_fuzz_replay_SOURCES = \
	tests/fuzz/admin_request.c \
	tests/fuzz/calls.c \
	tests/fuzz/calls.h \
	tests/fuzz/clock.c \
	tests/fuzz/clock.h \
	tests/fuzz/config.c \
	tests/fuzz/config_fuzz.c \
	tests/fuzz/config_fuzz.h \
	tests/fuzz/exchange.c \
	tests/fuzz/exchange_boundaries.c \
	tests/fuzz/exchange_calls.c \
	tests/fuzz/exchange_checks.c \
	tests/fuzz/exchange_deadlines.c \
	tests/fuzz/exchange_h2.c \
	tests/fuzz/exchange_parts.h \
	tests/fuzz/exchange_workers.c \
	tests/fuzz/exchange_world.c \
	tests/fuzz/exchange_world.h \
	tests/fuzz/fuzz.h \
	tests/fuzz/h2.c \
	tests/fuzz/h2_askers.c \
	tests/fuzz/h2_askers.h \
	tests/fuzz/h2_origin.c \
	tests/fuzz/h2_origin.h \
	tests/fuzz/h2_origin_hears.c \
	tests/fuzz/h2_peer.h \
	tests/fuzz/hello.c \
	tests/fuzz/http_chunked.c \
	tests/fuzz/http_fields.c \
	tests/fuzz/http_fuzz.c \
	tests/fuzz/http_fuzz.h \
	tests/fuzz/http_request.c \
	tests/fuzz/http_repair.c \
	tests/fuzz/http_response.c \
	tests/fuzz/http_uri.c \
	tests/fuzz/match.c \
	tests/fuzz/h1.c \
	tests/fuzz/replay.c \
	tests/fuzz/rewrite.c \
	tests/unit/http_message.c \
	tests/unit/http_message.h \
	tests/unit/proxy_rig.c \
	tests/unit/proxy_rig.h
tests_fuzz_replay_LDFLAGS = $(AM_LDFLAGS) $(fuzz_link)

fuzz/%.o: $(srcdir)/%.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(fuzz_compile) -c $< -o $@

$(patsubst %,fuzz/engine-%.o,$(fuzz_targets)): fuzz/engine-%.o: $(srcdir)/tests/fuzz/engine.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(fuzz_compile) -DFUZZ_TARGET=fuzz_$* -c $< -o $@

fuzz/libcarpool.a: $(patsubst $(srcdir)/%.c,fuzz/%.o,$(fuzz_library))
	$(AM_V_AR)rm -f $@ && $(AR) cr $@ $^

$(addprefix fuzz/,$(fuzz_targets)): fuzz/%: fuzz/engine-%.o fuzz/libcarpool.a
	$(AM_V_CCLD)$(FUZZ_CC) -fsanitize=fuzzer,$(fuzz_sanitizers) $(fuzz_link) -o $@ $^ $(fuzz_libs)

fuzz/seeds: $(srcdir)/tests/fuzz/seeds $(wildcard $(srcdir)/tests/corpus/*/*.case)
	$(AM_V_GEN)rm -rf $@ && PYTHONDONTWRITEBYTECODE=1 $(PYTHON) $(srcdir)/tests/fuzz/seeds $@

fuzz: $(BUILT_SOURCES) $(addprefix fuzz/,$(FUZZ)) fuzz/seeds
	@FUZZ_FLAGS="$(FUZZ_FLAGS)" $(srcdir)/tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_JOBS) $(FUZZ)

# The same numbers each time, and patience with a machine that is busy: what fails here fails again.
fuzz-check:
	@if $(srcdir)/tests/fuzz/run --possible $(FUZZ_CC); then \
		jobs=$$(nproc) && \
		$(MAKE) --no-print-directory -s -j $$jobs $(BUILT_SOURCES) $(addprefix fuzz/,$(fuzz_targets)) fuzz/seeds && \
		FUZZ_FLAGS="$(FUZZ_FLAGS) -timeout=25 -seed=1" $(srcdir)/tests/fuzz/run $(FUZZ_SECONDS) $$jobs $(fuzz_targets); \
	else \
		echo "***" >&2; \
		echo "*** NOT FUZZED: $(FUZZ_CC) or its libFuzzer is missing (Debian: clang libclang-rt-dev)" >&2; \
		echo "***" >&2; \
	fi

clean-local: clean-fuzz

# But not what was learnt, nor what crashed
clean-fuzz:
	rm -rf fuzz/lib fuzz/tests fuzz/engine-*.[do] fuzz/libcarpool.a fuzz/seeds $(addprefix fuzz/,$(fuzz_targets))

-include $(wildcard fuzz/*.d fuzz/lib/*/*.d fuzz/tests/*/*.d)

.PHONY: fuzz fuzz-check clean-fuzz
