/* A configuration file. What is taken prints as a file that reads back to the same, says what it will listen
 * to, and matches hosts by its own rules; what is refused is refused with a reason, at a place of the file.
 * Values of variables are told to nobody. */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "calls.h"
#include "config_fuzz.h"
#include "http/uri.h"

#define SECRET "swordfish"

static const char path[] = "/fuzz/carpool.yaml";

/* --- The only files there are ---------------------------------------------------------------------------- */

enum { CERTIFICATE, KEY, JUNK, FILE_COUNT };

static const char *const file_names[FILE_COUNT] = {"/fuzz/cert.pem", "/fuzz/key.pem", "/fuzz/junk.pem"};
static int files[FILE_COUNT];

static int open_file(const char *name, int flags)
{
    char again[32];

    for (int i = 0; i < FILE_COUNT; i++) {
        if (strcmp(name, file_names[i]) != 0)
            continue;
        snprintf(again, sizeof again, "/proc/self/fd/%d", files[i]);
        return __real_open(again, flags);
    }
    errno = ENOENT;
    return -1;
}

static FILE *new_file(int which)
{
    files[which] = memfd_create("fuzz", MFD_CLOEXEC);
    fuzz_assert(files[which] >= 0);
    return fdopen(dup(files[which]), "w");
}

