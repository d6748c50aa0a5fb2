#include "admin/page.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define HASH_TEXT_SIZE 96

/* 'sha256-...' of what stands between the first of these tags and its end (CSP Level 3, 6.7.3.3); 'none' when
 * there is none. */
static const char *hash_between(const char *html, const char *begin, const char *end,
                                char out[HASH_TEXT_SIZE])
{
    const char *from = strstr(html, begin);
    const char *to = from ? strstr(from, end) : NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char base64[64];
    unsigned n = 0;

    if (!to)
        return "'none'";
    from += strlen(begin);
    if (EVP_Digest(from, (size_t)(to - from), digest, &n, EVP_sha256(), NULL) != 1)
        return "'none'";
    EVP_EncodeBlock(base64, digest, (int)n);
    snprintf(out, HASH_TEXT_SIZE, "'sha256-%s'", (const char *)base64);
    return out;
}

const char *page_policy(const char *html, char out[PAGE_POLICY_SIZE])
{
    char script[HASH_TEXT_SIZE], style[HASH_TEXT_SIZE];

    snprintf(out, PAGE_POLICY_SIZE,
             "default-src 'none'; script-src %s; style-src %s; connect-src 'self'; img-src data:; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
             hash_between(html, "<script>", "</script>", script),
             hash_between(html, "<style>", "</style>", style));
    return out;
}
