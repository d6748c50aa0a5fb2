# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/http/agreement.c \
	lib/http/agreement.h \
	lib/http/challenge.c \
	lib/http/chunked.c \
	lib/http/chunked.h \
	lib/http/coding.c \
	lib/http/coding.h \
	lib/http/crosscheck.c \
	lib/http/crosscheck.h \
	lib/http/explain.c \
	lib/http/explain.h \
	lib/http/explain_target.c \
	lib/http/fields.c \
	lib/http/fields.h \
	lib/http/framing.c \
	lib/http/framing.h \
	lib/http/head.c \
	lib/http/head.h \
	lib/http/hints.c \
	lib/http/bytes.c \
	lib/http/body_reader.c \
	lib/http/body_reader.h \
	lib/http/bytes.h \
	lib/http/opening.c \
	lib/http/opening.h \
	lib/http/parser.c \
	lib/http/proxy_error.c \
	lib/http/proxy_error.h \
	lib/http/repair.c \
	lib/http/repair.h \
	lib/http/status.c \
	lib/http/status.h \
	lib/http/uri.c \
	lib/http/uri.h \
	lib/http/web_origin.c \
	lib/http/web_origin.h
