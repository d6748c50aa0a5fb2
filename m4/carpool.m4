# CARPOOL_TRY_CFLAGS(VARIABLE, FLAGS, [IF-YES], [IF-NO]): append FLAGS if the compiler takes them without a warning.
AC_DEFUN([CARPOOL_TRY_CFLAGS], [
    AC_MSG_CHECKING([whether $CC takes $2])
    carpool_saved=$CFLAGS
    CFLAGS="$CFLAGS $$1 -Werror $2"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([])], [carpool_takes=yes], [carpool_takes=no])
    CFLAGS=$carpool_saved
    AC_MSG_RESULT([$carpool_takes])
    AS_IF([test $carpool_takes = yes], [$1="$$1 $2"; $3], [m4_default([$4], [:])])
])

# CARPOOL_TRY_EACH_CFLAG(VARIABLE, FLAGS): the same for each flag by itself.
AC_DEFUN([CARPOOL_TRY_EACH_CFLAG], [
    for carpool_flag in m4_normalize([$2]); do
        CARPOOL_TRY_CFLAGS([$1], [$carpool_flag])
    done
])

# CARPOOL_TRY_LDFLAGS(VARIABLE, FLAGS, [IF-YES], [IF-NO]): append FLAGS if a program links with them.
AC_DEFUN([CARPOOL_TRY_LDFLAGS], [
    AC_MSG_CHECKING([whether $CC links with $2])
    carpool_saved=$LDFLAGS
    LDFLAGS="$LDFLAGS $$1 $2"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([])], [carpool_links=yes], [carpool_links=no])
    LDFLAGS=$carpool_saved
    AC_MSG_RESULT([$carpool_links])
    AS_IF([test $carpool_links = yes], [$1="$$1 $2"; $3], [m4_default([$4], [:])])
])
