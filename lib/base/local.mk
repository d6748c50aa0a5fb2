# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/base/address.c \
	lib/base/address.h \
	lib/base/array.h \
	lib/base/buffer.c \
	lib/base/buffer.h \
	lib/base/clock.c \
	lib/base/clock.h \
	lib/base/console.c \
	lib/base/console.h \
	lib/base/memory_trim.c \
	lib/base/memory_trim.h \
	lib/base/decimal.h \
	lib/base/fnv.h \
	lib/base/freelist.h \
	lib/base/hash.h \
	lib/base/list.h \
	lib/base/log.c \
	lib/base/log.h \
	lib/base/mailbox.c \
	lib/base/mailbox.h \
	lib/base/minmax.h \
	lib/base/no_core.c \
	lib/base/no_core.h \
	lib/base/recent.h \
	lib/base/slice.c \
	lib/base/slice.h \
	lib/base/stopwatch.h \
	lib/base/deadline.c \
	lib/base/deadline.h \
	lib/base/timer.c \
	lib/base/timer.h \
	lib/base/units.c \
	lib/base/units.h \
	lib/base/utf8.c \
	lib/base/utf8.h
