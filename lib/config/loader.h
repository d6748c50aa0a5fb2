#ifndef CARPOOL_CONFIG_LOADER_H
#define CARPOOL_CONFIG_LOADER_H

/* What the parts that read a configuration share while they do. Inside lib/config only. */

#include "config/config.h"
#include "config/options.h"
#include "config/problems.h"

#define QUOTED_MAX 100 /* of a text from the file in a message */

/* A scalar of the file, or of a default. */
struct item {
    char *text;      /* variables replaced */
    const char *raw; /* as written: what messages quote, since a variable may hold a secret */
    struct mark at;
    bool from_env;
};

/* The place in the file whose options are being set. */
struct scope {
    const char *path; /* "", "defaults" or "upstreams.NAME" */
    struct mark at;   /* of its key; line 0: not in the file */
    unsigned which;   /* enum option_scope, or-ed */
    struct config *config;
    struct agent_policy *policy;
    struct upstream *upstream;
    struct mark *marks; /* an option each: where its key stands; line 0: not in the file */
    bool *from_env;     /* an option each */
    bool *failed;       /* an option each: what stands there was wrong, and reported */
};

/* A listener, and who wants it: for what can only be checked with all of them. */
struct listener_note {
    struct listener_note *next;
    const struct listen_list *owner;
    const struct listen_address *listen;
    const char *path; /* of the option */
    struct mark at;
    bool admin;
};

struct pattern_note {
    struct pattern_note *next;
    const struct upstream *upstream;
    const struct match_pattern *pattern;
    struct mark at;
};

struct yaml_text;

struct loader {
    struct arena *arena;
    struct config *config;
    struct problems problems;
    const char *directory;        /* relative file names start here */
    const struct config *running; /* NULL: not beside another one */
    const bool *cancelled;        /* atomic; NULL: never */
    bool on_this_host;            /* listeners and the access log must be possible here, too */
    struct scope top, defaults;
    struct scope *upstreams; /* config->upstream_count */
    struct listener_note *listeners;
    struct pattern_note *patterns;
    uint32_t listener_count, pattern_count;
    size_t visits;   /* of nodes: aliases could make a small file very large */
    size_t expanded; /* bytes that variables were replaced by: likewise */
    bool gave_up;    /* for one of these, which was reported */
    struct yaml_text *yaml;
};

/* Sets the option from items that came from the file or its default; reports what is wrong with them.
 * values.c */
void value_set(struct loader *l, struct scope *s, const struct option *o, const struct item *items,
               uint32_t count);

/* Where the option's value stands in memory. */
void *option_field(const struct scope *s, const struct option *o);

/* "upstreams.payments.timeouts.connect" */
const char *scope_option_path(struct arena *a, const struct scope *s, const char *path);

/* `path` itself when absolute, else below l->directory. */
char *loader_absolute(struct loader *l, const char *path);

/* The mark of an option's key; that of the scope's own key when the file does not name it there. load.c */
struct mark scope_mark(const struct scope *s, const char *path);

/* " in upstreams.payments", or nothing at the top; `prefix` is the section within it, and a dot. load.c */
const char *scope_section(struct loader *l, const struct scope *s, const char *prefix);

/* Reports it; `is_value`: what it has is no map or list. unknown_key.c */
void tell_unknown_key(struct loader *l, const struct scope *s, const char *prefix, const char *key,
                      struct mark at, bool is_value);

/* The built-in values, then those of the text; false when it could not be read to its end. load.c */
void load_defaults(struct loader *l);
bool load_text(struct loader *l, struct slice text);

/* Whether the file names the option there; whether what it has was wrong, and reported. check.c */
bool scope_given(const struct scope *s, const char *path);
bool scope_failed(const struct scope *s, const char *path);

/* What only the whole can show. check.c, tls_check.c */
void check_config(struct loader *l);
void check_default_tls(struct loader *l);
void check_tls(struct loader *l, const struct scope *s);

/* Reports an option for a certificate that is set without the one for its key, or the other way round; false:
 * one of them is not set. tls_check.c */
bool check_key_pair(struct loader *l, const struct scope *s, const char *cert, const char *key);

/* connectTls, made as connections take it. connect_tls.c */
void check_connect_tls(struct loader *l);

/* What only a file that is to be used has. log_file.c */
void check_log_file(struct loader *l);

#endif
