/* lib/base: what is small stands here, the rest in the files that base_test.h names. */

#include "unit.h"

#include "base/array.h"
#include "base/buffer.h"
#include "base/units.h"
#include "base_test.h"

/* slice */

START_TEST(slice_compares)
{
    ck_assert(slice_eq(SLICE("abc"), SLICE("abc")));
    ck_assert(!slice_eq(SLICE("abc"), SLICE("abC")));
    ck_assert(!slice_eq(SLICE("abc"), SLICE("ab")));
    ck_assert(slice_eq((struct slice){0}, SLICE("")));
    ck_assert(slice_eq_nocase(SLICE("Content-Length"), SLICE("cONTENT-lENGTH")));
    ck_assert(slice_eq_nocase((struct slice){0}, SLICE("")));
    ck_assert(!slice_eq_nocase(SLICE("abc"), SLICE("abcd")));
    /* Only letters have two cases: these differ by the same bit. */
    ck_assert(!slice_eq_nocase(SLICE("@"), SLICE("`")));
    ck_assert(!slice_eq_nocase(SLICE("["), SLICE("{")));
    ck_assert(!slice_eq_nocase(SLICE("\xc4"), SLICE("\xe4")));
    ck_assert(!slice_eq_nocase(SLICE("a\0b"), SLICE("a\0c")));
}
END_TEST

static bool is_upper_of(unsigned char a, unsigned char b)
{
    return a >= 'A' && a <= 'Z' && b == (a | 0x20);
}

/* Eight at a time or one by one, each pair of bytes at each place. */
START_TEST(slice_compares_letters_of_any_case)
{
    static const size_t lengths[] = {3, 8, 13, 16};
    char a[16], b[16];

    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        for (size_t at = 0; at < lengths[l]; at++) {
            memset(a, '-', sizeof a);
            memset(b, '-', sizeof b);
            for (int pair = 0; pair < 65536; pair++) {
                unsigned char x = (unsigned char)(pair >> 8), y = (unsigned char)pair;

                a[at] = (char)x;
                b[at] = (char)y;
                ck_assert(slice_bytes_eq_nocase(a, b, lengths[l]) ==
                          (x == y || is_upper_of(x, y) || is_upper_of(y, x)));
            }
        }
    }
}
END_TEST

START_TEST(slice_cuts_from)
{
    assert_slice(slice_from(SLICE("hello"), 2), "llo");
    assert_slice(slice_from(SLICE("hello"), 0), "hello");
    assert_slice(slice_from(SLICE("hello"), 5), "");
    assert_slice(slice_from(SLICE("hello"), 99), "");
    ck_assert_uint_eq(slice_from((struct slice){0}, 3).n, 0);
}
END_TEST

START_TEST(slice_trims_ows)
{
    assert_slice(slice_trim(SLICE(" \t a b\t ")), "a b");
    assert_slice(slice_trim(SLICE("ab")), "ab");
    assert_slice(slice_trim(SLICE(" \t ")), "");
    assert_slice(slice_trim(SLICE("")), "");
    assert_slice(slice_trim(SLICE("\na\r")), "\na\r");
    ck_assert_uint_eq(slice_trim((struct slice){0}).n, 0);
}
END_TEST

static void check_elements(struct slice list, const char *const *expected)
{
    struct slice element;

    for (; *expected; expected++) {
        ck_assert_msg(slice_next_element(&list, &element), "the element '%s' is missing", *expected);
        assert_slice(element, *expected);
    }
    ck_assert(!slice_next_element(&list, &element));
    ck_assert(!slice_next_element(&list, &element));
}

