/* Memory that runs out at each place in turn, the library's own included: calls end, nothing leaks, nothing is read that was
 * freed. */

#include "wire_test.h"

#include <errno.h>

#define END NGHTTP2_FLAG_END_STREAM

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

static long live; /* blocks of memory */
static bool armed;
static int until_failure; /* the how manieth allocation fails; 0: none does */
static bool has_failed;

/* Sanitizers have theirs. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static bool fails(void)
{
    if (!armed || until_failure == 0 || --until_failure > 0)
        return false;
    has_failed = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n);
void *calloc(size_t count, size_t n);
void *realloc(void *p, size_t n);
void free(void *p);

static void *counted(void *p)
{
    live += p != NULL;
    return p;
}

void *malloc(size_t n)
{
    return counted(fails() ? NULL : __libc_malloc(n));
}

void *calloc(size_t count, size_t n)
{
    return counted(fails() ? NULL : __libc_calloc(count, n));
}

void *realloc(void *p, size_t n)
{
    void *larger = fails() ? NULL : __libc_realloc(p, n);
    return p ? larger : counted(larger);
}

void free(void *p)
{
    live -= p != NULL;
    __libc_free(p);
}
#endif

static struct asked a, b;

/* Memory is short in Carpool, not in the test's own code. */
static void tested(bool is)
{
    armed = is;
}

static void talk(void)
{
    static char content[20000];
    if (!ask_with(&a, "POST", "/", "Cookie: a=1\nCookie: b=2\n", (struct framing){.kind = BODY_CHUNKED}))
        return;
    put_content(&a, content, sizeof content, true, "X-Sum: 1\r\n");
    rig_turn();
    say_head(1, 0, ":status: 103\nlink: </x>\n");
    say_head(1, 0, ":status: 200\nserver: x\n");
    say_data(1, 0, "hello");
    say_head(1, END, "x-sum: 2\n");
    say_frame(NGHTTP2_PING, 0, 0, "12345678", 8);
    rig_turn();
    rig_turn();
}

START_TEST(memory_may_run_out_anywhere)
{
    unsigned ended = 0;
    for (int n = 1;; n++) {
        ck_assert_msg(n < 2000, "it never ends");
        long before = live;
        rig_begin(NULL);
        has_failed = false;
        rig.around = tested;
        until_failure = n;
        talk();
        until_failure = 0;
        if (a.call.wire)
            call_reset(&a.call);
        ended += a.ended;
        rig_turn();
        if (rig.closeds == 0) { /* it is as good as before */
            ask(&b, "GET", "/");
            rig_turn();
            call_reset(&b.call);
        }
        rig_end();
        ck_assert_msg(live == before || n == 1, "%ld blocks leak behind failure %d", live - before, n);
        if (!has_failed)
            break;
    }
    ck_assert_uint_gt(ended, 0);
}
END_TEST

void add_h2_memory(Suite *suite)
{
    unit_group(suite, "memory", memory_may_run_out_anywhere);
}
