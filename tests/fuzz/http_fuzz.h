#ifndef CARPOOL_TESTS_FUZZ_HTTP_FUZZ_H
#define CARPOOL_TESTS_FUZZ_HTTP_FUZZ_H

/* What the fuzz targets of lib/http share. Each has one LLVMFuzzerTestOneInput; what must hold is asserted.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Ilib -o uri tests/fuzz/http_uri.c \
 *         tests/fuzz/http_fuzz.c tests/unit/http_message.c lib/http/[a-z]*.c lib/base/slice.c -lhttp_parser
 *     tests/fuzz/seeds seeds && mkdir -p new && ./uri -max_len=4096 new seeds/http_uri
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"
#include "http/head.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Holds in every build, unlike assert(). */
#define fuzz_assert(condition)                                                      \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* The octets in memory of their own, so that a sanitizer sees a read beyond them. Freed by the caller. */
static inline struct slice fuzz_copy(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);

    if (size > 0)
        memcpy(copy, data, size);
    return (struct slice){copy, size};
}

/* What holds of every head that was taken: its octets are legal, its slices stand in the message, in order,
 * and writing it anew and reading that gives the same. */
void fuzz_check_head(const struct head *h, struct slice message);

/* The same reading in one piece, octet by octet, in steps, and cut at line ends. */
void fuzz_check_connection(const uint8_t *data, size_t size, bool requests);

#endif