#define elements(list, ...) check_elements(list, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(slice_finds_elements)
{
    elements(SLICE("a"), "a");
    elements(SLICE("close, keep-alive,TE"), "close", "keep-alive", "TE");
    elements(SLICE(" , ,a,,\t b c ,"), "a", "b c");
    elements(SLICE("a=\"1,2\", b"), "a=\"1,2\"", "b");
    elements(SLICE("\"a\\\",b\",c"), "\"a\\\",b\"", "c");
    elements(SLICE("a\\,b"), "a\\", "b");
    elements(SLICE("\"open, b"), "\"open, b");
    elements(SLICE("\"open\\"), "\"open\\");
    elements(SLICE("\"\""), "\"\"");
    check_elements(SLICE(""), (const char *const[]){NULL});
    check_elements(SLICE(" ,\t, "), (const char *const[]){NULL});
    check_elements((struct slice){0}, (const char *const[]){NULL});
}
END_TEST

START_TEST(slice_reads_numbers)
{
    static const char *const bad[] = {"",     "+1",  "-1",
                                      " 1",   "1 ",  "1a",
                                      "0x10", "1.0", "18446744073709551616",
                                      "\xb2", "1e3", "99999999999999999999"};
    unsigned long long value = 7;

    ck_assert(slice_to_u64(SLICE("0"), &value) && value == 0);
    ck_assert(slice_to_u64(SLICE("0042"), &value) && value == 42);
    ck_assert(slice_to_u64(SLICE("18446744073709551615"), &value) && value == UINT64_MAX);
    value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!slice_to_u64(slice_of(bad[i]), &value), "'%s' was taken", bad[i]);
    ck_assert(!slice_to_u64(SLICE("1\0"), &value));
    ck_assert_uint_eq(value, 7);
}
END_TEST

START_TEST(slice_undoes_percent_encoding)
{
    static const char *const bad[] = {"%", "a%2", "%g0", "%0G", "%%41", "12345"};
    char out[4];
    size_t n;

    ck_assert(slice_percent_decode(SLICE("a%2fB%2F"), out, sizeof out, &n));
    assert_slice(((struct slice){out, n}), "a/B/");
    ck_assert(slice_percent_decode(SLICE("%00"), out, sizeof out, &n) && n == 1 && out[0] == '\0');
    ck_assert(slice_percent_decode(SLICE(""), out, sizeof out, &n) && n == 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!slice_percent_decode(slice_of(bad[i]), out, sizeof out, &n), "'%s' was taken", bad[i]);
}
END_TEST

/* buffer */

START_TEST(buffer_is_lent_and_given_back)
{
    struct buffer_pool pool = {.size = BUFFER_SIZE};
    struct buffer *b[BUFFER_POOL_KEEP + 6];
    size_t count = sizeof b / sizeof b[0];

    for (size_t i = 0; i < count; i++) {
        b[i] = buffer_borrow(&pool);
        ck_assert_ptr_nonnull(b[i]);
    }
    ck_assert_uint_eq(pool.lent, count);
    b[0]->end = 5;
    for (size_t i = count; i > 0; i--)
        buffer_give(b[i - 1]);
    buffer_give(NULL);
    ck_assert_uint_eq(pool.lent, 0);
    ck_assert_uint_eq(pool.free_count, BUFFER_POOL_KEEP);

    b[0] = buffer_borrow(&pool);
    ck_assert_uint_eq(pool.free_count, BUFFER_POOL_KEEP - 1);
    ck_assert_uint_eq(buffer_unread(b[0]).n, 0);
    ck_assert_uint_eq(buffer_room(b[0]), BUFFER_SIZE);
    buffer_give(b[0]);
    buffer_pool_destroy(&pool);
    ck_assert_uint_eq(pool.free_count, 0);
}
END_TEST

START_TEST(buffer_fits_what_it_holds)
{
    struct buffer_pool pool = {.size = BUFFER_SIZE};
    struct buffer *b = buffer_borrow(&pool), *large = b, *fit;

    buffer_append(b, SLICE("waits"));
    buffer_consume(b, 1);
    fit = buffer_fit(b);
    ck_assert_ptr_ne(fit, large);
    assert_slice(buffer_unread(fit), "aits");
    ck_assert_uint_eq(buffer_room(fit), 0);
    ck_assert_uint_eq(pool.free_count, 1);
    ck_assert_uint_eq(pool.lent, 1);
    ck_assert_ptr_eq(buffer_fit(fit), fit);
    ck_assert_ptr_eq(buffer_borrow(&pool), large);
    buffer_give(large);
    fit = buffer_grow(fit, 2 * fit->size);
    ck_assert_ptr_eq(fit, large);
    assert_slice(buffer_unread(fit), "aits");
    buffer_give(fit);
    ck_assert_ptr_eq(buffer_fit(NULL), NULL);
    ck_assert_uint_eq(pool.lent, 0);
    buffer_pool_destroy(&pool);
}
END_TEST

