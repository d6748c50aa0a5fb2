/* Clients of every habit: short, kept, uploading, going away. Each response must carry its request's number,
 * in its head and in every byte. Prints what was wrong, and at the end a line of figures. */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define PATIENCE_MS  120000
#define LEAVE_WITHIN 500
/* Carpool's default keepAliveTimeout and its buffer: where a new request meets the end of an idle
 * connection. */
#define BOUNDARY_MS 6000

/* One client.
 *
 *   PAUSING --its pause is over--> ASKING --answered, lost, or left--> PAUSING
 *      \---the time is over--> GONE
 */
struct client {
    struct watch watch;
    struct wait wait; /* PAUSING: the pause; ASKING: when it leaves, or its patience ends */
    struct numbered response;
    struct writer request;
    enum { PAUSING, ASKING, GONE } state;
    unsigned index, left; /* requests that this connection will still carry */
    bool used;            /* this connection has carried a response */
    bool repeated;        /* this request was sent before */
    enum { STAY, LEAVE_AT_ONCE, LEAVE_LATER } leaving;
    uint64_t number, size;
    const char *kind;
    char host[32];
};

struct options {
    unsigned count, hosts, pause_ms;
    double seconds;
    struct sockaddr_in proxy;
    unsigned origin_port;
};

static struct options options;
static struct client *clients;
static unsigned present;
static struct {
    uint64_t sent, whole, bytes, aborted, terminated, repeated, opened, serial;
} total;

static void begin(struct load *l, struct client *c);
static void on_client(struct load *l, struct watch *w, uint32_t events);

/* ---- Habits */

struct weight {
    uint64_t value;
    unsigned weight;
};

static uint64_t choose(struct load *l, const struct weight *w)
{
    uint64_t sum = 0, at;

    for (unsigned i = 0; w[i].weight; i++)
        sum += w[i].weight;
    at = load_dice(l, sum);
    while (at >= w->weight)
        at -= w++->weight;
    return w->value;
}

static const char *const kinds[] = {"length", "chunked", "close", "stale", "upload", "upload"};
static const struct weight kind_weights[] = {{0, 40}, {1, 25}, {2, 5}, {3, 10}, {4, 12}, {5, 8}, {0, 0}};
static const struct weight sizes[] = {{0, 500},     {1, 500},      {100, 5000},   {2000, 2500},  {20000, 800},
                                      {70000, 500}, {300000, 100}, {1 << 20, 50}, {10000000, 2}, {0, 0}};
static const struct weight stays[] = {{1, 60}, {2, 20}, {5, 15}, {50, 5}, {0, 0}};

static uint64_t pause_of(struct load *l, const struct client *c)
{
    if (c->watch.fd >= 0 && load_dice(l, 20) == 0)
        return BOUNDARY_MS - 30 + load_dice(l, 50);
    return load_dice(l, 2 * (uint64_t)options.pause_ms + 1);
}

/* ---- Connections */

static void hang_up(struct client *c)
{
    if (c->watch.fd >= 0)
        close(c->watch.fd);
    c->watch.fd = -1;
    c->used = false;
}

/* From an address of its own: the ports of one are too few. False: errno says why. */
static bool connect_anew(struct load *l, struct client *c)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    from.sin_addr.s_addr = htonl(0x7f580000 + (c->index / 200 % 200 << 8) + c->index % 200 + 1);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->watch = (struct watch){fd, on_client};
    c->left = (unsigned)choose(l, stays);
    total.opened++;
    if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        (connect(fd, (struct sockaddr *)&options.proxy, sizeof options.proxy) != 0 && errno != EINPROGRESS)) {
        hang_up(c);
        return false;
    }
    loop_watch(&l->loop, &c->watch);
    return true;
}

/* Most connect before they have something to ask. */
static void pause_now(struct load *l, struct client *c)
{
    uint64_t ms = l->over ? 0 : pause_of(l, c);

    writer_end(&c->request);
    c->state = PAUSING;
    load_wait(l, &c->wait, ms);
    if (c->watch.fd < 0 && !l->over && load_dice(l, 10))
        connect_anew(l, c);
}

static void give_up(struct load *l, struct client *c, const char *what, long long figure)
{
    load_wrong(l, "%s %llu of %llu bytes, %s connection: %s (%lld)", c->kind, (unsigned long long)c->number,
               (unsigned long long)c->size, c->used ? "kept" : "new", what, figure);
    hang_up(c);
    pause_now(l, c);
}

