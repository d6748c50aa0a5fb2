# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/io/address_order.c \
	lib/io/address_order.h \
	lib/io/connect_error.c \
	lib/io/connect_error.h \
	lib/io/connector.c \
	lib/io/connector.h \
	lib/io/connector_handshake.c \
	lib/io/connector_internal.h \
	lib/io/connector_names.c \
	lib/io/connector_race.c \
	lib/io/dial.c \
	lib/io/dial.h \
	lib/io/dns_answer.c \
	lib/io/dns_answer.h \
	lib/io/listener.c \
	lib/io/listener.h \
	lib/io/pipe.c \
	lib/io/pipe.h \
	lib/io/relief.h \
	lib/io/resolv_conf.c \
	lib/io/resolv_conf.h \
	lib/io/resolver.c \
	lib/io/resolver.h \
	lib/io/conn.c \
	lib/io/conn.h \
	lib/io/tls.c \
	lib/io/tls.h \
	lib/io/tls_context.c \
	lib/io/tls_explain.c \
	lib/io/tls_internal.h \
	lib/io/tls_sessions.c