START_TEST(buffer_fills_and_empties)
{
    struct buffer_pool pool = {.size = BUFFER_SIZE};
    struct buffer *b = buffer_borrow(&pool);

    ck_assert_uint_eq(buffer_unread(NULL).n, 0);
    ck_assert(buffer_append(b, SLICE("hello ")));
    ck_assert(buffer_append(b, SLICE("world")));
    ck_assert(buffer_append(b, (struct slice){0}));
    assert_slice(buffer_unread(b), "hello world");
    buffer_consume(b, 6);
    assert_slice(buffer_unread(b), "world");
    ck_assert_uint_eq(b->start, 6);
    buffer_compact(b);
    ck_assert_uint_eq(b->start, 0);
    assert_slice(buffer_unread(b), "world");
    buffer_compact(b);
    assert_slice(buffer_unread(b), "world");
    buffer_consume(b, 5);
    ck_assert_uint_eq(b->end, 0);

    b->end = BUFFER_SIZE - 3;
    ck_assert(!buffer_append(b, SLICE("four")));
    ck_assert_uint_eq(b->end, BUFFER_SIZE - 3);
    ck_assert(buffer_append(b, SLICE("3!!")));
    ck_assert_uint_eq(buffer_room(b), 0);
    buffer_give(b);
    buffer_pool_destroy(&pool);
}
END_TEST

START_TEST(buffer_grows)
{
    struct buffer_pool pool = {.size = BUFFER_SIZE};
    struct buffer *b = buffer_borrow(&pool);

    ck_assert(buffer_append(b, SLICE("xxabc")));
    buffer_consume(b, 2);
    b = buffer_grow(b, 1024 * 1024);
    ck_assert_ptr_nonnull(b);
    ck_assert_uint_eq(b->size, 1024 * 1024);
    ck_assert_uint_eq(b->start, 0);
    assert_slice(buffer_unread(b), "abc");
    ck_assert_uint_eq(pool.lent, 1);
    ck_assert_uint_eq(pool.free_count, 1);
    ck_assert_ptr_null(buffer_grow(b, (size_t)UINT32_MAX + 1));
    assert_slice(buffer_unread(b), "abc");

    b = buffer_grow(b, 10); /* back to a common one */
    ck_assert_uint_eq(b->size, BUFFER_SIZE);
    assert_slice(buffer_unread(b), "abc");
    buffer_give(b);

    b = buffer_grow(buffer_borrow(&pool), BUFFER_SIZE + 1);
    ck_assert_uint_eq(buffer_unread(b).n, 0);
    ck_assert_uint_eq(b->size, BUFFER_SIZE + 1);
    buffer_give(b); /* an odd size is not kept */
    ck_assert_uint_eq(pool.free_count, 1);
    ck_assert_uint_eq(pool.lent, 0);
    buffer_pool_destroy(&pool);
}
END_TEST

START_TEST(buffer_reserves_what_is_needed_or_twice_its_size)
{
    struct buffer_pool pool = {.size = 16};
    struct buffer *b = buffer_borrow(&pool), *before = b;

    ck_assert(buffer_append(b, SLICE("xxabc")));
    buffer_consume(b, 2);
    ck_assert(buffer_reserve(&b, 11));
    ck_assert_ptr_eq(b, before);
    ck_assert(buffer_reserve(&b, 12));
    ck_assert_uint_eq(b->size, 32);
    assert_slice(buffer_unread(b), "abc");
    ck_assert(buffer_reserve(&b, 100));
    ck_assert_uint_eq(b->size, 103);

    before = b;
    ck_assert(!buffer_reserve(&b, UINT32_MAX));
    ck_assert(!buffer_reserve(&b, SIZE_MAX));
    ck_assert_ptr_eq(b, before);
    assert_slice(buffer_unread(b), "abc");
    buffer_give(b);
    ck_assert_uint_eq(pool.lent, 0);
    buffer_pool_destroy(&pool);
}
END_TEST