static void leave(struct load *l, struct client *c)
{
    total.aborted++;
    if (load_dice(l, 2))
        setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    hang_up(c);
    pause_now(l, c);
}

/* ---- Requests */

static void push(struct client *c)
{
    /* Whether it failed is seen by what can be read: an answer may have come first. */
    writer_push(&c->request, c->watch.fd);
}

/* As clients do before they use a connection again: its end may have come already. */
static void drop_ended(struct client *c)
{
    char byte;

    if (c->watch.fd >= 0 && recv(c->watch.fd, &byte, 1, MSG_PEEK) == 0)
        hang_up(c);
}

static void ask(struct load *l, struct client *c)
{
    char head[512], framing[64] = "";
    bool upload = strcmp(c->kind, "upload") == 0, chunked = upload && c->number % 5 < 2;

    if (c->watch.fd < 0 && !connect_anew(l, c)) {
        give_up(l, c, "no connection", errno);
        return;
    }
    if (chunked)
        snprintf(framing, sizeof framing, "Transfer-Encoding: chunked\r\n");
    else if (upload)
        snprintf(framing, sizeof framing, "Content-Length: %llu\r\n", (unsigned long long)c->size);
    snprintf(head, sizeof head, "%s http://%s:%u/%s/%llu/%llu HTTP/1.1\r\nHost: %s\r\nX-Id: %llu\r\n%s\r\n",
             upload ? "POST" : "GET", c->host, options.origin_port, c->kind, (unsigned long long)c->number,
             (unsigned long long)c->size, c->host, (unsigned long long)c->number, framing);
    total.sent++;
    c->state = ASKING;
    numbered_response(&c->response);
    writer_begin(&c->request, c->number, upload ? c->size : 0, chunked, head);
    load_wait(l, &c->wait, c->leaving == LEAVE_LATER ? LEAVE_WITHIN : PATIENCE_MS);
    push(c);
    if (c->leaving == LEAVE_AT_ONCE)
        leave(l, c);
}

static void begin(struct load *l, struct client *c)
{
    if (l->over) {
        hang_up(c);
        c->state = GONE;
        present--;
        return;
    }
    drop_ended(c);
    c->number = ++total.serial;
    c->size = choose(l, sizes);
    c->kind = kinds[choose(l, kind_weights)];
    c->repeated = false;
    c->leaving = load_dice(l, 100) < 97 ? STAY : load_dice(l, 2) ? LEAVE_AT_ONCE : LEAVE_LATER;
    if (load_dice(l, 3) == 0)
        snprintf(c->host, sizeof c->host, "multi.test");
    else if (load_dice(l, 10) == 0)
        snprintf(c->host, sizeof c->host, "h%u.many.test", (unsigned)load_dice(l, options.hosts));
    else
        snprintf(c->host, sizeof c->host, "soak.test");
    ask(l, c);
}

static void on_wait(struct load *l, struct wait *w)
{
    struct client *c = (struct client *)((char *)w - offsetof(struct client, wait));

    if (c->state == PAUSING)
        begin(l, c);
    else if (c->leaving == LEAVE_LATER)
        leave(l, c);
    else
        give_up(l, c, "no answer in time", PATIENCE_MS);
}

/* ---- Responses */

static void answered(struct load *l, struct client *c)
{
    const struct numbered *r = &c->response;
    const struct message *m = &r->message;
    bool upload = strcmp(c->kind, "upload") == 0;

    if (m->status == 502 && upload && r->terminated && strcmp(c->host, "multi.test") != 0) {
        total.terminated++; /* it met a stale socket, and is never repeated (contract 5.6); HTTP/2 says
                             * GOAWAY */
    } else if (m->status != 200) {
        give_up(l, c, "a status other than 200", m->status);
        return;
    } else if (r->id != c->number) {
        give_up(l, c, "another one's response", (long long)r->id);
        return;
    } else if (m->content != (upload ? 100 : c->size)) {
        give_up(l, c, "content of another length", (long long)m->content);
        return;
    } else {
        total.whole++;
        total.bytes += m->content;
    }
    c->used = true;
    if (m->close || --c->left == 0)
        hang_up(c);
    pause_now(l, c);
}

