sbin_PROGRAMS += carpoold
carpoold_SOURCES = cmd/carpoold.c
carpoold_LDADD = $(carpool_libs)

bin_PROGRAMS += carpoolctl
carpoolctl_SOURCES = \
	cmd/carpoolctl.c \
	cmd/ctl_advise.c \
	cmd/ctl_agents.c \
	cmd/ctl_ca.c \
	cmd/ctl_ca.h \
	cmd/ctl_callers.c \
	cmd/ctl_cells.c \
	cmd/ctl_cells.h \
	cmd/ctl_client.c \
	cmd/ctl_client.h \
	cmd/ctl_command.c \
	cmd/ctl_command.h \
	cmd/ctl_config.c \
	cmd/ctl_counts.c \
	cmd/ctl_counts.h \
	cmd/ctl_diff.c \
	cmd/ctl_diff.h \
	cmd/ctl_errors.c \
	cmd/ctl_errors.h \
	cmd/ctl_explain.c \
	cmd/ctl_history.c \
	cmd/ctl_history.h \
	cmd/ctl_hour.c \
	cmd/ctl_hour.h \
	cmd/ctl_output.c \
	cmd/ctl_output.h \
	cmd/ctl_patch.c \
	cmd/ctl_patch.h \
	cmd/ctl_pools.c \
	cmd/ctl_pools.h \
	cmd/ctl_run.c \
	cmd/ctl_run.h \
	cmd/ctl_screen.c \
	cmd/ctl_screen.h \
	cmd/ctl_status.c \
	cmd/ctl_status.h \
	cmd/ctl_table.c \
	cmd/ctl_table.h \
	cmd/ctl_terminal.c \
	cmd/ctl_terminal.h \
	cmd/ctl_top.c \
	cmd/ctl_top.h \
	cmd/ctl_verbs.c \
	cmd/ctl_trust.c \
	cmd/ctl_trust.h \
	cmd/ctl_words.c \
	cmd/ctl_words.h
carpoolctl_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)
# Of the library only what stands by itself: suggestions, the printer of YAML, and CAs.
carpoolctl_LDADD = libcarpool.a $(JANSSON_LIBS) $(YAML_LIBS) $(OPENSSL_LIBS) $(HTTP_PARSER_LIBS)
