# Every .c and .h of this folder, one a line.
libcarpool_a_SOURCES += \
	lib/config/arena.c \
	lib/config/arena.h \
	lib/config/bindable.c \
	lib/config/bindable.h \
	lib/config/check.c \
	lib/config/config.c \
	lib/config/config.h \
	lib/config/env.c \
	lib/config/env.h \
	lib/config/hostname.c \
	lib/config/hostname.h \
	lib/config/load.c \
	lib/config/loader.h \
	lib/config/match.c \
	lib/config/match.h \
	lib/config/options.c \
	lib/config/options.h \
	lib/config/print.c \
	lib/config/problems.c \
	lib/config/problems.h \
	lib/config/suggest.c \
	lib/config/suggest.h \
	lib/config/tlsfiles.c \
	lib/config/utf8.c \
	lib/config/utf8.h \
	lib/config/values.c \
	lib/config/yaml.c \
	lib/config/yaml.h \
	lib/config/yaml_print.c \
	lib/config/yaml_print.h
