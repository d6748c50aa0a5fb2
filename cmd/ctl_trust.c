#include "cmd/ctl_trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/ctl_client.h"

/* They replace the system's store, so they name a file with both. */
static const char *const replacing[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
                                        "AWS_CA_BUNDLE", "GIT_SSL_CAINFO"};

/* This one adds to the system's. */
#define ADDING "NODE_EXTRA_CA_CERTS"

static void set(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0)
        ctl_need(NULL);
}

/* Appends what stands in a file, if there is one: what is missing there, its owner never had. */
static void append_file(FILE *to, const char *path)
{
    FILE *from = path && *path ? fopen(path, "re") : NULL;
    char piece[8192];
    size_t n;

    if (!from)
        return;
    while ((n = fread(piece, 1, sizeof piece, from)) > 0)
        fwrite(piece, 1, n, to);
    putc('\n', to);
    fclose(from);
}

/* `before` and `pem` in one file. */
static bool write_file(const char *path, const char *before, const char *pem, char error[CTL_ERROR_SIZE])
{
    FILE *to = fopen(path, "wxe");
    bool good = to != NULL;

    if (good) {
        append_file(to, before);
        fputs(pem, to);
        good = !ferror(to);
        good = fclose(to) == 0 && good;
    }
    if (!good)
        snprintf(error, CTL_ERROR_SIZE, "cannot write %s: %s", path, strerror(errno));
    return good;
}

/* malloc'd; NULL with a sentence in `error`, or without one where the daemon has no CA. */
static char *ask(const char *address, const char *path, char error[CTL_ERROR_SIZE])
{
    struct ctl_reply reply;

    *error = '\0';
    if (ctl_ask(address, "GET", path, &reply, error) != 0)
        return NULL;
    if (reply.status == 200)
        return reply.body;
    if (reply.status != 404)
        snprintf(error, CTL_ERROR_SIZE, "carpoold at %s answered %u to GET %s", address, reply.status, path);
    free(reply.body);
    return NULL;
}

static char *make_folder(char error[CTL_ERROR_SIZE])
{
    const char *base = getenv("TMPDIR");
    char *folder = ctl_format("%s/%s", base && *base ? base : "/tmp", "carpool-XXXXXX");

    if (mkdtemp(folder))
        return folder;
    snprintf(error, CTL_ERROR_SIZE, "cannot create a directory %s: %s", folder, strerror(errno));
    free(folder);
    return NULL;
}

/* Where SSL_CERT_FILE names a file already, that is what the command trusts. */
static bool write_files(const char *address, const struct ctl_trust *t, const char *ca,
                        char error[CTL_ERROR_SIZE])
{
    const char *own = getenv("SSL_CERT_FILE");
    char *bundle = own && *own ? ctl_need(strdup(ca)) : ask(address, "/ca-bundle.pem", error);
    bool good = bundle && write_file(t->bundle, own, bundle, error) &&
                write_file(t->extra, getenv(ADDING), ca, error);

    free(bundle);
    return good;
}

bool ctl_trust_begin(const char *address, struct ctl_trust *t, char error[CTL_ERROR_SIZE])
{
    char *ca = ask(address, "/ca.pem", error);
    bool good;

    *t = (struct ctl_trust){0};
    if (!ca)
        return *error == '\0';
    t->folder = make_folder(error);
    if (!t->folder) {
        free(ca);
        return false;
    }
    t->bundle = ctl_format("%s/%s", t->folder, "ca-bundle.pem");
    t->extra = ctl_format("%s/%s", t->folder, "ca.pem");
    good = write_files(address, t, ca, error);
    free(ca);
    if (!good) {
        ctl_trust_end(t);
        return false;
    }
    for (size_t i = 0; i < sizeof replacing / sizeof replacing[0]; i++)
        set(replacing[i], t->bundle);
    set(ADDING, t->extra);
    set("NODE_USE_ENV_PROXY", "1");
    return true;
}

void ctl_trust_end(struct ctl_trust *t)
{
    if (!t->folder)
        return;
    unlink(t->bundle);
    unlink(t->extra);
    rmdir(t->folder);
    free(t->bundle);
    free(t->extra);
    free(t->folder);
    *t = (struct ctl_trust){0};
}
