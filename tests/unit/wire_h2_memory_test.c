/* Memory that runs out at each place in turn, the library's own included: calls end, nothing leaks, nothing
 * is read that was freed. */

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

#define UPLOADS 9

static struct asked a, b, many[UPLOADS];

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

/* --- Nobody waits for what memory was short for: nothing else would end it ------------------------------- */

static void begin_short(int n)
{
    ck_assert_msg(n < 2000, "it never ends");
    memset(many, 0, sizeof many);
    memset(&a, 0, sizeof a);
    rig_begin(NULL);
    has_failed = false;
    rig.around = tested;
    until_failure = n;
}

static void end_short(void)
{
    for (int i = 0; i < UPLOADS; i++)
        if (many[i].call.wire)
            call_reset(&many[i].call);
    if (a.call.wire)
        call_reset(&a.call);
    rig_turn();
    rig_end();
}

/* Each waits for its client and goes on with all others: what the library keeps of them grows. */
static bool upload_in_pieces(void)
{
    for (int i = 0; i < UPLOADS; i++) {
        if (wire_room(&rig.wire) == 0 ||
            !ask_with(&many[i], "POST", "/", "", (struct framing){.kind = BODY_CHUNKED}))
            return false;
        put_content(&many[i], "x", 1, false, NULL);
        rig_turn();
    }
    for (int i = 0; i < UPLOADS; i++)
        if (many[i].call.wire)
            put_content(&many[i], "y", 1, true, NULL);
    rig_turn();
    return true;
}

START_TEST(uploads_go_on_or_fail)
{
    for (int n = 1; n == 1 || has_failed; n++) {
        unsigned ended = 0;
        begin_short(n);
        bool asked = upload_in_pieces();
        until_failure = 0;
        rig_turn();
        for (struct frame *f; (f = hear(NGHTTP2_DATA));)
            ended += f->flags & END;
        for (int i = 0; i < UPLOADS; i++)
            ended += many[i].failed;
        ck_assert_msg(!asked || ended >= UPLOADS, "%u wait behind failure %d", UPLOADS - ended, n);
        end_short();
    }
}
END_TEST

/* As much of a response as its window lets through. */
static bool download(void)
{
    static char text[16001];
    memset(text, 'x', sizeof text - 1);
    if (!ask_with(&a, "GET", "/", "", (struct framing){.kind = BODY_NONE}))
        return false;
    put_content(&a, NULL, 0, true, NULL);
    rig_turn();
    say_head(1, 0, ":status: 200\n");
    for (int i = 0; i < 4; i++)
        say_data(1, 0, text);
    rig_turn();
    return true;
}

START_TEST(a_window_opens_or_the_call_fails)
{
    for (int n = 1; n == 1 || has_failed; n++) {
        unsigned opened = 0;
        begin_short(n);
        bool asked = download();
        until_failure = 0;
        rig_turn();
        for (struct frame *f; (f = hear(NGHTTP2_WINDOW_UPDATE));)
            opened += f->stream == 1;
        ck_assert_msg(!asked || a.failed || opened > 0, "its window stays closed behind failure %d", n);
        end_short();
    }
}
END_TEST

void add_h2_memory(Suite *suite)
{
    unit_group(suite, "memory", memory_may_run_out_anywhere, uploads_go_on_or_fail,
               a_window_opens_or_the_call_fails);
}
