#ifndef CARPOOL_CONFIG_ARENA_H
#define CARPOOL_CONFIG_ARENA_H

/* Memory that is freed all at once. Allocations never return NULL: when memory is short, the arena jumps to
 * where `on_failure` was set, so nothing but the arena may own memory meanwhile. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;
    jmp_buf *on_failure; /* must be set while anything is allocated */
};

/* NULL when memory is short. */
struct arena *arena_new(void);
void arena_free(struct arena *a);

/* Zeroed memory, aligned for anything. */
void *arena_alloc(struct arena *a, size_t size);

/* An array of `count` zeroed elements. */
void *arena_array(struct arena *a, size_t count, size_t size);

/* Copies with an end. */
char *arena_text(struct arena *a, const char *text, size_t length);

char *arena_format(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vformat(struct arena *a, const char *format, va_list args)
    __attribute__((format(printf, 2, 0), nonnull));

#endif