START_TEST(buffer_goes_back_to_its_own_pool)
{
    struct buffer_pool heads = {.size = BUFFER_HEAD_SIZE}, bodies = {.size = BUFFER_SIZE};
    struct buffer *head = buffer_borrow(&heads), *body = buffer_borrow(&bodies);

    ck_assert_uint_eq(buffer_room(head), BUFFER_HEAD_SIZE);
    ck_assert_uint_eq(buffer_room(body), BUFFER_SIZE);
    head = buffer_grow(head, BUFFER_SIZE); /* as large as a body's, and still a head's */
    buffer_give(head);
    buffer_give(body);
    ck_assert_uint_eq(heads.lent, 0);
    ck_assert_uint_eq(heads.free_count, 1);
    ck_assert_uint_eq(bodies.lent, 0);
    ck_assert_uint_eq(bodies.free_count, 1);
    buffer_pool_destroy(&heads);
    buffer_pool_destroy(&bodies);
}
END_TEST

/* units */

START_TEST(units_read_times)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0", 0},
                {"off", 0},
                {"0s", 0},
                {"250", 250},
                {"250ms", 250},
                {"5s", 5000},
                {"2m", 120000},
                {"1h", 3600000},
                {"007s", 7000},
                {"18446744073709551615", UINT64_MAX},
                {"5124095576030h", 5124095576030 * UINT64_C(3600000)}};
    static const char *const bad[] = {"",
                                      "-1",
                                      "-1s",
                                      "+1s",
                                      "5d",
                                      "1.5s",
                                      "1s ",
                                      " 1s",
                                      "1 s",
                                      "s",
                                      "ms",
                                      "OFF",
                                      "Off",
                                      "5S",
                                      "5MS",
                                      "1h30m",
                                      "1e3",
                                      "Infinity",
                                      "5sec",
                                      "5ss",
                                      "18446744073709551616",
                                      "5124095576031h",
                                      "0x5",
                                      "off ",
                                      "16KiB"};
    uint64_t ms;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ms = 77;
        ck_assert_msg(units_parse_time(slice_of(good[i].text), &ms), "'%s' was refused", good[i].text);
        ck_assert_uint_eq(ms, good[i].ms);
    }
    ms = 77;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!units_parse_time(slice_of(bad[i]), &ms), "'%s' was taken", bad[i]);
    ck_assert(!units_parse_time(SLICE("5s\0"), &ms));
    ck_assert_uint_eq(ms, 77);
}
END_TEST

START_TEST(units_read_sizes_and_counts)
{
    static const char *const bad_sizes[] = {"",
                                            "16KB",
                                            "16kib",
                                            "16K",
                                            "1GB",
                                            "-1",
                                            "1.5KiB",
                                            "1 KiB",
                                            "KiB",
                                            "off",
                                            "16B",
                                            "Infinity",
                                            "17592186044416MiB",
                                            "18014398509481984KiB"};
    static const char *const bad_counts[] = {"",    "-1",  "infinity", "inf", "4294967295", "4294967296",
                                             "1.0", "off", "1 ",       "+1",  "Infinity ",  "10k"};
    uint64_t bytes = 77;
    uint32_t count = 77;

    ck_assert(units_parse_size(SLICE("0"), &bytes) && bytes == 0);
    ck_assert(units_parse_size(SLICE("65536"), &bytes) && bytes == 65536);
    ck_assert(units_parse_size(SLICE("16KiB"), &bytes) && bytes == 16384);
    ck_assert(units_parse_size(SLICE("1MiB"), &bytes) && bytes == 1048576);
    bytes = 77;
    for (size_t i = 0; i < sizeof bad_sizes / sizeof bad_sizes[0]; i++)
        ck_assert_msg(!units_parse_size(slice_of(bad_sizes[i]), &bytes), "'%s' was taken", bad_sizes[i]);
    ck_assert_uint_eq(bytes, 77);

    ck_assert(units_parse_count(SLICE("0"), &count) && count == 0);
    ck_assert(units_parse_count(SLICE("4294967294"), &count) && count == 4294967294);
    ck_assert(units_parse_count(SLICE("Infinity"), &count) && count == COUNT_INFINITE);
    count = 77;
    for (size_t i = 0; i < sizeof bad_counts / sizeof bad_counts[0]; i++)
        ck_assert_msg(!units_parse_count(slice_of(bad_counts[i]), &count), "'%s' was taken", bad_counts[i]);
    ck_assert_uint_eq(count, 77);
}
END_TEST

