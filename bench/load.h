#ifndef CARPOOL_BENCH_LOAD_H
#define CARPOOL_BENCH_LOAD_H

/* The load side of a measurement: one epoll loop that plays the clients and, where wanted, the origin as
 * well. Both in one process, since a second one on the same core would take its time from the first. */

#include "../tests/load/loop.h"
#include "../tests/load/message.h"

#define LOAD_MAX_PIDS 64
#define LOAD_BUFFER   (256 * 1024)

struct load;

extern const struct message_kind load_request, load_response;

/* Byte i of any body is pattern_at(i)[0]; at least 64 KiB may be read from there. */
const char *pattern_at(uint64_t i);
void pattern_init(void);

struct origin_socket;

struct origin {
    unsigned listeners, first_port;
    char *answer; /* head and body as they are sent */
    size_t answer_size;
    uint64_t delay_ns; /* between the request's end and the answer */
    struct origin_socket *due_first, *due_last;
    uint64_t opened, open_now, open_most;
    uint64_t worked_ns, works; /* what the delays came to, and how many */
};

enum answer_kind { ANSWER_LENGTH, ANSWER_CHUNKED };

bool origin_compose(struct origin *o, enum answer_kind kind, size_t body_size);
void origin_start(struct load *l);
/* Answers what is due; in how many nanoseconds the next one is, or -1. */
int64_t origin_tick(struct load *l);

struct client;
struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

struct load {
    struct loop loop;
    struct origin origin;
    /* The clients. */
    struct sockaddr_storage proxy;
    socklen_t proxy_size;
    bool keep_alive, wait_for_end;
    const char *host;        /* the name that is asked for */
    char *tunnel;            /* the CONNECT that each connection begins with; NULL: none */
    struct ssl_ctx_st *tls;  /* the clients speak TLS; NULL: they do not */
    bool resume, is_trusted; /* TLS sessions are resumed; the proxy's certificate was verified once */
    bool faithful;           /* a client asks one origin only */
    size_t request_size;     /* of each */
    char **requests;         /* whole, with their bodies: one an origin */
    size_t expected_body;
    unsigned count;
    unsigned check_every; /* of large bodies only each such one is compared; the others are counted */
    struct client *clients;
    uint64_t limit; /* no more than this many requests; UINT64_MAX: until the time is over */
    uint64_t sent, next_origin;
    /* The figures, of the measured time alone. */
    bool measuring;
    uint64_t done, errors, started_ns, ended_ns, total_done;
    uint32_t *latency_us10; /* tenths of a microsecond */
    size_t samples, samples_room;
    char first_error[128];
    unsigned pid_count;
    int pids[LOAD_MAX_PIDS];
    uint64_t cpu_before_ns, cpu_after_ns;
    char buffer[LOAD_BUFFER];
};

/* TLS of a client. `ca` is what the proxy's first certificate is verified by; later ones cost the load's core
 * too much. */
bool tls_init(struct load *l, const char *ca);
struct ssl_st *tls_open(struct load *l, int fd, struct ssl_session_st *session);
/* As send(2) and recv(2); the handshake goes before. */
ssize_t tls_send(struct ssl_st *tls, const void *p, size_t n);
ssize_t tls_recv(struct ssl_st *tls, void *p, size_t n);
/* Ends it without a word; what may be resumed replaces *session where that is wanted. */
void tls_close(struct load *l, struct ssl_st *tls, struct ssl_session_st **session);

bool clients_start(struct load *l);
/* Fewest and most answers that any client got in the measured time. */
void clients_spread(const struct load *l, uint64_t *least, uint64_t *most);
void load_error(struct load *l, const char *what);

#endif
