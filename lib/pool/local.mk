# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/pool/agent.c \
	lib/pool/agent.h \
	lib/pool/check.c \
	lib/pool/check.h \
	lib/pool/configure.c \
	lib/pool/forget.c \
	lib/pool/forget.h \
	lib/pool/origin.c \
	lib/pool/origin.h \
	lib/pool/pool.c \
	lib/pool/pool.h \
	lib/pool/retire.c \
	lib/pool/retire.h \
	lib/pool/reuse.c \
	lib/pool/reuse.h \
	lib/pool/socket.c \
	lib/pool/socket.h \
	lib/pool/stats.c \
	lib/pool/stats.h
