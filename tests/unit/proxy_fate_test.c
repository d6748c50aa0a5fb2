/* lib/proxy/client_fate.c: the one answer to "does the client's connection go on". */

#include "proxy/client_fate.h"

#include "proxy_test.h"

static const struct fate_facts good = {
    .head_read = true, .request_read = true, .client_wants = true, .delimited = true};

/* Spoils one fact; in the order in which they are looked at. */
static enum client_close spoil(unsigned nth, struct fate_facts *f)
{
    switch (nth) {
    case 0: f->stopping = true; return CLIENT_SHUTDOWN;
    case 1: f->last_allowed = true; return CLIENT_MAX_REQUESTS;
    case 2: f->fault = FAULT_CLIENT_TOO_SLOW; return CLIENT_REQUEST_TIMEOUT;
    case 3: f->refused = true; return CLIENT_BAD_REQUEST;
    case 4: f->request_read = false; return CLIENT_CONNECTION_CLOSE;
    case 5: f->client_wants = false; return CLIENT_CONNECTION_CLOSE;
    case 6: f->delimited = false; return CLIENT_CONNECTION_CLOSE;
    }
    return CLIENT_KEPT;
}

#define FACTS 7

START_TEST(fate_gives_the_first_reason_of_several)
{
    for (unsigned first = 0; first < FACTS; first++) {
        for (unsigned others = 0; others < 1u << (FACTS - 1 - first); others++) {
            struct fate_facts f = good;
            enum client_close expected = spoil(first, &f);

            for (unsigned bit = 0; bit < FACTS - 1 - first; bit++)
                if (others >> bit & 1)
                    spoil(first + 1 + bit, &f);
            ck_assert_int_eq(client_fate(&f), expected);
        }
    }
    ck_assert_int_eq(client_fate(&good), CLIENT_KEPT);
}
END_TEST

START_TEST(fate_after_a_fault_is_what_its_row_says)
{
    for (unsigned fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++) {
        struct fate_facts f = good;

        f.fault = fault;
        if (fault != FAULT_CLIENT_TOO_SLOW)
            ck_assert_int_eq(client_fate(&f), fault_closes(fault) ? CLIENT_BAD_REQUEST : CLIENT_KEPT);
        f.request_read = false;
        ck_assert_int_ne(client_fate(&f), CLIENT_KEPT);
    }
}
END_TEST

START_TEST(fate_of_what_is_unknown_is_the_end)
{
    const struct fate_facts nothing = {0};

    ck_assert_int_ne(client_fate(&nothing), CLIENT_KEPT);
}
END_TEST

void proxy_fate_tests(Suite *suite)
{
    unit_group(suite, "fate", fate_gives_the_first_reason_of_several, fate_after_a_fault_is_what_its_row_says,
               fate_of_what_is_unknown_is_the_end);
}
