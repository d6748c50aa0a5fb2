/* bench/load: see load.h. Prints one line of JSON. */

#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct options {
    double warm, seconds;
    const char *proxy, *method, *path, *pids, *origin_host, *ca;
    bool chunked, own_origin, absolute, unsaid, sizes, tls, tunnel;
    size_t body, upload;
};

void load_error(struct load *l, const char *what)
{
    if (l->errors++ == 0)
        snprintf(l->first_error, sizeof l->first_error, "%s", what);
}

/* User and system time of the processes, all their threads and those that ended; in nanoseconds. */
static uint64_t cpu_ns(const struct load *l)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < l->pid_count; i++) {
        struct timespec t;
        clockid_t clock;
        if (clock_getcpuclockid(l->pids[i], &clock) == 0 && clock_gettime(clock, &t) == 0)
            sum += (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
    }
    return sum;
}

static void parse_address(struct load *l, const char *text)
{
    if (strncmp(text, "unix:", 5) == 0) {
        struct sockaddr_un *u = (struct sockaddr_un *)&l->proxy;
        u->sun_family = AF_UNIX;
        snprintf(u->sun_path, sizeof u->sun_path, "%s", text + 5);
        l->proxy_size = sizeof *u;
        return;
    }
    *(struct sockaddr_in *)&l->proxy = loopback((unsigned)atoi(text));
    l->proxy_size = sizeof(struct sockaddr_in);
}

static void parse_pids(struct load *l, const char *text)
{
    for (char *end; *text && l->pid_count < LOAD_MAX_PIDS; text = *end ? end + 1 : end)
        l->pids[l->pid_count++] = (int)strtol(text, &end, 10);
}

static char *compose_request(const struct load *l, const struct options *o, unsigned port)
{
    char *request = malloc(1024 + o->upload), *p = request;

    if (!request)
        exit(1);
    p += o->absolute ? sprintf(p, "%s http://%s:%u%s HTTP/1.1\r\n", o->method, o->origin_host, port, o->path)
                     : sprintf(p, "%s %s HTTP/1.1\r\n", o->method, o->path);
    p += sprintf(p, "Host: %s:%u\r\nUser-Agent: load/1\r\nAccept: */*\r\n", o->origin_host, port);
    if (l->wait_for_end && !l->keep_alive && !o->unsaid)
        p += sprintf(p, "Connection: close\r\n");
    if (o->upload)
        p += sprintf(p, "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n", o->upload);
    p += sprintf(p, "\r\n");
    for (size_t at = 0; at < o->upload; at += 65536) {
        size_t step = o->upload - at < 65536 ? o->upload - at : 65536;
        memcpy(p, pattern_at(at), step);
        p += step;
    }
    *p = '\0';
    return request;
}

static char *compose_tunnel(const struct load *l, const struct options *o)
{
    char *text = NULL;

    if (asprintf(&text, "CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\n\r\n", o->origin_host, l->origin.first_port,
                 o->origin_host, l->origin.first_port) < 0)
        exit(1);
    return text;
}

