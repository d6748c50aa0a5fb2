/* Responses that break the rules cost their stream and nothing else. */

#include "wire_test.h"

#define END   NGHTTP2_FLAG_END_STREAM
#define PAIRS 6

static struct asked a, good;

/* The wire goes on: another call is answered. */
static void another_is_answered(void)
{
    ask(&good, "GET", "/good");
    rig_turn();
    int32_t id = wait_for(NGHTTP2_HEADERS)->stream;
    say_head(id, END, ":status: 200\n");
    rig_turn();
    ck_assert(good.ended);
    ck_assert_uint_eq(rig.closeds, 0);
    ck_assert_uint_eq(rig.drainings, 0);
}

static int32_t begin(const char *method)
{
    ask(&a, method, "/");
    rig_turn();
    return wait_for(NGHTTP2_HEADERS)->stream;
}

static void is_malformed(const char *what)
{
    rig_turn();
    ck_assert_msg(a.failed, "%s passed", what);
    ck_assert_int_eq(a.failure.error, CALL_ERROR_MALFORMED);
    ck_assert_int_eq(a.failure.progress, CALL_MAYBE_PROCESSED);
    rig_turn();
    ck_assert_msg(wait_for(NGHTTP2_RST_STREAM)->payload[3] == NGHTTP2_PROTOCOL_ERROR, "%s", what);
    another_is_answered();
}

START_TEST(fields_are_strict)
{
    static const struct pair rows[] = {
        {"Upper", "x", 0},
        {"a b", "x", 0},
        {"a:b", "x", 0},
        {"a\tb", "x", 0},
        {"a\r\nb", "x", 0},
        {"a\x80", "x", 0},
        {"", "x", 0},
        {"a", "x\ry", 0},
        {"a", "x\ny", 0},
        {"a", "x\0y", 3},
        {"a", "x\x01y", 0},
        {"a", "x\x7f", 0},
        {"connection", "close", 0},
        {"keep-alive", "x", 0},
        {"proxy-connection", "x", 0},
        {"upgrade", "x", 0},
        {"te", "gzip", 0},
        {"transfer-encoding", "chunked", 0},
        {":path", "/", 0},
        {":unknown", "x", 0},
        {":status", "200", 0},
        {"content-length", "5, 5", 0},
        {"content-length", "+0", 0},
        {"content-length", "-1", 0},
        {"content-length", "99999999999999999999", 0},
    };
    rig_begin(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t id = begin("GET");
        const struct pair pairs[] = {{":status", "200", 0}, {"server", "x", 0}, rows[i]};
        say_pairs(id, END, pairs, 3);
        is_malformed(rows[i].name);
        ck_assert_uint_eq(a.status, 0);
    }
    rig_end();
}
END_TEST

START_TEST(status_is_strict)
{
    static const char *const rows[] = {"000", "099", "1000", "20", "2xx", "200 OK", "101", "+20", " 20"};
    rig_begin(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct pair pair = {":status", rows[i], 0};
        say_pairs(begin("GET"), END, &pair, 1);
        is_malformed(rows[i]);
    }
    const struct pair behind[] = {{"server", "x", 0}, {":status", "200", 0}};
    say_pairs(begin("GET"), END, behind, 2);
    is_malformed("behind a field");
    say_pairs(begin("GET"), END, behind, 1);
    is_malformed("none");
    rig_end();
}
END_TEST

START_TEST(content_must_fit_its_length)
{
    rig_begin(NULL);
    int32_t id = begin("GET");
    say_head(id, 0, ":status: 200\ncontent-length: 5\n");
    say_data(id, END, "four");
    is_malformed("less");
    ck_assert_uint_eq(a.status, 0);
    id = begin("GET");
    say_head(id, 0, ":status: 200\ncontent-length: 5\n");
    say_data(id, 0, "sixsix");
    is_malformed("more");
    id = begin("GET");
    say_head(id, END, ":status: 200\ncontent-length: 5\n");
    is_malformed("none");
    id = begin("HEAD");
    say_head(id, 0, ":status: 200\ncontent-length: 5\n");
    say_data(id, END, "hello");
    is_malformed("HEAD");
    id = begin("GET");
    say_head(id, 0, ":status: 204\n");
    say_data(id, END, "hello");
    is_malformed("204");
    rig_end();
}
END_TEST

