# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/wire/call.c \
	lib/wire/call.h \
	lib/wire/call_end.h \
	lib/wire/retire.c \
	lib/wire/retire.h \
	lib/wire/wire.h
