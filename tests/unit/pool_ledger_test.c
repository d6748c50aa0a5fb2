/* Why connections are opened. The random walk (pool_random_test.c) holds the sums. */

#include "pool_test.h"

#include "pool/ledger.h"

static enum opened_for opened(struct ledger *l, uint64_t established)
{
    return ledger_opened(l, established, OPENED_FOR_CONCURRENCY);
}

START_TEST(words_are_those_of_the_contract)
{
    ck_assert_str_eq(opened_for_word(OPENED_FOR_SPARE), "warm");
    ck_assert_str_eq(opened_for_word(OPENED_FOR_FIRST), "first");
    ck_assert_str_eq(opened_for_word(OPENED_FOR_CONCURRENCY), "concurrency");
    ck_assert_str_eq(opened_for_word(OPENED_FOR_RETRY), "retry");
    for (unsigned r = 1; r < RETIRE_COUNT; r++)
        ck_assert_str_eq(opened_for_word(OPENED_FOR_REPLACED + r), retire_word((enum retire_reason)r));
}
END_TEST

START_TEST(the_last_one_retired_is_replaced_first)
{
    struct ledger l = {0};

    ck_assert_int_eq(opened(&l, 1), OPENED_FOR_FIRST);
    ck_assert_int_eq(opened(&l, 2), OPENED_FOR_CONCURRENCY);
    ck_assert_int_eq(opened(&l, 3), OPENED_FOR_CONCURRENCY);
    ledger_retired(&l, RETIRE_FREE_TIMEOUT);
    ledger_retired(&l, RETIRE_PEER_CLOSED);
    ck_assert_int_eq(opened(&l, 4), OPENED_FOR_REPLACED + RETIRE_PEER_CLOSED);
    ledger_retired(&l, RETIRE_MAX_AGE);
    ck_assert_int_eq(opened(&l, 5), OPENED_FOR_REPLACED + RETIRE_MAX_AGE);
    ck_assert_int_eq(opened(&l, 6), OPENED_FOR_REPLACED + RETIRE_FREE_TIMEOUT);
    ck_assert_int_eq(opened(&l, 7), OPENED_FOR_CONCURRENCY);
    ledger_free(&l);
}
END_TEST

/* What was opened for another reason stands in for one that was retired, too. */
START_TEST(spares_and_repeats_replace_under_their_own_name)
{
    struct ledger l = {0};

    ck_assert_int_eq(ledger_opened(&l, 1, OPENED_FOR_SPARE), OPENED_FOR_SPARE);
    ledger_retired(&l, RETIRE_ERROR);
    ck_assert_int_eq(ledger_opened(&l, 2, OPENED_FOR_RETRY), OPENED_FOR_RETRY);
    ck_assert_int_eq(opened(&l, 3), OPENED_FOR_CONCURRENCY);
    ledger_retired(&l, RETIRE_FREE_TIMEOUT);
    ck_assert_int_eq(ledger_opened(&l, 4, OPENED_FOR_SPARE), OPENED_FOR_SPARE);
    ck_assert_int_eq(opened(&l, 5), OPENED_FOR_CONCURRENCY);
    ledger_free(&l);
}
END_TEST

START_TEST(many_are_remembered)
{
    struct ledger l = {0};
    const unsigned many = 5000;

    for (unsigned i = 0; i < many; i++)
        ledger_retired(&l, (enum retire_reason)(1 + i % (RETIRE_COUNT - 1)));
    for (unsigned i = many; i-- > 0;)
        ck_assert_int_eq(opened(&l, many), OPENED_FOR_REPLACED + 1 + i % (RETIRE_COUNT - 1));
    ck_assert_int_eq(opened(&l, many), OPENED_FOR_CONCURRENCY);
    ledger_free(&l);
}
END_TEST

START_TEST(requests_open_for_a_reason)
{
    struct origin *o = open_rig("keepAlive: false");
    struct asker a = {0}, b = {0};

    asker_get(&a, &rig, o);
    ck_assert_int_eq(a.socket->opened_for, OPENED_FOR_FIRST);
    asker_get(&b, &rig, o);
    ck_assert_int_eq(b.socket->opened_for, OPENED_FOR_CONCURRENCY);
    asker_release(&a);
    asker_get(&a, &rig, o);
    ck_assert_int_eq(a.socket->opened_for, OPENED_FOR_REPLACED + RETIRE_KEEPALIVE_OFF);
    ck_assert_uint_eq(o->stats.opened_for[OPENED_FOR_REPLACED + RETIRE_KEEPALIVE_OFF], 1);
    socket_retire(b.socket, RETIRE_ERROR);
    ck_assert_int_eq(asker_ask(&b, o, ACQUIRE_OWN_CONNECTION), ACQUIRE_WAITS);
    for (unsigned i = 0; i < 1000 && !b.socket; i++)
        pool_rig_run(&rig, 1);
    ck_assert_int_eq(b.socket->opened_for, OPENED_FOR_RETRY);
    asker_release(&a);
    asker_release(&b);
    pool_rig_close(&rig);
}
END_TEST

/* Whoever takes a spare: it was opened to be one. */
START_TEST(spares_are_warm)
{
    struct origin *o = open_rig("minFreeSockets: 2");
    struct asker a = {0};

    asker_get(&a, &rig, o);
    for (unsigned i = 0; i < 1000 && o->free_count < 2; i++)
        pool_rig_run(&rig, 1);
    ck_assert_uint_eq(o->stats.opened_for[OPENED_FOR_SPARE] + o->stats.opened_for[OPENED_FOR_FIRST],
                      o->stats.opened);
    ck_assert_uint_ge(o->stats.opened_for[OPENED_FOR_SPARE], 2);
    asker_release(&a);
    pool_rig_close(&rig);
}
END_TEST

START_TEST(what_fails_to_connect_has_no_reason)
{
    struct origin *o = open_rig("");
    struct asker a = {0};

    pool_rig_listen(&rig, false);
    asker_ask(&a, o, ACQUIRE_NEW);
    for (unsigned i = 0; i < 1000 && a.waits; i++)
        pool_rig_run(&rig, 1);
    ck_assert_uint_eq(o->stats.retired[RETIRE_CONNECT_FAILED], 1);
    pool_rig_listen(&rig, true);
    asker_get(&a, &rig, o);
    ck_assert_int_eq(a.socket->opened_for, OPENED_FOR_FIRST);
    asker_release(&a);
    pool_rig_close(&rig);
}
END_TEST

void pool_ledger_tests(Suite *suite)
{
    unit_group(suite, "ledger", words_are_those_of_the_contract, the_last_one_retired_is_replaced_first,
               spares_and_repeats_replace_under_their_own_name, many_are_remembered,
               requests_open_for_a_reason, spares_are_warm, what_fails_to_connect_has_no_reason);
}
