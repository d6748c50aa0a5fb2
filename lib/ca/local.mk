# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/ca/ca.c \
	lib/ca/ca.h \
	lib/ca/constraints.c \
	lib/ca/constraints.h \
	lib/ca/host.c \
	lib/ca/host.h \
	lib/ca/issue.c \
	lib/ca/issue.h \
	lib/ca/signer.c \
	lib/ca/signer.h \
	lib/ca/tickets.c \
	lib/ca/tickets.h \
	lib/ca/unix_time.h