/* RFC 9112 9.3.1: a connection that was idle may end when a request is on its way; it is sent once more. */
static void ended(struct load *l, struct client *c, int error)
{
    if (c->state == PAUSING) {
        hang_up(c);
    } else if (c->used && !c->response.message.begun && !c->repeated) {
        total.repeated++;
        c->repeated = true;
        hang_up(c);
        ask(l, c);
    } else {
        give_up(l, c, c->response.message.begun ? "cut within the response" : "closed without an answer",
                error);
    }
}

static void take(struct load *l, struct client *c)
{
    int fd = c->watch.fd;

    while (c->watch.fd == fd) {
        ssize_t n = recv(fd, l->buffer, sizeof l->buffer, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            ended(l, c, n ? errno : 0);
            return;
        }
        if (c->state == PAUSING) {
            give_up(l, c, "bytes that nobody asked for", n);
            return;
        }
        if (c->leaving == LEAVE_LATER) {
            leave(l, c);
            return;
        }
        ssize_t used = message_feed(&c->response.message, l->buffer, (size_t)n);
        if (used != n) {
            give_up(l, c, used < 0 ? c->response.message.error : "more than the response", n - used);
            return;
        }
        if (c->response.message.state == MESSAGE_DONE) {
            answered(l, c);
            if (c->state != PAUSING)
                return;
        }
    }
}

static void on_client(struct load *l, struct watch *w, uint32_t events)
{
    struct client *c = (struct client *)w;

    if ((events & EPOLLOUT) && c->state == ASKING)
        push(c);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        take(l, c);
}

/* ---- The whole */

static bool parse(struct load *l, int argc, char **argv)
{
    static const struct option table[] = {
        {"proxy", 1, 0, 'p'}, {"origin", 1, 0, 'o'},  {"clients", 1, 0, 'c'}, {"hosts", 1, 0, 'h'},
        {"pause", 1, 0, 'w'}, {"seconds", 1, 0, 's'}, {"seed", 1, 0, 'S'},    {0}};
    unsigned port = 0;

    for (int key; (key = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (key) {
        case 'p': port = (unsigned)atoi(optarg); break;
        case 'o': options.origin_port = (unsigned)atoi(optarg); break;
        case 'c': options.count = (unsigned)atoi(optarg); break;
        case 'h': options.hosts = (unsigned)atoi(optarg); break;
        case 'w': options.pause_ms = (unsigned)atoi(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 'S': l->dice = strtoull(optarg, NULL, 10) * 2 + 1; break;
        default: return false;
        }
    }
    options.proxy = loopback(port);
    return port && options.origin_port && options.count && options.hosts;
}

static void report(const struct load *l)
{
    printf("{\"sent\": %llu, \"whole\": %llu, \"bytes\": %llu, \"aborted\": %llu, \"terminated\": %llu, "
           "\"repeated\": %llu, \"opened\": %llu, \"wrong\": %u}\n",
           (unsigned long long)total.sent, (unsigned long long)total.whole, (unsigned long long)total.bytes,
           (unsigned long long)total.aborted, (unsigned long long)total.terminated,
           (unsigned long long)total.repeated, (unsigned long long)total.opened, l->wrong_count);
}

/* The time is over: whoever waits for an answer gets it, nobody begins anything. */
static void end(struct load *l)
{
    l->over = true;
    for (unsigned i = 0; i < options.count; i++)
        if (clients[i].state == PAUSING) {
            load_wait_not(l, &clients[i].wait);
            begin(l, &clients[i]);
        }
}

int clients_main(struct load *l, int argc, char **argv)
{
    if (!parse(l, argc, argv) || !(clients = calloc(options.count, sizeof *clients)))
        return 2;
    uint64_t end_ms = load_now_ms(l) + (uint64_t)(options.seconds * 1000);
    present = options.count;
    for (unsigned i = 0; i < options.count; i++) {
        struct client *c = &clients[i];
        c->watch.fd = -1;
        c->index = i;
        c->wait.over = on_wait;
        c->state = PAUSING;
        load_wait(l, &c->wait, load_dice(l, 2 * (uint64_t)options.pause_ms + 1));
    }
    while (present > 0) {
        load_turn(l);
        if (!l->over && load_now_ms(l) >= end_ms)
            end(l);
    }
    report(l);
    return 0;
}