START_TEST(what_went_out_is_cut)
{
    rig_begin(NULL);
    int32_t id = begin("GET");
    say_head(id, 0, ":status: 200\ncontent-length: 10\n");
    say_data(id, 0, "hello");
    rig_turn();
    ck_assert_uint_eq(a.status, 200);
    ck_assert_uint_eq(a.got, 5);
    say_data(id, END, "x");
    is_malformed("less");
    ck_assert(a.call.first_byte_us);
    rig_end();
}
END_TEST

START_TEST(an_empty_frame_may_end_what_has_no_content)
{
    rig_begin(NULL);
    int32_t id = begin("HEAD");
    say_head(id, 0, ":status: 200\ncontent-length: 5\n");
    say_data(id, END, "");
    rig_turn();
    ck_assert(a.ended);
    rig_end();
}
END_TEST

START_TEST(interim_responses_are_few)
{
    rig_begin(NULL);
    int32_t id = begin("GET");
    for (int i = 0; i < 16; i++)
        say_head(id, 0, ":status: 103\nlink: </x>\n");
    say_head(id, END, ":status: 200\n");
    rig_turn();
    ck_assert(a.ended);
    ck_assert_uint_eq(a.interim, 16);
    id = begin("GET");
    for (int i = 0; i < 17; i++)
        say_head(id, 0, ":status: 103\nlink: </x>\n");
    is_malformed("17");
    id = begin("GET");
    say_head(id, END, ":status: 103\n");
    is_malformed("1xx that ends");
    rig_end();
}
END_TEST

START_TEST(trailers_are_strict)
{
    rig_begin(NULL);
    int32_t id = begin("GET");
    say_head(id, 0, ":status: 200\n");
    say_head(id, END, ":status: 200\n");
    is_malformed("pseudo field");
    id = begin("GET");
    say_head(id, 0, ":status: 200\n");
    say_head(id, 0, "x: y\n");
    is_malformed("without an end");
    rig_end();
}
END_TEST

START_TEST(a_large_head_costs_its_stream)
{
    static struct pair pairs[300];
    static char value[200];
    memset(value, 'x', sizeof value - 1);
    rig_begin(NULL);
    pairs[0] = (struct pair){":status", "200", 0};
    for (size_t i = 1; i < 300; i++)
        pairs[i] = (struct pair){"a", value, 0}; /* indexed: a byte each on the wire */
    for (int i = 0; i < 3; i++) {
        say_pairs(begin("GET"), END, pairs, 300);
        rig_turn();
        ck_assert(a.failed);
        ck_assert_int_eq(a.failure.error, CALL_ERROR_HEAD_TOO_LARGE);
        ck_assert_str_ne(a.failure.text, "");
        rig_turn();
        ck_assert_uint_eq(wait_for(NGHTTP2_RST_STREAM)->payload[3], NGHTTP2_CANCEL);
        another_is_answered();
    }
    pairs[1].value = "y";
    for (size_t i = 2; i < 120; i++)
        pairs[i].value = "y";
    say_pairs(begin("GET"), END, pairs, 120);
    rig_turn();
    ck_assert(a.failed);
    ck_assert_int_eq(a.failure.error, CALL_ERROR_HEAD_TOO_LARGE);
    ck_assert_str_ne(a.failure.text, "");
    rig_end();
}
END_TEST

void add_h2_strictness(Suite *suite)
{
    unit_group(suite, "strictness", fields_are_strict, status_is_strict, content_must_fit_its_length,
               what_went_out_is_cut, an_empty_frame_may_end_what_has_no_content, interim_responses_are_few,
               trailers_are_strict, a_large_head_costs_its_stream);
}
