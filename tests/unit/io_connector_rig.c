#include "io_connector_rig.h"

#include <signal.h>
#include <unistd.h>

static const struct dns_name names[] = {
    {.name = "one.test", .a = {"127.0.0.1"}, .ttl = 60},
    {.name = "two.test", .a = {"127.0.0.3", "127.0.0.2"}, .ttl = 60},
    {.name = "v6.test", .aaaa = {"::1"}, .ttl = 60},
    {.name = "denied.test", .a = {"127.0.0.66"}, .ttl = 60},
    {.name = "mixed.test", .a = {"127.0.0.66", "127.0.0.1"}, .ttl = 60},
    {.name = "loop.test", .a = {"127.0.0.67"}, .ttl = 60},
    {.name = "dead.test", .a = {"127.0.0.9", "127.0.0.67"}, .ttl = 60},
    {.name = "bad.test", .a = {"127.0.0.66", "127.0.0.9"}, .ttl = 60},
    {.name = "silent.test", .silent_a = true, .silent_aaaa = true},
    {.name = "empty.test"},
    {0},
};

void on_done(void *ctx, struct connect_result *r)
{
    struct fixture *f = ctx;

    f->result = *r;
    f->calls++;
    f->done = true;
}

static enum connect_error permit(void *ctx, const struct address *a, bool named)
{
    struct fixture *f = ctx;
    char text[ADDRESS_TEXT_SIZE];

    f->named = named;
    address_format_host(a, text);
    if (strcmp(text, "127.0.0.66") == 0)
        return named ? CONNECT_OK : CONNECT_PROHIBITED;
    return strcmp(text, "127.0.0.67") == 0 ? CONNECT_LOOP : CONNECT_OK;
}

struct fixture *set_up(void)
{
    struct fixture *f = calloc(1, sizeof *f);

    signal(SIGPIPE, SIG_IGN);
    f->base = io_loop();
    dns_start(&f->dns, f->base, names);
    f->resolver = dns_resolver(&f->dns, f->base);
    f->plan = (struct connect_plan){
        .family = AF_UNSPEC, .timeout_ms = 2000, .memory = &f->memory, .permit = permit, .permit_ctx = f};
    return f;
}

void tear_down(struct fixture *f)
{
    resolver_free(f->resolver);
    dns_stop(&f->dns);
    event_base_free(f->base);
    free(f);
}

struct connect_result *run(struct fixture *f)
{
    f->done = false;
    f->calls = 0;
    ck_assert_ptr_nonnull(connector_start(f->base, f->resolver, &f->plan, on_done, f));
    ck_assert_msg(!f->done, "the callback came from within the call");
    io_run_until(f->base, &f->done, 5000);
    ck_assert_int_eq(f->calls, 1);
    if (f->result.error == CONNECT_OK)
        ck_assert_str_eq(f->result.text, "");
    else
        ck_assert_str_ne(f->result.text, "");
    ck_assert_int_eq(f->result.error == CONNECT_OK, conn_is_open(&f->result.conn));
    conn_close(&f->result.conn, false);
    return &f->result;
}

struct connect_result *run_to(struct fixture *f, const char *host, uint16_t port)
{
    f->plan.host = host;
    f->plan.port = port;
    return run(f);
}

int listen_at(const char *ip, uint16_t port, int backlog)
{
    struct address a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert(address_from_ip(&a, slice_of(ip), port));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    ck_assert_int_eq(bind(fd, &a.sa.any, a.length), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    return fd;
}

void fill_queue(int listening, int fds[4])
{
    struct address a = {.length = sizeof a.sa};

    getsockname(listening, &a.sa.any, &a.length);
    for (int i = 0; i < 4; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fds[i], &a.sa.any, a.length);
        usleep(2000);
    }
}

const char *peer(const struct connect_result *r)
{
    static char text[ADDRESS_TEXT_SIZE];

    return address_format_host(&r->peer, text);
}
