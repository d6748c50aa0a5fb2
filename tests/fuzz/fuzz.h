#ifndef CARPOOL_TESTS_FUZZ_FUZZ_H
#define CARPOOL_TESTS_FUZZ_FUZZ_H

/* What every target has. One is run in two ways: by engine.c under libFuzzer (make fuzz, make fuzz-check),
 * and by replay.c with the inputs of regressions/ (make check, any compiler). */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"

struct fuzz_target {
    const char *name;
    void (*prepare)(void); /* once, before the first input */
    void (*run)(const uint8_t *data, size_t size);
};

/* A target NAME is the file NAME.c, which defines fuzz_NAME. */
#define FUZZ_TARGETS(X) \
    X(admin_request)    \
    X(config)           \
    X(match)            \
    X(h2)               \
    X(hello)            \
    X(http_chunked)     \
    X(http_fields)      \
    X(http_repair)      \
    X(http_request)     \
    X(http_response)    \
    X(http_uri)         \
    X(rewrite)          \
    X(h1)               \
    X(exchange)         \
    X(exchange_h2)      \
    X(exchange_workers)

#define X(name) extern const struct fuzz_target fuzz_##name;
FUZZ_TARGETS(X)
#undef X

/* OpenSSL shall not read the system's hundred and more authorities for each policy: that took most of the
 * time. */
static inline void fuzz_without_authorities(void)
{
    setenv("SSL_CERT_FILE", "/dev/null", 1);
    setenv("SSL_CERT_DIR", "/dev/null", 1);
}

/* Holds in every build, unlike assert(). */
#define fuzz_assert(condition)                                                      \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* The bytes in memory of their own, so that a sanitizer sees a read beyond them. Freed by the caller. */
static inline struct slice fuzz_copy(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);

    if (size > 0)
        memcpy(copy, data, size);
    return (struct slice){copy, size};
}

#endif
