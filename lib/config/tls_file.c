#include "config/tls_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define FILE_MAX_SIZE (16u * 1024 * 1024)

static bool read_all(int fd, char *to, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = read(fd, to + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* NULL when it was read. */
static const char *read_open(int fd, struct tls_file *f)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "it is not a regular file";
    if ((uint64_t)st.st_size > FILE_MAX_SIZE)
        return "it is larger than 16 MiB";
    f->length = (size_t)st.st_size;
    f->text = malloc(f->length + 1);
    if (!f->text)
        return "out of memory";
    f->text[f->length] = '\0';
    if (!read_all(fd, f->text, f->length))
        return "it ended early; is it being written just now?";
    return tls_digest((const char *const *)&f->text, &f->length, 1, f->digest) ? NULL : "out of memory";
}

static void forget_text(struct tls_file *f)
{
    if (!f->text)
        return;
    OPENSSL_cleanse(f->text, f->length); /* it may be a key */
    free(f->text);
    f->text = NULL;
}

static void read_file(struct tls_file *f)
{
    /* A FIFO without a writer must not hang a reload. */
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *why = fd < 0 ? strerror(errno) : read_open(fd, f);
    if (why) {
        snprintf(f->why, sizeof f->why, "%s", why);
        forget_text(f);
    }
    if (fd >= 0)
        close(fd);
}

static void file_free(struct tls_file *f)
{
    forget_text(f);
    free(f->path);
    free(f);
}

struct tls_file *tls_file_read(struct tls_file **files, const char *path)
{
    struct tls_file *f;
    HASH_FIND_STR(*files, path, f);
    if (f)
        return f;
    f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->path = strdup(path);
    if (f->path)
        HASH_ADD_KEYPTR(hh, *files, f->path, strlen(f->path), f);
    if (!f->path || !f->hh.tbl) {
        file_free(f);
        return NULL;
    }
    read_file(f);
    return f;
}

void tls_files_free(struct tls_file **files)
{
    struct tls_file *f, *next;
    HASH_ITER (hh, *files, f, next) {
        HASH_DEL(*files, f); /* NOLINT(clang-analyzer-unix.Malloc): the last one empties *files */
        file_free(f);
    }
}

static void hex(const unsigned char *bytes, unsigned n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = 0;
}

bool tls_digest(const char *const *texts, const size_t *lengths, int count, char out[TLS_DIGEST_SIZE])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);
    for (int i = 0; good && i < count; i++) {
        uint64_t length = lengths[i];
        good = EVP_DigestUpdate(md, &length, sizeof length) && EVP_DigestUpdate(md, texts[i], lengths[i]);
    }
    good = good && EVP_DigestFinal_ex(md, bytes, &n) && 2 * n < TLS_DIGEST_SIZE;
    if (good)
        hex(bytes, n, out);
    EVP_MD_CTX_free(md);
    return good;
}
