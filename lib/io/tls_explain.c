#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/tls_internal.h"

/* The reason codes from here on are alerts of the peer's (ssl(3), SSL_AD_REASON_OFFSET). */
#define ALERT_REASON 1000

int tls_remember_distrust(int ok, X509_STORE_CTX *x)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *t = ssl ? SSL_get_app_data(ssl) : NULL;
    X509 *certificate = X509_STORE_CTX_get_current_cert(x);

    if (ok || !t || t->distrust)
        return ok;
    t->distrust = calloc(1, sizeof *t->distrust);
    if (!t->distrust)
        return ok;
    t->distrust->error = X509_STORE_CTX_get_error(x);
    if (certificate && X509_up_ref(certificate))
        t->distrust->certificate = certificate;
    return ok;
}

/* Of a subject or an issuer; what is not printable is escaped. */
static void print_name(const X509_NAME *name, char *text, size_t size)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *all;
    long n;

    snprintf(text, size, "without a name");
    if (!name || !out) {
        BIO_free(out);
        return;
    }
    X509_NAME_print_ex(out, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB & ~XN_FLAG_SPC_EQ);
    n = BIO_get_mem_data(out, &all);
    if (n > 0)
        snprintf(text, size, "%.*s", (int)(n < 80 ? n : 80), all);
    BIO_free(out);
}

static size_t append(char *text, size_t size, size_t at, const char *kind, const char *name, size_t n)
{
    int put;

    if (at + strlen(kind) + n + 4 > size)
        return at;
    put = snprintf(text + at, size - at, "%s%s%.*s", at > 0 ? ", " : "", kind, (int)n, name);
    return put > 0 ? at + (size_t)put : at;
}

static bool is_plain(const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return n > 0;
}

/* "DNS:a.test, IP:127.0.0.1", as far as there is room. */
static void print_names(X509 *x, char *text, size_t size)
{
    GENERAL_NAMES *names = x ? X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL) : NULL;
    size_t at = 0;

    text[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type != GEN_DNS && type != GEN_IPADD)
            continue;
        const unsigned char *data = ASN1_STRING_get0_data(value);
        size_t n = (size_t)ASN1_STRING_length(value);
        char ip[INET6_ADDRSTRLEN];
        if (type == GEN_DNS && is_plain((const char *)data, n))
            at = append(text, size, at, "DNS:", (const char *)data, n);
        else if (type == GEN_IPADD && (n == 4 || n == 16) &&
                 inet_ntop(n == 4 ? AF_INET : AF_INET6, data, ip, sizeof ip))
            at = append(text, size, at, "IP:", ip, strlen(ip));
    }
    GENERAL_NAMES_free(names);
    if (at == 0)
        snprintf(text, size, "no host");
}

/* Nothing that is trusted has issued the certificate. */
static void explain_untrusted(const struct tls *t, int error, const char *subject, char *text, size_t size)
{
    X509 *x = t->distrust ? t->distrust->certificate : NULL;
    const char *check = X509_verify_cert_error_string(error);
    char issuer[96];

    if (SSL_get_verify_result(t->ssl) == X509_V_ERR_STORE_LOOKUP) {
        snprintf(
            text, size,
            "certificate %.50s: this host's file of trusted certificates (SSL_CERT_FILE) could not be read: "
            "look at that file and at the limit of open files; the next connection tries again",
            subject);
        return;
    }
    if (error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN || error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT) {
        snprintf(text, size, "certificate %s: %s; name the file of its CA in tls.ca", subject, check);
        return;
    }
    print_name(x ? X509_get_issuer_name(x) : NULL, issuer, sizeof issuer);
    snprintf(text, size,
             "certificate %.50s: its issuer %.50s was not sent and is not trusted: have the server send its "
             "whole chain, intermediates included, or name the file of that issuer in tls.ca",
             subject, issuer);
}

static void explain_distrust(const struct tls *t, char *text, size_t size)
{
    X509 *x = t->distrust ? t->distrust->certificate : NULL;
    int error = t->distrust ? t->distrust->error : (int)SSL_get_verify_result(t->ssl);
    const char *check = X509_verify_cert_error_string(error);
    char subject[96], names[96];

    print_name(x ? X509_get_subject_name(x) : NULL, subject, sizeof subject);
    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        print_names(x, names, sizeof names);
        snprintf(text, size, "certificate %s is for %s: %s; set tls.servername to a name it has", subject,
                 names, check);
        return;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        snprintf(text, size, "certificate %s: %s; renew it at the server, or check this host's clock",
                 subject, check);
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: explain_untrusted(t, error, subject, text, size); return;
    }
    snprintf(text, size, "certificate %s: %s", subject, check);
}

/* OpenSSL has no names for those that TLS 1.3 added (RFC 8446 6). */
static const char *alert_name(int alert)
{
    switch (alert) {
    case TLS13_AD_MISSING_EXTENSION: return "missing extension";
    case TLS13_AD_CERTIFICATE_REQUIRED: return "certificate required";
    }
    return SSL_alert_desc_string_long(alert);
}

