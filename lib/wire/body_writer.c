#include "wire/body_writer.h"

/* "1a3f\r\n" into `line`. */
static struct slice chunk_line(char line[static 20], size_t n)
{
    char *p = line + 18;
    line[18] = '\r';
    line[19] = '\n';
    do {
        *--p = "0123456789abcdef"[n & 15];
        n >>= 4;
    } while (n > 0);
    return (struct slice){p, (size_t)(line + 20 - p)};
}

void body_writer_push(struct body_writer *w, struct sendq *q, const struct iovec *runs, unsigned count,
                      bool last, struct slice trailers)
{
    size_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += runs[i].iov_len;
    bool has_chunk = w->chunked && total > 0;
    if (has_chunk)
        sendq_push(q, chunk_line(w->line, total));
    for (unsigned i = 0; i < count; i++)
        sendq_push(q, (struct slice){runs[i].iov_base, runs[i].iov_len});
    if (has_chunk)
        sendq_push(q, SLICE("\r\n"));
    if (!last || !w->chunked)
        return;
    sendq_push(q, SLICE("0\r\n"));
    sendq_push(q, trailers);
    sendq_push(q, SLICE("\r\n"));
}
