/* What a reload changes for what is open, runs or waits already. */

#include "proxy_talk.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct proxy_rig rig;

static int begin(int client, const char *request, unsigned nth)
{
    say(&rig, client, request);
    return origin_end(&rig, nth);
}

#define FOR_OTHERS "access: {clients: [10.0.0.0/8]}\n"

START_TEST(a_right_that_was_taken_away_ends_at_the_next_request)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    proxy_rig_configure(&rig, "", FOR_OTHERS);
    say(&rig, client, A_GET);
    hears_nothing(origin);
    hears(client, "403");
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(what_ran_before_a_right_was_taken_away_is_finished)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET A_GET, 0);
    heard(origin);
    proxy_rig_configure(&rig, "", FOR_OTHERS);
    say(&rig, origin, AN_OK);
    hears_nothing(origin);
    const char *answers = heard(client);
    ck_assert_ptr_nonnull(strstr(answers, "200 OK"));
    ck_assert_ptr_nonnull(strstr(answers, "403"));
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(a_right_that_is_given_holds_for_who_is_connected)
{
    int client, origin;

    proxy_rig_open(&rig, "", FOR_OTHERS);
    client = proxy_rig_client(&rig);
    proxy_rig_configure(&rig, "", "");
    origin = begin(client, A_GET, 0);
    hears(origin, "GET /");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

#define LONG "X: 34567890123456789012345678901234567890123456789012345678901234567890\r\n"
#define LONGER LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG

/* What was read by a higher limit is beyond the lower one. */
START_TEST(heads_that_are_half_read_are_judged_by_the_new_limit)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    say(&rig, client, "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n" LONGER "X: and");
    proxy_rig_configure(&rig, "", "server: {maxHeaderSize: 1KiB}\n");
    say(&rig, client, "more\r\n\r\n");
    hears(client, "HTTP/1.1 431 ");
    close(client);
    proxy_rig_configure(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    say(&rig, origin, "HTTP/1.1 200 OK\r\n" LONGER "X: and");
    proxy_rig_configure(&rig, "", "server: {maxHeaderSize: 1KiB}\n");
    say(&rig, origin, "more\r\n\r\n");
    hears(client, "http_response_header_section_size");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

void proxy_reload_tests(Suite *suite)
{
    unit_group(suite, "reload", a_right_that_was_taken_away_ends_at_the_next_request,
               what_ran_before_a_right_was_taken_away_is_finished,
               a_right_that_is_given_holds_for_who_is_connected,
               heads_that_are_half_read_are_judged_by_the_new_limit);
}
