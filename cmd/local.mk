# The programs, once they are here:
#   sbin_PROGRAMS += carpoold
#   carpoold_SOURCES = cmd/carpoold.c
#   carpoold_LDADD = $(carpool_libs)
#   bin_PROGRAMS += carpoolctl
#   carpoolctl_SOURCES = cmd/carpoolctl.c
#   carpoolctl_CPPFLAGS = $(AM_CPPFLAGS) $(NCURSES_CFLAGS)
#   carpoolctl_LDADD = $(carpool_libs) $(NCURSES_LIBS)
