# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/wire/body_writer.c \
	lib/wire/body_writer.h \
	lib/wire/call.c \
	lib/wire/call.h \
	lib/wire/call_end.h \
	lib/wire/h1.c \
	lib/wire/h1.h \
	lib/wire/h1_head.c \
	lib/wire/h1_internal.h \
	lib/wire/h1_request.c \
	lib/wire/h1_response.c \
	lib/wire/h1_turns.c \
	lib/wire/h2.c \
	lib/wire/h2.h \
	lib/wire/h2_check.c \
	lib/wire/h2_check.h \
	lib/wire/h2_guard.c \
	lib/wire/h2_internal.h \
	lib/wire/h2_output.c \
	lib/wire/h2_ping.c \
	lib/wire/h2_request.c \
	lib/wire/h2_response.c \
	lib/wire/h2_sent_resets.c \
	lib/wire/h2_session.c \
	lib/wire/h2_stream.c \
	lib/wire/h2_upload.c \
	lib/wire/h2_window.c \
	lib/wire/retire.c \
	lib/wire/retire.h \
	lib/wire/wire.c \
	lib/wire/wire.h
