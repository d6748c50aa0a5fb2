/* lib/proxy: what is pure. Relays, routes and whole exchanges are in files of their own. */

#include "proxy_test.h"

#include <stdio.h>

#include "proxy/close_reason.h"
#include "proxy/reply.h"
#include "proxy/retry.h"
#include "proxy/rewrite.h"

static const struct head_limits limits = {.max_size = 16384, .max_count = 100};

void read_request(struct head *h, const char *text)
{
    size_t scanned = 0, length;

    ck_assert_int_eq(head_scan(slice_of(text), &scanned, &limits, &length), HEAD_OK);
    ck_assert_int_eq(head_parse_request((struct slice){text, length}, &limits, h), HEAD_OK);
}

void read_response(struct head *h, const char *text)
{
    size_t scanned = 0, length;

    ck_assert_int_eq(head_scan(slice_of(text), &scanned, &limits, &length), HEAD_OK);
    ck_assert_int_eq(head_parse_response((struct slice){text, length}, &limits, h), HEAD_OK);
}

/* retry: promise by promise, as tests/behaviour/test_5_6_stale.py */

static enum retry oracle(const struct failed_attempt *a)
{
    bool stale =
        a->reused && a->ended_by_peer; /* "an end of file, a reset or a broken pipe on a reused socket" */
    bool answered = a->response_begun; /* "before any response byte" */
    bool delivered = a->request_begun; /* "any method when no byte of the request was handed to the kernel" */

    if (!stale)
        return RETRY_NO;
    if (answered)
        return RETRY_NO; /* "nothing is after a response byte" */
    if (delivered && !a->idempotent)
        return RETRY_NO; /* "a non-idempotent request of which any byte was handed to the kernel..." */
    if (!a->replayable)
        return RETRY_NO; /* "whose request can be sent again from memory" */
    switch (a->repeats_left) {
    case 0: return RETRY_NO;
    case 1:
        return RETRY_OWN_CONNECTION; /* "the last one that retries allows takes the failed socket's place" */
    default: return RETRY_QUEUE;     /* "a repeat goes to the head of the queue" */
    }
}

START_TEST(retries_by_the_book)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        for (uint32_t repeats = 0; repeats < 4; repeats++) {
            const struct failed_attempt a = {.reused = bits & 1,
                                             .ended_by_peer = bits & 2,
                                             .response_begun = bits & 4,
                                             .request_begun = bits & 8,
                                             .idempotent = bits & 16,
                                             .replayable = bits & 32,
                                             .repeats_left = repeats};
            ck_assert_msg(retry_decide(&a) == oracle(&a), "bits %x, repeats %u", bits, repeats);
        }
    }
}
END_TEST

START_TEST(retries_nothing_unknown)
{
    const struct failed_attempt a = {.repeats_left = 9};

    ck_assert_int_eq(retry_decide(&a), RETRY_NO);
}
END_TEST

