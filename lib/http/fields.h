#ifndef CARPOOL_HTTP_FIELDS_H
#define CARPOOL_HTTP_FIELDS_H

/* Field names that an intermediary must know, and what their values say. */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct head;

/* X(id, name, hop): hop is 1 for a field that stays on its hop by definition (RFC 9110 7.6.1, and what
 * practice adds). */
#define FIELD_LIST(X)                                                  \
    X(FIELD_CONNECTION, "connection", 1)                               \
    X(FIELD_KEEP_ALIVE, "keep-alive", 1)                               \
    X(FIELD_PROXY_CONNECTION, "proxy-connection", 1)                   \
    X(FIELD_TE, "te", 1)                                               \
    X(FIELD_TRANSFER_ENCODING, "transfer-encoding", 1)                 \
    X(FIELD_UPGRADE, "upgrade", 1)                                     \
    X(FIELD_PROXY_AUTHORIZATION, "proxy-authorization", 1)             \
    X(FIELD_PROXY_AUTHENTICATE, "proxy-authenticate", 1)               \
    X(FIELD_PROXY_AUTHENTICATION_INFO, "proxy-authentication-info", 1) \
    X(FIELD_HTTP2_SETTINGS, "http2-settings", 1)                       \
    X(FIELD_CONTENT_LENGTH, "content-length", 0)                       \
    X(FIELD_HOST, "host", 0)                                           \
    X(FIELD_VIA, "via", 0)                                             \
    X(FIELD_EXPECT, "expect", 0)                                       \
    X(FIELD_MAX_FORWARDS, "max-forwards", 0)                           \
    X(FIELD_TRAILER, "trailer", 0)                                     \
    X(FIELD_AUTHORIZATION, "authorization", 0)                         \
    X(FIELD_WWW_AUTHENTICATE, "www-authenticate", 0)                   \
    X(FIELD_DATE, "date", 0)                                           \
    X(FIELD_PROXY_STATUS, "proxy-status", 0)                           \
    X(FIELD_ORIGIN, "origin", 0)                                       \
    X(FIELD_IDEMPOTENCY_KEY, "idempotency-key", 0)                     \
    X(FIELD_X_IDEMPOTENCY_KEY, "x-idempotency-key", 0)                 \
    X(FIELD_ACCEPT_ENCODING, "accept-encoding", 0)                     \
    X(FIELD_CONTENT_ENCODING, "content-encoding", 0)                   \
    X(FIELD_CONTENT_TYPE, "content-type", 0)

enum field_id {
    FIELD_OTHER, /* not in the list */
#define X(id, name, hop) id,
    FIELD_LIST(X)
#undef X
        FIELD_ID_COUNT
};

struct field {
    struct slice name, value; /* value without OWS at its ends */
    enum field_id id;
    bool nominated; /* a Connection field of the message names it */
};

enum field_id field_lookup(struct slice name);
bool field_is_hop_by_hop(enum field_id id);

/* Sets `nominated` of every field (RFC 9110 7.6.1). The last step of reading a head. False when the
 * Connection fields have more than `max` members, empty ones included: each costs a look at every field. */
bool fields_nominate(struct head *h, uint32_t max);

/* Whether a Connection field of the message names `option`, in any case of letters, in any of its lines (RFC
 * 9110 7.6.1). */
bool connection_has(const struct head *h, struct slice option);

/* Whether this field stays on its hop: by definition or because Connection names it (RFC 9110 7.6.1), which a
 * field that framing or routing rests on ignores: Content-Length, Host, ... */
bool field_stays_on_hop(const struct field *f);

/* Whether a field may stand in a trailer section that is passed on: never framing, routing, authentication,
 * or control (RFC 9110 6.5.1). */
bool field_allowed_in_trailer(const struct field *f);

/* The peer will keep this connection open after the message (RFC 9112 9.3): HTTP/1.1 unless close is named,
 * HTTP/1.0 only with an explicit keep-alive. For a client, `Proxy-Connection` does not count. */
bool head_is_persistent(const struct head *h);

/* Keep-Alive: timeout=N, max=M in any order and case; garbage is ignored. */
struct keep_alive_hint {
    bool has_timeout, has_max;
    uint64_t timeout_ms;
    uint64_t max;
};
struct keep_alive_hint keep_alive_hint(const struct head *h);

/* Whether a Via line names `pseudonym` as the received-by of some hop (RFC 9110 7.6.3). */
bool via_names(const struct head *h, struct slice pseudonym);

/* TE has the member `trailers` (RFC 9110 10.1.4). */
bool te_has_trailers(const struct head *h);

/* Expect: 100-continue (RFC 9110 10.1.1). */
bool expects_continue(const struct head *h);

/* The request says that it may be carried out twice: it has an Idempotency-Key or X-Idempotency-Key, and
 * passes it on (draft-ietf-httpapi-idempotency-key-header). */
bool has_idempotency_key(const struct head *h);

/* Takes the next protocol that may be passed on off an Upgrade list (RFC 9110 7.8): not h2c, which would
 * start one that Carpool does not speak. False at its end. */
bool upgrade_next(struct slice *list, struct slice *protocol);

/* NTLM or Negotiate, offered in a parsed WWW-Authenticate challenge list (RFC 9110 11.6.1: token68,
 * auth-params and quoted strings are skipped as such), or used as the scheme of Authorization. */
bool challenge_is_connection_bound(const struct head *h);
bool credentials_are_connection_bound(const struct head *h);

#endif
