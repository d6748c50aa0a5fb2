#include "cmd/ctl_ca.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "base/no_core.h"
#include "ca/issue.h"
#include "cmd/ctl_client.h"
#include "cmd/ctl_command.h"
#include "config/hostname.h"

#define CA_FILE      "ca.pem"
#define KEY_FILE     "ca-key.pem"
#define DAYS         1826 /* five years */
#define DAYS_MAX     36500
#define SUBJECT_SIZE 65 /* RFC 5280 A.1, ub-common-name */

struct plan {
    const char *out;
    unsigned days;
    const char **hosts;
    size_t count;
};

/* ---- what is asked for */

/* A name permits those below it, and one that an organisation owns has two labels or more, but for those of a
 * private network. */
static void warn_of_top_level(const char *given, const char *host)
{
    if (!strchr(host, '.') && !strchr(host, ':') && strcmp(host, "localhost") != 0)
        fprintf(
            stderr,
            "carpoolctl: warning: --for '%s': the CA may sign for every host that ends in .%s; anyone who steals its key "
            "can impersonate them all\n",
            given, host);
}

static bool is_address(const char *host)
{
    struct address address;

    return address_from_ip(&address, slice_of(host), 0);
}

/* What X.509 calls it: a name permits those below it, so "*.example.com" is "example.com". No name is below
 * an address. */
static bool parse_host(const char *given, char host[HOSTNAME_SIZE])
{
    size_t n = strlen(given);
    struct slice text = {given, n};

    if (n > 2 && given[0] == '[' && given[n - 1] == ']')
        text = (struct slice){given + 1, n - 2};
    if (strncmp(given, "*.", 2) != 0)
        return hostname_parse(text, host);
    return hostname_parse(slice_from(text, 2), host) && !is_address(host);
}

static bool add_host(struct plan *p, const char *given)
{
    char host[HOSTNAME_SIZE];

    if (strcmp(given, "*") == 0) {
        ctl_fail("--for '*' would make a CA that can impersonate every host; name those that it is for");
        return false;
    }
    if (!parse_host(given, host)) {
        ctl_fail("--for '%s' is not a host: it takes names (example.com, '*.example.com') and IP addresses",
                 given);
        return false;
    }
    warn_of_top_level(given, host);
    p->hosts = ctl_need(reallocarray(p->hosts, p->count + 1, sizeof *p->hosts));
    p->hosts[p->count++] = ctl_need(strdup(host));
    return true;
}

static bool set_days(struct plan *p, const char *given)
{
    unsigned long long days;

    if (!slice_to_u64(slice_of(given), &days) || days < 1 || days > DAYS_MAX) {
        ctl_fail("--days '%s' is not a number from 1 to %d", given, DAYS_MAX);
        return false;
    }
    p->days = (unsigned)days;
    return true;
}

static int usage(void)
{
    fputs("usage: carpoolctl ca create --for HOST [--for HOST]... [--out DIR] [--days N]\n", stderr);
    return CTL_USAGE;
}

