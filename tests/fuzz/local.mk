# make fuzz: every target for FUZZ_SECONDS, with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
# What a target has learnt stays in fuzz/corpus/ of the build folder, and so do inputs that crash: fuzz/crash-*.
#
#     make fuzz FUZZ_SECONDS=3600 FUZZ=exchange
#     fuzz/exchange fuzz/exchange-crash-...          runs one input again

FUZZ_CC = clang
FUZZ_CFLAGS = -g -O1
FUZZ_SECONDS = 60
FUZZ_FLAGS = -max_len=4096 -timeout=20 -rss_limit_mb=4096
FUZZ = $(fuzz_targets)

fuzz_helpers = http_fuzz
fuzz_targets = $(filter-out $(fuzz_helpers),$(patsubst $(srcdir)/tests/fuzz/%.c,%,$(wildcard $(srcdir)/tests/fuzz/*.c)))
fuzz_library = $(filter-out $(srcdir)/lib/daemon/%,$(wildcard $(srcdir)/lib/*/*.c)) \
	$(patsubst %,$(srcdir)/tests/fuzz/%.c,$(fuzz_helpers)) \
	$(srcdir)/tests/unit/http_message.c $(srcdir)/tests/unit/proxy_rig.c
fuzz_sanitizers = address,undefined
fuzz_compile = $(FUZZ_CC) $(FUZZ_CFLAGS) -std=gnu17 -fsanitize=fuzzer-no-link,$(fuzz_sanitizers) \
	-fno-sanitize-recover=undefined -MMD -I$(srcdir)/lib -I$(builddir)/lib -include build.h -D_GNU_SOURCE \
	-DSYSCONFDIR='"$(sysconfdir)"' $(LIBEVENT_CFLAGS) $(YAML_CFLAGS) $(OPENSSL_CFLAGS) $(CARES_CFLAGS) \
	$(JANSSON_CFLAGS)
fuzz_libs = $(LIBEVENT_LIBS) $(YAML_LIBS) $(OPENSSL_LIBS) $(CARES_LIBS) $(JANSSON_LIBS) $(HTTP_PARSER_LIBS)

# Of Carpool's own calls, those that this target makes fail
fuzz_link_exchange = -Wl,--wrap=recv,--wrap=send,--wrap=sendmsg

fuzz/%.o: $(srcdir)/%.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(fuzz_compile) -c $< -o $@

fuzz/libcarpool.a: $(patsubst $(srcdir)/%.c,fuzz/%.o,$(fuzz_library))
	$(AM_V_AR)rm -f $@ && $(AR) cr $@ $^

$(addprefix fuzz/,$(fuzz_targets)): fuzz/%: fuzz/tests/fuzz/%.o fuzz/libcarpool.a
	$(AM_V_CCLD)$(FUZZ_CC) -fsanitize=fuzzer,$(fuzz_sanitizers) $(fuzz_link_$*) -o $@ $^ $(fuzz_libs)

fuzz/seeds: $(srcdir)/tests/fuzz/seeds $(wildcard $(srcdir)/tests/corpus/*/*.case)
	$(AM_V_GEN)rm -rf $@ && PYTHONDONTWRITEBYTECODE=1 $(PYTHON) $(srcdir)/tests/fuzz/seeds $@

fuzz: $(BUILT_SOURCES) $(addprefix fuzz/,$(FUZZ)) fuzz/seeds
	@for target in $(FUZZ); do \
		$(MKDIR_P) fuzz/corpus/$$target fuzz/seeds/$$target && \
		echo "$$target: $(FUZZ_SECONDS) s" && \
		fuzz/$$target $(FUZZ_FLAGS) -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=fuzz/$$target- \
			fuzz/corpus/$$target fuzz/seeds/$$target >fuzz/$$target.log 2>&1 || \
			{ tail -n 40 fuzz/$$target.log; echo "$$target: see fuzz/$$target.log" >&2; exit 1; }; \
		grep -a '^Done' fuzz/$$target.log; \
	done

clean-local: clean-fuzz

# But not what was learnt, nor what crashed
clean-fuzz:
	rm -rf fuzz/lib fuzz/tests fuzz/libcarpool.a fuzz/seeds $(addprefix fuzz/,$(fuzz_targets))

-include $(wildcard fuzz/lib/*/*.d fuzz/tests/*/*.d)

.PHONY: fuzz clean-fuzz
