#include "http/web_origin.h"

static struct slice without_suffix(struct slice s, struct slice suffix)
{
    return slice_ends_nocase(s, suffix) ? (struct slice){s.p, s.n - suffix.n} : s;
}

static bool names(struct slice origin, struct slice scheme, struct slice default_port, struct slice host)
{
    return slice_begins_nocase(origin, scheme) &&
           slice_eq_nocase(without_suffix(slice_from(origin, scheme.n), default_port),
                           without_suffix(host, default_port));
}

bool web_origin_is_own(struct slice origin, struct slice host)
{
    return names(origin, SLICE("http://"), SLICE(":80"), host) ||
           names(origin, SLICE("https://"), SLICE(":443"), host);
}