/* -1: go on; else the exit status. */
static int take_options(int argc, char **argv, struct plan *p)
{
    static const struct option longs[] = {{"for", required_argument, NULL, 'f'},
                                          {"out", required_argument, NULL, 'o'},
                                          {"days", required_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option;

    optind = 1;
    argv[0] = (char *)"carpoolctl ca create"; /* what getopt says of a mistake begins with it */
    while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (option) {
        case 'f':
            if (!add_host(p, optarg))
                return CTL_USAGE;
            break;
        case 'o': p->out = optarg; break;
        case 'd':
            if (!set_days(p, optarg))
                return CTL_USAGE;
            break;
        case 'h':
            puts("Usage: carpoolctl ca create --for HOST [--for HOST]... [--out DIR] [--days N]\n"
                 "Make " CA_FILE " and " KEY_FILE
                 ", a CA for connectTls that may sign for these hosts alone.");
            return CTL_FINE;
        default: return usage();
        }
    }
    if (optind < argc)
        ctl_fail("ca create takes no argument '%s'", argv[optind]);
    else if (p->count == 0)
        ctl_fail("ca create needs the hosts that the CA may sign for: --for HOST");
    return optind < argc || p->count == 0 ? usage() : -1;
}

/* ---- making it */

/* A new file, never one that is there. */
static int new_file(const char *path, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

    if (fd >= 0 && fchmod(fd, mode) == 0)
        return fd;
    if (errno == EEXIST)
        ctl_fail("%s exists and is not overwritten: move it away, or choose another directory with --out",
                 path);
    else
        ctl_fail("cannot create %s: %s", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    return -1;
}

/* Closes the file. */
static bool write_pem(int fd, const struct issued *ca, bool is_key)
{
    BIO *out = BIO_new_fd(fd, BIO_NOCLOSE);
    bool good = out && (is_key ? PEM_write_bio_PKCS8PrivateKey(out, ca->key, NULL, NULL, 0, NULL, NULL) == 1
                               : PEM_write_bio_X509(out, ca->certificate) == 1);

    BIO_free(out);
    good = fsync(fd) == 0 && good;
    return close(fd) == 0 && good;
}

/* Both files or none. */
static int write_files(const char *cert, const char *key, const struct issued *ca)
{
    int key_fd = new_file(key, 0600);
    int cert_fd = key_fd >= 0 ? new_file(cert, 0644) : -1;
    bool good;

    if (cert_fd < 0) {
        if (key_fd >= 0) {
            close(key_fd);
            unlink(key);
        }
        return CTL_FAILED;
    }
    good = write_pem(key_fd, ca, true);
    good = write_pem(cert_fd, ca, false) && good;
    if (good)
        return CTL_FINE;
    unlink(key);
    unlink(cert);
    return ctl_fail("cannot write %s and %s: %s", key, cert, strerror(errno));
}

/* Another one each time, so that several hosts' CAs can be told apart. */
static void name_it(char subject[SUBJECT_SIZE])
{
    char host[HOST_NAME_MAX + 1] = "";

    gethostname(host, sizeof host - 1);
    snprintf(subject, SUBJECT_SIZE, "Carpool CA %08x of %.40s", (unsigned)time(NULL), host);
}

static void say_made(const struct plan *p, const char *cert, const char *key)
{
    char *whole_cert = realpath(cert, NULL), *whole_key = realpath(key, NULL);
    bool has_names = false;

    printf("%s: a CA that may sign for", cert);
    for (size_t i = 0; i < p->count; i++) {
        printf("%s %s", i > 0 ? "," : "", p->hosts[i]);
        has_names |= !is_address(p->hosts[i]);
    }
    printf(
        "%s, for %u day%s\n"
        "%s: its key; keep it on this host, readable by carpoold alone (chown it to its user, carpool in the package)\n\n"
        "connectTls:\n  cert: %s\n  key: %s\n\n"
        "Next, set connect: pool for the upstreams of these hosts, and let the apps trust ca.pem: carpoolctl run does that\n"
        "for one command, doc/clients.md says how for others.\n",
        has_names ? " (and names below)" : "", p->days, p->days == 1 ? "" : "s", key,
        whole_cert ? whole_cert : cert, whole_key ? whole_key : key);
    free(whole_cert);
    free(whole_key);
}

static int create(const struct plan *p)
{
    char subject[SUBJECT_SIZE];
    struct issued ca;
    char *cert = ctl_format("%s/%s", p->out, CA_FILE), *key = ctl_format("%s/%s", p->out, KEY_FILE);
    int status;

    no_core();
    name_it(subject);
    mkdir(p->out, 0755); /* where it is not there; what is wrong with it, the files will say */
    if (!issue_authority(subject, p->hosts, p->count, p->days, time(NULL), &ca))
        ctl_need(NULL);
    status = write_files(cert, key, &ca);
    if (status == CTL_FINE)
        say_made(p, cert, key);
    issued_free(&ca);
    free(cert);
    free(key);
    return status;
}

int ctl_ca_create(int argc, char **argv)
{
    struct plan p = {.out = ".", .days = DAYS};
    int status = take_options(argc, argv, &p);

    if (status < 0)
        status = create(&p);
    for (size_t i = 0; i < p.count; i++)
        free((char *)p.hosts[i]);
    free(p.hosts);
    return status;
}

/* ---- showing one */

static void print_name(void *first, const char *text)
{
    printf("%s%s", *(bool *)first ? "" : ", ", text);
    *(bool *)first = false;
}

static void show(const struct ca *c)
{
    char *subject = ctl_need(ca_subject(c)), *fingerprint = ctl_need(ca_fingerprint(c));
    char date[32] = "";
    time_t end = (time_t)c->not_after;
    struct tm tm;
    bool first = true;

    if (gmtime_r(&end, &tm))
        strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S UTC", &tm);
    printf("subject: %s\nnames: ", subject);
    constraints_each(c->constraints, print_name, &first);
    if (first)
        fputs(constraints_exist(c->constraints) ? "none" : "any: it has no name constraints", stdout);
    printf("\nexpires: %s%s\nSHA-256: %s\n", date, end < time(NULL) ? " (expired)" : "", fingerprint);
    free(subject);
    free(fingerprint);
}

int ctl_ca_show(int argc, char **argv)
{
    enum ca_problem problem;
    size_t n = 0;
    char *text;
    struct ca *c;

    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        puts("Usage: carpoolctl ca show FILE\nPrints the subject, names, expiry and fingerprint of a CA.");
        return CTL_FINE;
    }
    if (argc != 2) {
        ctl_fail("ca show needs one file; usage: carpoolctl ca show FILE");
        return CTL_USAGE;
    }
    text = ctl_read_file(argv[1], &n);
    if (!text)
        return CTL_FAILED;
    c = ca_read((struct slice){text, n}, (struct slice){"", 0}, &problem);
    free(text);
    if (!c)
        return ctl_fail(problem == CA_NO_AUTHORITY ? "%s holds a certificate that is not a CA's"
                                                   : "%s holds no certificate in PEM form",
                        argv[1]);
    show(c);
    ca_free(c);
    return CTL_FINE;
}
