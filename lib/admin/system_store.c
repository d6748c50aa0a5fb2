#include "admin/system_store.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_MAX (8 * 1024 * 1024)

/* False: it could not be read, and nothing was appended. */
static bool put_open(struct text *out, int fd)
{
    size_t before = out->n;
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > STORE_MAX ||
        !text_reserve(out, (size_t)st.st_size))
        return false;
    for (size_t left = (size_t)st.st_size; left > 0;) {
        ssize_t n = read(fd, out->p + out->n, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            out->n = before;
            return false;
        }
        out->n += (size_t)n;
        left -= (size_t)n;
    }
    return true;
}

static bool put_file(struct text *out, const char *path)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    bool good = fd >= 0 && put_open(out, fd);

    if (fd >= 0)
        close(fd);
    return good;
}

void system_store_put(struct text *out)
{
    const char *const files[] = {
        getenv(X509_get_default_cert_file_env()),
        X509_get_default_cert_file(),
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
        "/etc/ssl/ca-bundle.pem",             /* SUSE */
        "/etc/ssl/cert.pem",
    };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (!put_file(out, files[i]))
            continue;
        text_lit(out, "\n");
        return;
    }
}
