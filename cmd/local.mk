sbin_PROGRAMS += carpoold
carpoold_SOURCES = cmd/carpoold.c
carpoold_LDADD = $(carpool_libs)

bin_PROGRAMS += carpoolctl
carpoolctl_SOURCES = \
	cmd/carpoolctl.c \
	cmd/ctl_client.c \
	cmd/ctl_client.h \
	cmd/ctl_history.c \
	cmd/ctl_history.h \
	cmd/ctl_output.c \
	cmd/ctl_output.h \
	cmd/ctl_pools.c \
	cmd/ctl_pools.h \
	cmd/ctl_run.c \
	cmd/ctl_run.h \
	cmd/ctl_top.c \
	cmd/ctl_top.h
carpoolctl_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir) $(NCURSES_CFLAGS)
carpoolctl_LDADD = $(JANSSON_LIBS) $(NCURSES_LIBS)
