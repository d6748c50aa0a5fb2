#ifndef CARPOOL_CONFIG_TLS_FILE_H
#define CARPOOL_CONFIG_TLS_FILE_H

/* The files that `tls` names, each read once in a load however many upstreams name it. Inside lib/config
 * only. */

#include <stdbool.h>
#include <stddef.h>

#include "base/hash.h"

#define TLS_DIGEST_SIZE (2 * 32 + 1)

struct tls_file {
    UT_hash_handle hh;
    char *path;
    char *text; /* ends with a zero byte; NULL: it could not be read */
    size_t length;
    char digest[TLS_DIGEST_SIZE]; /* of the contents, hex */
    char why[128];                /* it could not be read */
    char broken[256]; /* what is wrong with its certificates, once they were looked at; "": nothing */
};

/* Reads the file, or returns what was read before. A FIFO, a device or a folder is refused, never waited for.
 * NULL when memory is short. */
struct tls_file *tls_file_read(struct tls_file **files, const char *path);

/* Forgets all of them; keys are wiped from memory. */
void tls_files_free(struct tls_file **files);

/* Hex of SHA-256 of `count` texts, each with its length, so that no byte can move from one to the next
 * unseen. False when memory is short. */
bool tls_digest(const char *const *texts, const size_t *lengths, int count, char out[TLS_DIGEST_SIZE]);

#endif
