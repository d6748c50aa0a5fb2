# One program a folder of lib/, with check; only its CFLAGS and LIBS are set here for all. Two lines each:
#   check_PROGRAMS += tests/unit/base_test
#   tests_unit_base_test_SOURCES = tests/unit/base_test.c
AM_CFLAGS += $(CHECK_CFLAGS)