START_TEST(units_write_what_reads_back)
{
    char out[UNITS_TEXT_SIZE];
    uint64_t values[] = {0,       1,        999,  1000,  1500,    60000,   90000,     3600000,
                         5400000, 86400000, 1024, 16384, 1048576, 1048577, UINT64_MAX};

    ck_assert_str_eq(units_format_time(0, out), "off");
    ck_assert_str_eq(units_format_time(250, out), "250ms");
    ck_assert_str_eq(units_format_time(90000, out), "90s");
    ck_assert_str_eq(units_format_time(600000, out), "10m");
    ck_assert_str_eq(units_format_time(3600000, out), "1h");
    ck_assert_str_eq(units_format_size(0, out), "0");
    ck_assert_str_eq(units_format_size(1000, out), "1000");
    ck_assert_str_eq(units_format_size(16384, out), "16KiB");
    ck_assert_str_eq(units_format_size(1048576, out), "1MiB");
    ck_assert_str_eq(units_format_count(0, out), "0");
    ck_assert_str_eq(units_format_count(COUNT_INFINITE, out), "Infinity");
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint64_t back = 77;

        ck_assert(units_parse_time(slice_of(units_format_time(values[i], out)), &back) && back == values[i]);
        ck_assert(units_parse_size(slice_of(units_format_size(values[i], out)), &back) && back == values[i]);
    }
}
END_TEST

START_TEST(arrays_double)
{
    size_t room = 0;
    uint64_t *a = array_reserve(NULL, &room, 1, sizeof *a), *more;

    ck_assert_uint_eq(room, ARRAY_FIRST_ROOM);
    a[0] = 7;
    ck_assert_ptr_eq(array_reserve(a, &room, room, sizeof *a), a);
    ck_assert_uint_eq(room, ARRAY_FIRST_ROOM);
    a = array_reserve(a, &room, room + 1, sizeof *a);
    ck_assert_uint_eq(room, 2 * ARRAY_FIRST_ROOM);
    a = array_reserve(a, &room, 1000, sizeof *a);
    ck_assert_uint_eq(room, 1000);
    ck_assert_uint_eq(a[0], 7);
    more = array_reserve(a, &room, SIZE_MAX / sizeof *a + 1, sizeof *a);
    ck_assert_ptr_null(more);
    ck_assert_uint_eq(room, 1000);
    free(a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");

    unit_group(suite, "slice", slice_compares, slice_compares_letters_of_any_case, slice_cuts_from,
               slice_trims_ows, slice_finds_elements, slice_reads_numbers, slice_undoes_percent_encoding);
    unit_group(suite, "buffer", buffer_is_lent_and_given_back, buffer_fits_what_it_holds,
               buffer_fills_and_empties, buffer_grows, buffer_reserves_what_is_needed_or_twice_its_size,
               buffer_goes_back_to_its_own_pool);
    unit_group(suite, "array", arrays_double);
    unit_group(suite, "units", units_read_times, units_read_sizes_and_counts, units_write_what_reads_back);
    base_deadline_tests(suite);
    base_time_tests(suite);
    base_address_tests(suite);
    base_console_tests(suite);
    base_log_tests(suite);
    base_mailbox_tests(suite);
    return unit_run(suite);
}
