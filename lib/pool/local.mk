# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/pool/agent.c \
	lib/pool/agent.h \
	lib/pool/check.c \
	lib/pool/check.h \
	lib/pool/configure.c \
	lib/pool/configure.h \
	lib/pool/forget.c \
	lib/pool/forget.h \
	lib/pool/ledger.c \
	lib/pool/ledger.h \
	lib/pool/origin.c \
	lib/pool/origin.h \
	lib/pool/path.c \
	lib/pool/path.h \
	lib/pool/place.c \
	lib/pool/place.h \
	lib/pool/pool.c \
	lib/pool/pool.h \
	lib/pool/protocol.c \
	lib/pool/protocol.h \
	lib/pool/queue.c \
	lib/pool/queue.h \
	lib/pool/reload.c \
	lib/pool/reload.h \
	lib/pool/reuse.c \
	lib/pool/reuse.h \
	lib/pool/savings.c \
	lib/pool/savings.h \
	lib/pool/socket.c \
	lib/pool/socket.h \
	lib/pool/spares.c \
	lib/pool/spares.h \
	lib/pool/stats.c \
	lib/pool/stats.h
