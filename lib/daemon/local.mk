# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/daemon/apply.c \
	lib/daemon/apply.h \
	lib/daemon/workers.c \
	lib/daemon/workers.h \
	lib/daemon/cpus.c \
	lib/daemon/cpus.h \
	lib/daemon/daemon.c \
	lib/daemon/daemon.h \
	lib/daemon/endpoint.c \
	lib/daemon/endpoint.h \
	lib/daemon/listeners.c \
	lib/daemon/listeners.h \
	lib/daemon/passed.c \
	lib/daemon/passed.h \
	lib/daemon/reload.c \
	lib/daemon/reload.h \
	lib/daemon/state.h \
	lib/daemon/systemd.c \
	lib/daemon/systemd.h
