# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/daemon/workers.c \
	lib/daemon/workers.h \
	lib/daemon/daemon.c \
	lib/daemon/daemon.h \
	lib/daemon/listeners.c \
	lib/daemon/listeners.h \
	lib/daemon/systemd.c \
	lib/daemon/systemd.h
