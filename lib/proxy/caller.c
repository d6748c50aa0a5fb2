#include "proxy/caller.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/this_host.h"
#include "proxy/client.h"

/* Beyond so many those without a client are forgotten. */
#define CALLERS_MAX 2000

#define NAME_KEPT_MS (60 * 1000)
/* A name that is not there by then is reported when it comes. */
#define NAME_WAIT_MS 5
/* Threads that may wait for a user database which does not answer. */
#define QUESTIONS_MAX 16

/* What a caller is found by. */
struct identity {
    enum caller_kind kind;
    uint32_t uid;
    struct unit_names unit;
    bool is_open; /* it could not be found out now: the next request is a reason to try again */
    char host[ADDRESS_TEXT_SIZE];
};

void callers_init(struct callers *t)
{
    *t = (struct callers){.unknown = {.kind = CALLER_UNKNOWN, .name = "-", .vouched = ""},
                          .most = CALLERS_MAX};
    peer_diag_init(&t->diag);
}

static void free_served(struct caller *caller)
{
    struct caller_served *s, *next;
    HASH_ITER (hh, caller->served, s, next) {
        HASH_DEL(caller->served, s); /* NOLINT(clang-analyzer-unix.Malloc): the last one empties the table */
        free(s);
    }
}

static void forget(struct callers *t, struct caller *caller)
{
    HASH_DEL(t->table, caller); /* NOLINT(clang-analyzer-unix.Malloc) */
    if (t->latest_user == caller)
        t->latest_user = NULL;
    t->forgotten.requests += caller->requests;
    t->forgotten.errors += caller->errors;
    if (caller->question) {
        user_question_drop(caller->question);
        t->questions--;
    }
    free_served(caller);
    free(caller);
}

void callers_free(struct callers *t)
{
    struct caller *caller, *next;
    HASH_ITER (hh, t->table, caller, next)
        forget(t, caller);
    free_served(&t->unknown);
    peer_diag_close(&t->diag);
    cgroup_units_free(t->units);
}

struct caller *caller_hold(struct caller *caller)
{
    if (caller)
        __atomic_add_fetch(&caller->refs, 1, __ATOMIC_RELAXED);
    return caller;
}

void caller_release(struct caller *caller)
{
    if (caller)
        __atomic_sub_fetch(&caller->refs, 1, __ATOMIC_RELEASE);
}

/* ---- names of users */

static void set_user_name(struct caller *caller, const char *name)
{
    if (*name)
        snprintf(caller->name, sizeof caller->name, "%s", name);
    else
        snprintf(caller->name, sizeof caller->name, "uid:%u", caller->uid);
}

/* Only the first name is worth waiting for; another one is taken when it is there. */
static void refresh_name(struct callers *t, struct caller *caller)
{
    char name[USER_NAME_SIZE];
    bool is_first = caller->named_ms == 0;
    if (!caller->question && (is_first || clock_ms() >= caller->named_ms + NAME_KEPT_MS)) {
        caller->named_ms = clock_ms();
        if (user_name_in_file(caller->uid, name)) {
            set_user_name(caller, name);
            return;
        }
        caller->question = t->questions < QUESTIONS_MAX ? user_question_ask(caller->uid) : NULL;
        t->questions += caller->question != NULL;
        if (!caller->question && is_first)
            caller->named_ms = 0; /* the next client is a reason to try again */
    }
    if (!caller->question || !user_question_answer(caller->question, is_first ? NAME_WAIT_MS : 0, name))
        return;
    caller->question = NULL;
    t->questions--;
    set_user_name(caller, name);
}

/* ---- the table */

/* A question under way is a thread: it is not forgotten either. */
static bool is_in_use(const struct caller *caller)
{
    return __atomic_load_n(&caller->refs, __ATOMIC_ACQUIRE) > 0 || caller->question;
}

/* Many at once, so that it is seldom. */
static void make_room(struct callers *t)
{
    struct caller *caller, *next;
    if (HASH_COUNT(t->table) < t->most)
        return;
    /* NOLINTBEGIN(clang-analyzer-unix.Malloc): the last one empties the table */
    HASH_ITER (hh, t->table, caller, next)
        if (!is_in_use(caller) && HASH_COUNT(t->table) > CALLERS_MAX / 2)
            forget(t, caller);
    t->most = HASH_COUNT(t->table) > CALLERS_MAX / 2 ? 2 * HASH_COUNT(t->table) : CALLERS_MAX;
    /* NOLINTEND(clang-analyzer-unix.Malloc) */
}