static void make_files(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    FILE *f = new_file(KEY);

    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    f = new_file(CERTIFICATE);
    PEM_write_X509(f, certificate);
    fclose(f);
    f = new_file(JUNK);
    fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", f);
    fclose(f);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void prepare(void)
{
    static char many[60001];

    make_files();
    memset(many, 'm', sizeof many - 1);
    setenv("MANY", many, 1);
    setenv("SECRET", SECRET, 1);
    setenv("PORT", "8443", 1);
    setenv("EMPTY", "", 1);
    setenv("BROKEN", "\xff\x01", 1);
}

/* --- What holds of one that was taken --------------------------------------------------------------------- */

static struct config *parse(struct slice text, char **errors)
{
    size_t size;
    FILE *f = open_memstream(errors, &size);
    struct config *c;

    calls.open = open_file;
    c = config_parse(text, path, NULL, f);
    calls.open = NULL;
    fclose(f);
    return c;
}

static char *print(const struct config *c)
{
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    config_print(c, f);
    fclose(f);
    return text;
}

static void check_round_trip(const struct config *c)
{
    char *first = print(c), *json = config_json(c, false), *errors;
    struct config *again = parse(slice_of(first), &errors);

    if (!again)
        fprintf(stderr, "--- refused:\n%s--- printed:\n%s", errors, first);
    fuzz_assert(again);
    char *second = print(again), *second_json = config_json(again, false);
    if (strcmp(first, second) != 0)
        fprintf(stderr, "--- first:\n%s--- second:\n%s", first, second);
    fuzz_assert(strcmp(first, second) == 0);
    fuzz_assert(json && second_json && strcmp(json, second_json) == 0);
    free(second_json);
    free(second);
    config_unref(again);
    free(errors);
    free(json);
    free(first);
}

/* In quotes, from a slash on: a message names the file that was looked for, with its variables replaced. */
static bool is_in_file_name(const char *text, const char *place)
{
    while (place > text && place[-1] != '\'')
        place--;
    return place > text && *place == '/';
}

static void check_secret(const struct config *c, const char *errors)
{
    char *masked = c ? config_json(c, true) : NULL;

    fuzz_assert(!masked || !strstr(masked, SECRET));
    for (const char *p = errors; (p = strstr(p, SECRET)); p += strlen(SECRET))
        fuzz_assert(is_in_file_name(errors, p));
    free(masked);
}

static bool is_default(const struct cidr_list *clients)
{
    char first[ADDRESS_TEXT_SIZE], second[ADDRESS_TEXT_SIZE];

    return clients->count == 2 && strcmp(cidr_format(&clients->items[0], first), "127.0.0.0/8") == 0 &&
           strncmp(cidr_format(&clients->items[1], second), "::1", 3) == 0 && strchr("/", second[3]);
}

/* Nobody can come from outside unless the file says who. */
static bool is_within(const struct address *a)
{
    char text[ADDRESS_TEXT_SIZE];

    address_format(a, text);
    return strncmp(text, "unix:", 5) == 0 || strncmp(text, "127.", 4) == 0 ||
           strncmp(text, "[::1]:", 6) == 0 || strncmp(text, "[::ffff:127.", 12) == 0;
}

/* The last check before a listener is opened is the first one's, too. */
static void check_listeners(const struct config *c, const struct listen_list *list, bool admin)
{
    for (uint32_t i = 0; i < list->count; i++) {
        fuzz_assert(!config_exposes(c, &list->items[i].address, admin));
        fuzz_assert(is_within(&list->items[i].address) ||
                    !is_default(admin ? &c->admin.clients : &c->access.clients));
        fuzz_assert(list->items[i].mode <= 0777);
    }
}

/* Every host that a pattern stands for, as a request would name it. */
static void check_patterns(const struct config *c, const struct upstream *u)
{
    static const uint16_t ports[] = {80, 443, 1, 65535};
    char host[512];
    struct uri uri;

    for (uint32_t k = 0; k < u->match_count; k++) {
        const struct match_pattern *p = &u->match[k];
        const char *before = p->kind == MATCH_EXACT ? "" : "x";

        snprintf(host, sizeof host, "%s%s", before, p->kind == MATCH_ALL ? "" : p->host);
        for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
            fuzz_check_match(c, host, ports[i]);
        fuzz_check_match(c, host, p->port);
        snprintf(host, sizeof host, "http://%s%s%s/", strchr(p->host, ':') ? "[" : "", p->host,
                 strchr(p->host, ':') ? "]" : "");
        /* What the URL's reader calls it is what the pattern's reader called it. */
        if (p->kind == MATCH_EXACT && uri_parse_absolute(slice_of(host), &uri) == URI_OK)
            fuzz_assert(strcmp(uri.host, p->host) == 0);
    }
}

static void check_policy(const struct agent_policy *p)
{
    fuzz_assert(p->retries <= 10 && p->maxSockets > 0 && p->maxTotalSockets > 0 &&
                p->maxRequestsPerSocket > 0);
    fuzz_assert(p->scheduling <= SCHEDULING_FIFO && p->family <= FAMILY_6);
    fuzz_assert((*p->localAddress != 0) == (p->local.length != 0));
}

static void check_upstream(const struct config *c, const struct upstream *u)
{
    check_patterns(c, u);
    check_policy(&u->policy);
    check_listeners(c, &u->listen, false);
    fuzz_assert(u->match_count > 0 || (*u->host && u->listen.count > 0));
    fuzz_assert(u->listen.count == 0 || *u->host);
    for (uint32_t i = 0; i < u->address.count; i++)
        fuzz_assert(u->address.items[i].is_name || u->address.items[i].address.length > 0);
    /* Its name is a segment of an URL, a label and a word of the log. */
    fuzz_assert(*u->name && !strchr(u->name, '/') && !strpbrk(u->name, "\n\r\t"));
}

static void check_whole(const struct config *c)
{
    check_policy(&c->defaults);
    fuzz_assert(c->server.maxHeaderSize >= 1024 && c->server.maxHeaderSize <= 1024 * 1024);
    fuzz_assert(c->server.maxHeadersCount >= 1 && c->server.maxHeadersCount <= 1000);
    fuzz_assert(c->admin.listen.count <= 1);
    check_listeners(c, &c->listen, false);
    check_listeners(c, &c->admin.listen, true);
    for (uint32_t i = 0; i < c->upstream_count; i++)
        check_upstream(c, &c->upstreams[i]);
}

static bool says(const char *line, const char *end, const char *what)
{
    return memmem(line, (size_t)(end - line), what, strlen(what)) != NULL;
}

/* Each line says which file, and what is wrong; at least one of them is an error when the file was
 * refused. */
static void check_errors(const char *errors, bool refused)
{
    bool any = false;

    for (const char *line = errors, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        fuzz_assert(end && strncmp(line, path, strlen(path)) == 0);
        for (const char *p = line; p < end; p++)
            fuzz_assert((unsigned char)*p >= 0x20 && *p != 0x7f);
        fuzz_assert(says(line, end, ": error: ") || says(line, end, ": warning: "));
        any |= says(line, end, ": error: ");
    }
    fuzz_assert(any || !refused);
}

static void run(const uint8_t *data, size_t size)
{
    struct slice text = fuzz_copy(data, size);
    char *errors;
    struct config *c = parse(text, &errors);

    if (!memmem(text.p, text.n, SECRET, strlen(SECRET)))
        check_secret(c, errors);
    check_errors(errors, !c);
    if (c) {
        check_whole(c);
        check_round_trip(c);
    }
    config_unref(c);
    free(errors);
    free((char *)text.p);
}

const struct fuzz_target fuzz_config = {"config", prepare, run};
