# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/daemon/systemd.c \
	lib/daemon/systemd.h