static struct caller *add(struct callers *t, enum caller_kind kind, uint32_t uid, const char *key, size_t n)
{
    make_room(t);
    struct caller *caller = calloc(1, sizeof *caller + n + 1);
    if (!caller)
        return &t->unknown;
    caller->key = memcpy(caller + 1, key, n);
    caller->kind = kind;
    caller->uid = uid;
    const char *second = memchr(caller->key, '\n', n);
    caller->vouched = second ? second + 1 : "";
    if (kind == CALLER_USER)
        set_user_name(caller, "");
    else
        snprintf(caller->name, sizeof caller->name, "%.*s", (int)strcspn(caller->key + 1, "\n"),
                 caller->key + 1);
    HASH_ADD_KEYPTR(hh, t->table, caller->key, n, caller);
    if (caller->hh.tbl)
        return caller;
    free(caller);
    return &t->unknown;
}

static struct caller *find(struct callers *t, enum caller_kind kind, uint32_t uid, const char *key)
{
    struct caller *caller;
    size_t n = strlen(key);
    HASH_FIND(hh, t->table, key, n, caller);
    if (!caller)
        caller = add(t, kind, uid, key, n);
    if (caller->kind == CALLER_USER)
        refresh_name(t, caller);
    return caller_hold(caller);
}

/* Most clients are of one user. */
static struct caller *find_user(struct callers *t, uint32_t uid)
{
    char key[16];
    if (t->latest_user && t->latest_user->uid == uid) {
        refresh_name(t, t->latest_user);
        return caller_hold(t->latest_user);
    }
    snprintf(key, sizeof key, "u%u", uid);
    struct caller *caller = find(t, CALLER_USER, uid, key);
    if (caller->kind == CALLER_USER)
        t->latest_user = caller;
    return caller;
}

/* The key: a letter of its kind, then its name, and of a unit the vouched one after a line feed. */
static struct caller *find_identity(struct callers *t, const struct identity *who)
{
    char key[2 * UNIT_NAME_SIZE + 4];
    switch (who->kind) {
    case CALLER_UNKNOWN: return caller_hold(&t->unknown);
    case CALLER_USER: return find_user(t, who->uid);
    case CALLER_UNIT: snprintf(key, sizeof key, "n%s\n%s", who->unit.name, who->unit.vouched); break;
    case CALLER_HOST: snprintf(key, sizeof key, "h%s", who->host); break;
    }
    return find(t, who->kind, 0, key);
}

/* ---- who it is */

static void note_unseen(enum peer_found found, int number)
{
    if (found == PEER_NO_DIAG)
        log_event(LOG_WARN,
                  "cannot ask the kernel who clients are: callers over TCP are \"-\" (a sandbox without "
                  "AF_NETLINK? see Callers in carpoold(8))",
                  LOG_S("reason", strerror(number)));
    else if (found == PEER_UNSEEN)
        log_line(LOG_WARN, "the kernel does not list a client's socket: its caller is \"-\" (another network "
                           "namespace, or a kernel without tcp_diag?)");
}

static void take_user(struct callers *t, const struct peer_owner *owner, struct identity *who)
{
    if (peer_uid_is_certain(&t->diag, owner->uid)) {
        who->kind = CALLER_USER;
        who->uid = owner->uid;
        return;
    }
    who->is_open = t->diag.users == USERS_UNKNOWN;
    log_line(LOG_WARN, "a client's user cannot be seen from this user namespace: its caller is \"-\" "
                       "(PrivateUsers= of the unit? see Callers in carpoold(8))");
}

static void take_unit(enum unit_found found, struct identity *who)
{
    who->kind = found == UNIT_FOUND ? CALLER_UNIT : CALLER_UNKNOWN;
    who->is_open = found == UNIT_UNKNOWN;
}

static void take_cgroup(struct callers *t, uint64_t id, struct identity *who)
{
    if (!t->units)
        t->units = cgroup_units_new(NULL);
    enum unit_found found = !id ? UNIT_NONE : t->units ? cgroup_unit(t->units, id, &who->unit) : UNIT_UNKNOWN;
    take_unit(found, who);
}

static bool same_host(const struct address *a, const struct address *b)
{
    struct address c = *a;
    address_set_port(&c, address_port(b));
    return address_equal(&c, b);
}

/* Which of this host's addresses the client connected to. */
static bool find_local(const struct client *c, struct address *local)
{
    *local = c->frontend->address;
    if (!address_is_any(local))
        return true;
    local->length = sizeof local->sa;
    return getsockname(c->conn.fd, &local->sa.any, &local->length) == 0;
}