static void run_until(struct load *l, uint64_t end_ns)
{
    while (l->loop.now_ns < end_ns && l->total_done + l->errors < l->limit && l->errors < 1000) {
        int64_t wait = origin_tick(l), left = (int64_t)(end_ns - l->loop.now_ns);
        if (wait < 0 || wait > left)
            wait = left;
        loop_turn(l, wait);
        l->loop.now_ns = loop_clock();
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double percentile(const struct load *l, double share)
{
    return l->samples ? l->latency_us10[(size_t)((double)(l->samples - 1) * share)] / 10.0 : 0;
}

static void report(struct load *l)
{
    double seconds = (double)(l->ended_ns - l->started_ns) / 1e9;
    double cpu = (double)(l->cpu_after_ns - l->cpu_before_ns) / 1e3;
    uint64_t least, most;

    clients_spread(l, &least, &most);
    qsort(l->latency_us10, l->samples, sizeof *l->latency_us10, compare);
    printf(
        "{\"requests\": %llu, \"seconds\": %.4f, \"rate\": %.1f, \"cpu_us\": %.3f, \"p50_us\": %.1f, \"p90_us\": %.1f, "
        "\"p99_us\": %.1f, \"max_us\": %.1f, \"least\": %llu, \"most\": %llu, \"opened\": %llu, \"open_most\": %llu, "
        "\"work_us\": %.1f, \"errors\": %llu, \"error\": \"%s\"}\n",
        (unsigned long long)l->done, seconds, (double)l->done / seconds, l->done ? cpu / (double)l->done : 0,
        percentile(l, 0.5), percentile(l, 0.9), percentile(l, 0.99), percentile(l, 1),
        (unsigned long long)least, (unsigned long long)most, (unsigned long long)l->origin.opened,
        (unsigned long long)l->origin.open_most,
        l->origin.works ? (double)l->origin.worked_ns / 1e3 / (double)l->origin.works : 0,
        (unsigned long long)l->errors, l->first_error);
}

static void usage(void)
{
    fprintf(
        stderr,
        "usage: load --proxy PORT|unix:PATH [--origin-port PORT] [--origins N] [--clients N] [--keep-alive]\n"
        "            [--wait-for-end] [--absolute] [--no-origin] [--path PATH] [--method METHOD] [--upload BYTES]\n"
        "            [--body BYTES] [--chunked] [--delay-ms MS] [--warm S] [--seconds S] [--limit N] [--pids P,P]\n"
        "            [--origin-host NAME] [--unsaid] [--sizes] [--check-every N] [--faithful]\n"
        "            [--tls] [--tunnel] [--ca FILE] [--resume]\n");
    exit(2);
}

static void parse(struct load *l, struct options *o, int argc, char **argv)
{
    static const struct option table[] = {{"proxy", 1, 0, 'p'},       {"origin-port", 1, 0, 'o'},
                                          {"origins", 1, 0, 'n'},     {"clients", 1, 0, 'c'},
                                          {"keep-alive", 0, 0, 'k'},  {"wait-for-end", 0, 0, 'e'},
                                          {"absolute", 0, 0, 'a'},    {"no-origin", 0, 0, 'x'},
                                          {"path", 1, 0, 'u'},        {"method", 1, 0, 'm'},
                                          {"upload", 1, 0, 'U'},      {"body", 1, 0, 'b'},
                                          {"chunked", 0, 0, 'C'},     {"delay-ms", 1, 0, 'd'},
                                          {"warm", 1, 0, 'w'},        {"seconds", 1, 0, 's'},
                                          {"limit", 1, 0, 'l'},       {"pids", 1, 0, 'P'},
                                          {"origin-host", 1, 0, 'H'}, {"unsaid", 0, 0, 'S'},
                                          {"sizes", 0, 0, 'Z'},       {"check-every", 1, 0, 'E'},
                                          {"faithful", 0, 0, 'F'},    {"tls", 0, 0, 'T'},
                                          {"tunnel", 0, 0, 't'},      {"ca", 1, 0, 'A'},
                                          {"resume", 0, 0, 'r'},      {0}};

    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (c) {
        case 'p': o->proxy = optarg; break;
        case 'o': l->origin.first_port = (unsigned)atoi(optarg); break;
        case 'n': l->origin.listeners = (unsigned)atoi(optarg); break;
        case 'c': l->count = (unsigned)atoi(optarg); break;
        case 'k': l->keep_alive = true; break;
        case 'e': l->wait_for_end = true; break;
        case 'a': o->absolute = true; break;
        case 'x': o->own_origin = false; break;
        case 'u': o->path = optarg; break;
        case 'm': o->method = optarg; break;
        case 'U': o->upload = strtoull(optarg, NULL, 10); break;
        case 'b': o->body = strtoull(optarg, NULL, 10); break;
        case 'C': o->chunked = true; break;
        case 'd': l->origin.delay_ns = (uint64_t)(atof(optarg) * 1e6); break;
        case 'w': o->warm = atof(optarg); break;
        case 's': o->seconds = atof(optarg); break;
        case 'l': l->limit = strtoull(optarg, NULL, 10); break;
        case 'P': o->pids = optarg; break;
        case 'H': o->origin_host = optarg; break;
        case 'S': o->unsaid = true; break;
        case 'Z': o->sizes = true; break;
        case 'F': l->faithful = true; break;
        case 'T': o->tls = true; break;
        case 't': o->tunnel = true; break;
        case 'A': o->ca = optarg; break;
        case 'r': l->resume = true; break;
        case 'E': l->check_every = (unsigned)atoi(optarg); break;
        default: usage();
        }
    }
    if (!o->proxy || optind != argc)
        usage();
}

static void measure(struct load *l, const struct options *o)
{
    l->loop.now_ns = loop_clock();
    if (o->warm > 0) {
        run_until(l, l->loop.now_ns + (uint64_t)(o->warm * 1e9));
        l->errors = 0; /* a connection of the last round may be stale, which is no matter here */
    }
    l->measuring = true;
    l->cpu_before_ns = cpu_ns(l);
    l->started_ns = l->loop.now_ns = loop_clock();
    run_until(l, l->started_ns + (uint64_t)(o->seconds * 1e9));
    l->ended_ns = loop_clock();
    l->cpu_after_ns = cpu_ns(l);
}

int main(int argc, char **argv)
{
    struct load *l = calloc(1, sizeof *l);
    struct options o = {.warm = 0.5,
                        .seconds = 3,
                        .method = "GET",
                        .path = "/",
                        .pids = "",
                        .origin_host = "127.0.0.1",
                        .own_origin = true,
                        .body = 1024};

    if (!l)
        return 1;
    prctl(PR_SET_TIMERSLACK, 1UL); /* a late origin would look like a slow proxy */
    loop_open(&l->loop);
    l->origin.listeners = 1;
    l->origin.first_port = 18080;
    l->count = 32;
    l->limit = UINT64_MAX;
    parse(l, &o, argc, argv);
    pattern_init();
    parse_address(l, o.proxy);
    parse_pids(l, o.pids);
    l->expected_body = o.body;
    l->host = o.origin_host;
    l->tunnel = o.tunnel ? compose_tunnel(l, &o) : NULL;
    if (o.tls && !tls_init(l, o.ca))
        return 1;
    l->requests = calloc(l->origin.listeners, sizeof *l->requests);
    for (unsigned i = 0; i < l->origin.listeners; i++)
        l->requests[i] = compose_request(l, &o, l->origin.first_port + i);
    l->request_size = strlen(l->requests[0]);
    if (!origin_compose(&l->origin, o.chunked ? ANSWER_CHUNKED : ANSWER_LENGTH, o.body))
        return 1;
    if (o.sizes) {
        printf("{\"request\": %zu, \"answer\": %zu}\n", l->request_size, l->origin.answer_size);
        return 0;
    }
    if (o.own_origin)
        origin_start(l);
    if (!clients_start(l))
        return 1;
    measure(l, &o);
    report(l);
    return 0;
}