START_TEST(retries_what_was_not_processed)
{
    const struct {
        bool response_begun, replayable, routine;
        uint32_t left;
        enum retry retry;
    } rows[] = {
        {false, true, true, 0, RETRY_UNPROCESSED}, {false, true, false, 1, RETRY_UNPROCESSED},
        {false, true, false, 0, RETRY_NO},         {false, false, true, 3, RETRY_NO},
        {true, true, true, 3, RETRY_NO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct failed_attempt a = {
            .unprocessed = true,
            .response_begun = rows[i].response_begun,
            .replayable = rows[i].replayable,
            .routine = rows[i].routine,
            .unprocessed_repeats_left = rows[i].left,
            .request_begun = true,
        };
        ck_assert_msg(retry_decide(&a) == rows[i].retry, "row %zu", i);
    }
}
END_TEST

/* reply */

static struct buffer_pool heads = {.size = BUFFER_HEAD_SIZE};

static const char *written(const struct reply *r)
{
    static char text[BUFFER_HEAD_SIZE + 1];
    struct buffer *b = buffer_borrow(&heads);

    ck_assert(reply_write(&b, r));
    memcpy(text, b->data, b->end);
    text[b->end] = '\0';
    buffer_give(b);
    return text;
}

struct row {
    unsigned status;
    const char *error;
};

/* The rows in their order. */
static const struct row rows[] = {
    {400, "http_request_error"},
    {408, "http_request_error"},
    {414, "http_request_error"},
    {421, "http_request_error"},
    {431, "http_request_error"},
    {502, "proxy_loop_detected"},
    {403, "http_request_denied"},
    {502, "destination_ip_prohibited"},
    {502, "dns_error"},
    {504, "dns_timeout"},
    {502, "connection_refused"},
    {502, "destination_ip_unroutable"},
    {504, "connection_timeout"},
    {502, "tls_protocol_error"},
    {502, "tls_certificate_error"},
    {502, "tls_alert_received"},
    {502, "connection_terminated"},
    {502, "http_protocol_error"},
    {502, "http_response_incomplete"},
    {503, "destination_unavailable"},
    {502, "http_response_header_section_size"},
    {504, "connection_read_timeout"},
    {504, "connection_write_timeout"},
    {504, "http_response_timeout"},
    {503, "connection_limit_reached"},
    {503, "proxy_internal_response"},
    {501, "http_request_error"},
    {505, "http_request_error"},
    {500, "proxy_internal_error"},
    {502, "proxy_internal_error"},
};

#define ROWS (sizeof rows / sizeof rows[0])

START_TEST(faults_are_the_rows_of_the_contract)
{
    for (size_t i = 0; i < ROWS; i++) {
        unsigned found = 0;

        for (unsigned f = FAULT_NONE + 1; f < FAULT_COUNT; f++)
            found += fault_status(f) == rows[i].status && strcmp(fault_error(f), rows[i].error) == 0;
        ck_assert_msg(found > 0, "no fault is %u %s", rows[i].status, rows[i].error);
    }
    for (unsigned f = FAULT_NONE + 1; f < FAULT_COUNT; f++) {
        unsigned found = 0;

        for (size_t i = 0; i < ROWS; i++)
            found += fault_status(f) == rows[i].status && strcmp(fault_error(f), rows[i].error) == 0;
        ck_assert_msg(found == 1, "fault %u, %u %s, stands not in the contract", f, fault_status(f),
                      fault_error(f));
        /* Behind a request that could not be read, nothing can be. */
        ck_assert(strcmp(fault_error(f), "http_request_error") != 0 || fault_closes(f));
    }
}
END_TEST

START_TEST(replies_are_whole_messages)
{
    for (unsigned f = FAULT_NONE + 1; f < FAULT_COUNT; f++) {
        struct reply r = {
            .fault = f, .instance = SLICE("carpool-x"), .text = SLICE("why"), .close = fault_closes(f)};
        const char *text = written(&r);
        char expected[512];
        struct head h;

        read_response(&h, text);
        ck_assert_uint_eq(h.status, fault_status(f));
        snprintf(expected, sizeof expected, "carpool-x; error=%s; details=\"why\"", fault_error(f));
        assert_slice(head_find(&h, FIELD_PROXY_STATUS)->value, expected);
        assert_slice(head_find(&h, FIELD_CONTENT_LENGTH)->value, "4");
        ck_assert(strcmp(strstr(text, "\r\n\r\n") + 4, "why\n") == 0);
        ck_assert((strstr(text, "\r\nRetry-After: 1\r\n") != NULL) == (h.status == 503));
        ck_assert(connection_has(&h, SLICE("close")) == fault_closes(f));
        r.head_only = true;
        ck_assert(strcmp(strstr(written(&r), "\r\n\r\n"), "\r\n\r\n") == 0);
    }
}
END_TEST

START_TEST(replies_escape_what_they_quote)
{
    struct reply r = {
        .fault = FAULT_DENIED, .instance = SLICE("c"), .text = SLICE("a \"b\" \\ \xc3\xa4\x01")};

    ck_assert_ptr_nonnull(strstr(written(&r), "; details=\"a \\\"b\\\" \\\\ ???\"\r\n"));
}
END_TEST

START_TEST(replies_say_what_becomes_of_the_connection)
{
    struct reply r = {
        .status = 200, .instance = SLICE("c"), .details = SLICE("why"), .keep_alive_seconds = 5};

    ck_assert_str_eq(written(&r),
                     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nProxy-Status: c; details=\"why\"\r\n"
                     "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n");
    r.keep_alive_seconds = 0;
    ck_assert_ptr_nonnull(strstr(written(&r), "Connection: keep-alive\r\n\r\n"));
    r.close = true;
    ck_assert_ptr_nonnull(strstr(written(&r), "Connection: close\r\n\r\n"));
    r.date = SLICE("today");
    ck_assert_ptr_nonnull(strstr(written(&r), "HTTP/1.1 200 OK\r\nDate: today\r\n"));
    r = (struct reply){.fault = FAULT_NO_PLACE, .text = SLICE("x"), .fields = SLICE("X-More: 1\r\n")};
    ck_assert_ptr_nonnull(strstr(written(&r), "\r\nX-More: 1\r\n"));
}
END_TEST

START_TEST(replies_that_do_not_fit_say_so)
{
    static char text[BUFFER_HEAD_SIZE];
    struct buffer *b = buffer_borrow(&heads);
    struct reply r = {.fault = FAULT_DENIED, .instance = SLICE("c"), .text = {text, sizeof text}};

    memset(text, 'x', sizeof text);
    ck_assert(!reply_write(&b, &r));
    buffer_give(b);
}
END_TEST

START_TEST(close_words_are_those_of_the_contract)
{
    static const char *const words[] = {
        "client",  "connection-close",     "keepAliveTimeout", "headersTimeout", "requestTimeout",
        "timeout", "maxRequestsPerSocket", "maxConnections",   "bad-request",    "cut",
        "shutdown"};

    ck_assert_uint_eq(CLIENT_CLOSE_COUNT - 1, sizeof words / sizeof words[0]);
    for (unsigned i = 1; i < CLIENT_CLOSE_COUNT; i++)
        ck_assert_str_eq(client_close_word(i), words[i - 1]);
}
END_TEST

/* rewrite */

static struct head head;
static char out_text[64 * 1024];

static const char *forwarded_by(const char *request, const struct outgoing_request *o)
{
    struct buffer *b = buffer_borrow(&heads);

    read_request(&head, request);
    ck_assert(rewrite_request(&b, &head, o));
    memcpy(out_text, b->data, b->end);
    out_text[b->end] = '\0';
    buffer_give(b);
    return out_text;
}

static const char *forwarded(const char *request)
{
    return forwarded_by(request, &(struct outgoing_request){.path = SLICE("/p?q"),
                                                            .authority = SLICE("h:8080"),
                                                            .via_name = SLICE("me")});
}

START_TEST(requests_are_written_anew)
{
    ck_assert_str_eq(
        forwarded("GET http://h:8080/p?q HTTP/1.1\r\nHost: other\r\nA:  b \r\nhost-like: x\r\n\r\n"),
        "GET /p?q HTTP/1.1\r\nHost: h:8080\r\nA: b\r\nhost-like: x\r\nVia: 1.1 me\r\n");
    /* From HTTP/1.0: our own version, its in Via; an expectation means nothing there. */
    ck_assert_str_eq(
        forwarded("GET http://h:8080/p?q HTTP/1.0\r\nExpect: 100-continue\r\nVia: 1.0 a, 1.1 b\r\n\r\n"),
        "GET /p?q HTTP/1.1\r\nHost: h:8080\r\nVia: 1.0 a, 1.1 b\r\nVia: 1.0 me\r\n");
}
END_TEST

START_TEST(hop_by_hop_fields_stay_in_requests)
{
    ck_assert_str_eq(
        forwarded("POST http://h/ HTTP/1.1\r\nHost: h\r\nConnection: X-Secret, close\r\nx-secret: 1\r\n"
                  "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers, gzip\r\n"
                  "Transfer-Encoding: chunked\r\nUpgrade: websocket\r\nProxy-Authorization: Basic x\r\n"
                  "HTTP2-Settings: x\r\nTrailer: Digest\r\nExpect: 100-continue\r\nX-Kept: 1\r\n\r\n"),
        "POST /p?q HTTP/1.1\r\nHost: h:8080\r\nTrailer: Digest\r\nExpect: 100-continue\r\nX-Kept: 1\r\n"
        "Via: 1.1 me\r\n");
}
END_TEST

START_TEST(request_framing_is_written_anew)
{
    struct outgoing_request o = {.path = SLICE("/"), .authority = SLICE("h"), .via_name = SLICE("me")};
    const char *request = "PUT http://h/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n";

    o.framing = (struct framing){.kind = BODY_LENGTH, .length = 5};
    ck_assert_str_eq(forwarded_by(request, &o),
                     "PUT / HTTP/1.1\r\nHost: h\r\nVia: 1.1 me\r\nContent-Length: 5\r\n");
    o.framing = (struct framing){.kind = BODY_LENGTH, .length = INT64_MAX};
    ck_assert_ptr_nonnull(strstr(forwarded_by(request, &o), "\r\nContent-Length: 9223372036854775807\r\n"));
    o.framing = (struct framing){.kind = BODY_LENGTH, .length = 0};
    ck_assert_ptr_nonnull(strstr(forwarded_by(request, &o), "\r\nContent-Length: 0\r\n"));
    o.framing = (struct framing){.kind = BODY_CHUNKED};
    ck_assert_str_eq(forwarded_by(request, &o),
                     "PUT / HTTP/1.1\r\nHost: h\r\nVia: 1.1 me\r\nTransfer-Encoding: chunked\r\n");
}
END_TEST

START_TEST(targets_get_their_slash)
{
    struct outgoing_request o = {.authority = SLICE("h"), .via_name = SLICE("me")};

    ck_assert_ptr_eq(strstr(forwarded_by("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", &o), "GET / HTTP/1.1"),
                     out_text);
    ck_assert_ptr_eq(
        strstr(forwarded_by("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n", &o), "OPTIONS * HTTP/1.1"),
        out_text);
    o.path = SLICE("?a");
    ck_assert_ptr_eq(
        strstr(forwarded_by("OPTIONS http://h?a HTTP/1.1\r\nHost: h\r\n\r\n", &o), "OPTIONS /?a HTTP/1.1"),
        out_text);
}
END_TEST

START_TEST(max_forwards_counts_down)
{
    ck_assert_ptr_nonnull(strstr(forwarded("TRACE http://h/ HTTP/1.1\r\nHost: h\r\nMax-Forwards: 7\r\n\r\n"),
                                 "\r\nMax-Forwards: 6\r\n"));
    ck_assert_ptr_nonnull(
        strstr(forwarded("OPTIONS http://h/ HTTP/1.1\r\nHost: h\r\nMax-Forwards: 1\r\n\r\n"),
               "\r\nMax-Forwards: 0\r\n"));
    ck_assert_ptr_nonnull(strstr(forwarded("GET http://h/ HTTP/1.1\r\nHost: h\r\nMax-Forwards: 7\r\n\r\n"),
                                 "\r\nMax-Forwards: 7\r\n"));
    ck_assert_ptr_nonnull(strstr(forwarded("TRACE http://h/ HTTP/1.1\r\nHost: h\r\nMax-Forwards: x\r\n\r\n"),
                                 "\r\nMax-Forwards: x\r\n"));
}
END_TEST

/* Each comma gets a space. */
START_TEST(long_lists_of_protocols_have_room)
{
    char request[8192] = "GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: a";
    size_t n = strlen(request), begin = n;

    for (; n < 8000; n += 2)
        memcpy(request + n, ",b", 2);
    memcpy(request + n, "\r\n\r\n", 5);
    ck_assert_uint_gt(strlen(forwarded_by(request, &(struct outgoing_request){.upgrade = true})),
                      (n - begin) / 2 * 3);
}
END_TEST

static const char *answered(const char *response, const struct outgoing_response *o)
{
    struct buffer *b = buffer_borrow(&heads);

    read_response(&head, response);
    ck_assert(rewrite_response(&b, &head, o));
    memcpy(out_text, b->data, b->end);
    out_text[b->end] = '\0';
    buffer_give(b);
    return out_text;
}

START_TEST(responses_are_written_anew)
{
    struct outgoing_response o = {
        .via_name = SLICE("me"), .framing = {.kind = BODY_LENGTH, .length = 3}, .keep_alive_seconds = 5};
    const char *response =
        "HTTP/1.0 200 Fine thanks\r\nContent-Length: 3\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
        "Keep-Alive: timeout=99\r\nProxy-Authenticate: Basic\r\nUpgrade: h2\r\nX-Kept: 1\r\n\r\n";

    ck_assert_str_eq(answered(response, &o),
                     "HTTP/1.1 200 Fine thanks\r\nX-Kept: 1\r\nVia: 1.0 me\r\nContent-Length: 3\r\n"
                     "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n");
    o.close = true;
    o.chunked = true;
    o.framing.kind = BODY_CLOSE;
    ck_assert_str_eq(answered(response, &o), "HTTP/1.1 200 Fine thanks\r\nX-Kept: 1\r\nVia: 1.0 me\r\n"
                                             "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    o.chunked = false;
    ck_assert_ptr_null(strstr(answered(response, &o), "Content-Length"));
}
END_TEST

/* RFC 9110 6.6.1 */
START_TEST(responses_get_the_date_that_they_lack)
{
    struct outgoing_response o = {
        .via_name = SLICE("me"), .framing = {.kind = BODY_LENGTH}, .close = true, .date = SLICE("today")};

    ck_assert_str_eq(answered("HTTP/1.1 200 OK\r\nX-Date: 1\r\n\r\n", &o),
                     "HTTP/1.1 200 OK\r\nX-Date: 1\r\nDate: today\r\nVia: 1.1 me\r\nContent-Length: 0\r\n"
                     "Connection: close\r\n\r\n");
    ck_assert_ptr_null(strstr(answered("HTTP/1.1 200 OK\r\ndate: then\r\n\r\n", &o), "today"));
    o.interim = true;
    ck_assert_ptr_null(strstr(answered("HTTP/1.1 103 Early Hints\r\n\r\n", &o), "today"));
}
END_TEST

START_TEST(bodiless_responses_keep_their_length)
{
    struct outgoing_response o = {
        .via_name = SLICE("me"), .framing = {.kind = BODY_NONE, .length = 7}, .bodiless = true};

    ck_assert_ptr_nonnull(strstr(answered("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", &o),
                                 "Content-Length: 7\r\n"));
    ck_assert_ptr_null(strstr(answered("HTTP/1.1 304 Not Modified\r\nA: b\r\n\r\n", &o), "Content-Length"));
    ck_assert_ptr_null(
        strstr(answered("HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", &o), "Content-Length"));
}
END_TEST

START_TEST(interim_and_switching_responses)
{
    struct outgoing_response o = {.via_name = SLICE("me"), .interim = true};

    ck_assert_str_eq(answered("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: close\r\n\r\n", &o),
                     "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nVia: 1.1 me\r\n\r\n");
    o = (struct outgoing_response){.via_name = SLICE("me"), .upgrade = true};
    ck_assert_str_eq(
        answered("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", &o),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nVia: 1.1 me\r\nConnection: Upgrade\r\n\r\n");
    o = (struct outgoing_response){.via_name = SLICE("me"), .framing = {.kind = BODY_LENGTH}};
    ck_assert_str_eq(
        answered(
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
            &o),
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nVia: 1.1 me\r\nContent-Length: 0\r\n"
        "Connection: keep-alive, Upgrade\r\n\r\n");
}
END_TEST

/* A head larger than the buffer that it is written to. */
START_TEST(large_heads_get_larger_buffers)
{
    static char request[16000];
    size_t n = (size_t)sprintf(request, "GET http://h/ HTTP/1.1\r\nHost: h\r\n");

    for (unsigned i = 0; i < 90; i++)
        n += (size_t)sprintf(request + n, "X-Field-%02u: %0140u\r\n", i, i);
    sprintf(request + n, "\r\n");
    const char *text = forwarded(request);
    ck_assert_uint_gt(strlen(text), BUFFER_HEAD_SIZE * 2);
    ck_assert_ptr_nonnull(strstr(text, "\r\nX-Field-89: 0"));
    ck_assert_uint_eq(heads.lent, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proxy");

    http_init();
    unit_group(suite, "retry", retries_by_the_book, retries_nothing_unknown, retries_what_was_not_processed);
    unit_group(suite, "reply", faults_are_the_rows_of_the_contract, replies_are_whole_messages,
               replies_escape_what_they_quote, replies_say_what_becomes_of_the_connection,
               replies_that_do_not_fit_say_so, close_words_are_those_of_the_contract);
    unit_group(suite, "rewrite", requests_are_written_anew, hop_by_hop_fields_stay_in_requests,
               request_framing_is_written_anew, targets_get_their_slash, max_forwards_counts_down,
               long_lists_of_protocols_have_room, responses_are_written_anew,
               responses_get_the_date_that_they_lack, bodiless_responses_keep_their_length,
               interim_and_switching_responses, large_heads_get_larger_buffers);
    proxy_fate_tests(suite);
    proxy_access_tests(suite);
    proxy_caller_tests(suite);
    proxy_own_urls_tests(suite);
    proxy_splice_tests(suite);
    proxy_route_tests(suite);
    proxy_exchange_tests(suite);
    proxy_trouble_tests(suite);
    proxy_memory_tests(suite);
    proxy_blocked_tests(suite);
    proxy_low_water_tests(suite);
    proxy_gone_tests(suite);
    proxy_stale_tests(suite);
    proxy_private_tests(suite);
    proxy_reload_tests(suite);
    proxy_secure_tests(suite);
    proxy_beside_tests(suite);
    proxy_tunnel_tests(suite);
    return unit_run(suite);
}