static const char *advice_for_alert(int alert)
{
    switch (alert) {
    case SSL_AD_HANDSHAKE_FAILURE:
        return "; look at tls.ciphers, or it wants a client certificate: tls.cert and tls.key";
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED: return "; it does not take our client certificate: look at tls.cert";
    case TLS13_AD_CERTIFICATE_REQUIRED: return "; it wants a client certificate: set tls.cert and tls.key";
    case SSL_AD_PROTOCOL_VERSION: return "; it has no version that tls.minVersion allows";
    case SSL_AD_UNRECOGNIZED_NAME: return "; it does not know this host: look at tls.servername";
    }
    return "";
}

static const char *advice_for_reason(int reason)
{
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_RECORD_LENGTH_MISMATCH: return "; does it speak TLS on this port?";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW: return "; it has no version that tls.minVersion allows";
    case SSL_R_WRONG_CIPHER_RETURNED:
    case SSL_R_NO_CIPHERS_AVAILABLE:
    case SSL_R_NO_SHARED_CIPHER: return "; look at tls.ciphers";
    case SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED:
        return "; the server knows no secure renegotiation (RFC 5746): update it, or set tls.legacyServerConnect: true";
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_DH_KEY_TOO_SMALL:
        return "; renew it at the server (tls.ciphers: DEFAULT@SECLEVEL=1 takes smaller ones)";
    }
    return "";
}

static const char *peer_of(const struct tls *t)
{
    return SSL_is_server(t->ssl) ? "client" : "server";
}

/* Of everything in the queue, which is taken, the last SSL error is the one that ended the call. OpenSSL 3.2
 * and later put one of the system after it where the alert could not be sent. 0: there is none. */
static unsigned long what_ended_the_call(void)
{
    unsigned long code, ended = 0;

    while ((code = ERR_get_error()) != 0)
        if (ERR_GET_LIB(code) == ERR_LIB_SSL || ERR_GET_LIB(ended) != ERR_LIB_SSL)
            ended = code;
    return ended;
}

static void explain_code(struct tls *t, unsigned long code, char *text, size_t size)
{
    int reason = ERR_GET_REASON(code);
    const char *cause = ERR_reason_error_string(code);

    if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > ALERT_REASON) {
        t->failure = TLS_FAILURE_ALERT;
        t->alert = reason - ALERT_REASON;
        snprintf(text, size, "the %s sent the alert '%s'%s", peer_of(t), alert_name(t->alert),
                 SSL_is_server(t->ssl) ? "" : advice_for_alert(t->alert));
    } else if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        t->failure = TLS_FAILURE_CERTIFICATE;
        explain_distrust(t, text, size);
    } else {
        t->failure = TLS_FAILURE_PROTOCOL;
        snprintf(text, size, "%s%s", cause ? cause : "unknown error",
                 ERR_GET_LIB(code) == ERR_LIB_SSL && !SSL_is_server(t->ssl) ? advice_for_reason(reason) : "");
    }
}

static void keep_reason(struct tls *t, const char *text)
{
    free(t->why);
    t->why = strdup(text);
}

void tls_explain_flood(struct tls *t)
{
    char text[96];

    t->failure = TLS_FAILURE_PROTOCOL;
    snprintf(text, sizeof text, "the %s sent too many TLS messages that carry no data (key updates, tickets)",
             peer_of(t));
    keep_reason(t, text);
}

void tls_explain_failure(struct tls *t, int name, int number)
{
    char text[320];
    unsigned long code = what_ended_the_call();
    bool ended =
        ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;

    if (t->failure == TLS_FAILURE_PROTOCOL)
        return; /* a flood: any other failure of this kind has ended all reading */
    if (name == SSL_ERROR_SSL && !ended) {
        explain_code(t, code, text, sizeof text);
    } else {
        t->failure = TLS_FAILURE_IO;
        if (number != 0 && !ended)
            snprintf(text, sizeof text, "%s", strerror(number));
        else
            snprintf(text, sizeof text, "the %s closed the connection", peer_of(t));
    }
    keep_reason(t, text);
}

enum tls_failure tls_failure(const struct conn *s, char *text, size_t size)
{
    const struct tls *t = s->tls;

    if (t && t->wants_renegotiation) {
        snprintf(
            text, size,
            "the server wants to renegotiate TLS, probably to ask for a client certificate, and Carpool does not: let it ask "
            "for it in the first handshake, or let it speak TLS 1.3");
        return TLS_FAILURE_PROTOCOL;
    }
    if (!t || t->failure == TLS_FAILURE_NONE) {
        snprintf(text, size, "%s", "");
        return TLS_FAILURE_NONE;
    }
    snprintf(text, size, "%s", t->why ? t->why : "TLS failed");
    return t->failure;
}