static void take_host(const struct address *peer, struct identity *who)
{
    static const char mapped[] = "::ffff:";
    char text[ADDRESS_TEXT_SIZE];
    const char *host = address_format_host(peer, text);
    if (strncmp(host, mapped, sizeof mapped - 1) == 0 && strchr(host, '.'))
        host += sizeof mapped - 1;
    who->kind = CALLER_HOST;
    snprintf(who->host, sizeof who->host, "%s", host);
}

static void identify_tcp(struct callers *t, const struct client *c, enum callers_by how, struct identity *who)
{
    const struct address peer = peer_address_get(&c->peer);
    struct address local;
    struct peer_owner owner;
    if (!find_local(c, &local))
        return;
    if (!same_host(&peer, &local) && !this_host_has(&peer)) {
        take_host(&peer, who);
        return;
    }
    enum peer_found found = peer_diag_find(&t->diag, c->conn.fd, &local, &peer, &owner);
    who->is_open = found == PEER_NO_DIAG && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
    if (found != PEER_FOUND)
        note_unseen(found, errno);
    else if (how == CALLERS_USER)
        take_user(t, &owner, who);
    else
        take_cgroup(t, owner.cgroup, who);
}

static void identify_unix(struct callers *t, const struct client *c, enum callers_by how,
                          struct identity *who)
{
    struct peer_owner owner;
    if (!peer_credentials(c->conn.fd, &owner))
        return;
    if (how == CALLERS_USER)
        take_user(t, &owner, who);
    else
        take_unit(cgroup_unit_of_peer(c->conn.fd, owner.pid, &who->unit), who);
}

static void identify(struct client *c, enum callers_by how)
{
    struct callers *t = &c->proxy->callers;
    struct identity who; /* its names are half a kilobyte, and read where they were written only */
    who.kind = CALLER_UNKNOWN;
    who.is_open = false;
    if (c->peer.sa.any.sa_family == AF_UNIX)
        identify_unix(t, c, how, &who);
    else
        identify_tcp(t, c, how, &who);
    c->caller = find_identity(t, &who);
    if (who.is_open)
        c->identified = CALLERS_OFF;
}

void caller_identify(struct client *c)
{
    enum callers_by how = c->proxy->config->callers;
    /* What could not be found out before callers were switched off left it one. */
    if (c->identified == how && (how != CALLERS_OFF || !c->caller))
        return;
    caller_release(c->caller);
    c->caller = NULL;
    c->identified = how;
    if (how != CALLERS_OFF)
        identify(c, how);
}

void caller_move(struct client *c)
{
    struct caller *before = c->caller;
    struct callers *t = &c->proxy->callers;
    if (!before)
        return;
    c->caller = before->kind == CALLER_UNKNOWN ? caller_hold(&t->unknown)
                                               : find(t, before->kind, before->uid, before->key);
    caller_release(before);
}

/* ---- what it may, and what it did */

static bool is_host(const char *name, const char *host)
{
    struct address a, b;
    return address_from_ip(&a, slice_of(name), 0) && address_from_ip(&b, slice_of(host), 0) &&
           address_equal(&a, &b);
}

static bool names_caller(const struct allowed *a, const struct caller *caller)
{
    switch (caller->kind) {
    case CALLER_UNKNOWN: return !a->is_user && strcmp(a->name, "-") == 0;
    case CALLER_USER: return a->is_user && a->uid == caller->uid;
    case CALLER_UNIT: return !a->is_user && strcmp(a->name, caller->vouched) == 0;
    case CALLER_HOST: return !a->is_user && is_host(a->name, caller->name);
    }
    return false;
}

bool caller_is_allowed(const struct allow_list *allow, const struct caller *caller)
{
    for (uint32_t i = 0; i < allow->count && caller; i++)
        if (names_caller(&allow->items[i], caller))
            return true;
    return allow->count == 0;
}

/* NULL when memory is short. */
static struct caller_served *served_by(struct caller *caller, const char *agent)
{
    struct caller_served *s;
    size_t n = strlen(agent);
    HASH_FIND(hh, caller->served, agent, n, s);
    if (!s && (s = calloc(1, sizeof *s + n + 1))) {
        memcpy(s->agent, agent, n);
        HASH_ADD_KEYPTR(hh, caller->served, s->agent, n, s);
        if (!s->hh.tbl) {
            free(s);
            return NULL;
        }
    }
    return s;
}

void caller_count_request(struct caller *caller, const char *agent)
{
    if (!caller)
        return;
    caller->requests++;
    struct caller_served *s = agent ? served_by(caller, agent) : NULL;
    if (s)
        s->requests++;
}

void caller_count_not_allowed(struct caller *caller, const char *agent)
{
    struct caller_served *s = caller ? served_by(caller, agent) : NULL;
    if (s)
        s->not_allowed++;
}
