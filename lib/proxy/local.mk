# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/proxy/access.c \
	lib/proxy/access.h \
	lib/proxy/attempt.c \
	lib/proxy/client.c \
	lib/proxy/client.h \
	lib/proxy/close.c \
	lib/proxy/close.h \
	lib/proxy/download.c \
	lib/proxy/exchange.c \
	lib/proxy/exchange.h \
	lib/proxy/fate.c \
	lib/proxy/fate.h \
	lib/proxy/gateway.c \
	lib/proxy/gateway.h \
	lib/proxy/handover.c \
	lib/proxy/handover.h \
	lib/proxy/proxy.c \
	lib/proxy/proxy.h \
	lib/proxy/record.c \
	lib/proxy/record.h \
	lib/proxy/relay.c \
	lib/proxy/relay.h \
	lib/proxy/reply.c \
	lib/proxy/reply.h \
	lib/proxy/retry.c \
	lib/proxy/retry.h \
	lib/proxy/rewrite.c \
	lib/proxy/rewrite.h \
	lib/proxy/route.c \
	lib/proxy/route.h \
	lib/proxy/sendq.c \
	lib/proxy/sendq.h \
	lib/proxy/stats.c \
	lib/proxy/stats.h \
	lib/proxy/tunnel.c \
	lib/proxy/upload.c
