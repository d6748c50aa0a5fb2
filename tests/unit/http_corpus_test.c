/* Every message of tests/corpus, whole, byte by byte and cut at line ends: the same reading each time, and
 * the one that the case expects where reading alone decides. */

#include "unit.h"

#include <dirent.h>
#include <stdio.h>

#include "http_message.h"
#include "http_test.h"

#define MAX_CASE (8 * 1024 * 1024)

struct corpus_case {
    char name[512];
    bool forward, refuse, cut, ends_early;
    bool head_request;
    char *raw;
    size_t n;
};

static const char *const placeholders[][2] = {
    {"{ORIGIN}", "127.0.0.1:8081"}, {"{HOST}", "127.0.0.1"},       {"{PORT}", "8081"},
    {"{PROXY}", "127.0.0.1:3128"},  {"{ADMIN}", "127.0.0.1:3129"}, {"{VIA}", "carpool-12345678"},
};

/* One byte or escape, or a placeholder's value; returns what was read. */
static const char *decode_one(const char *p, struct corpus_case *c)
{
    unsigned hex;

    for (size_t i = 0; *p == '{' && i < sizeof placeholders / sizeof placeholders[0]; i++) {
        size_t n = strlen(placeholders[i][0]);

        if (strncmp(p, placeholders[i][0], n) == 0) {
            memcpy(c->raw + c->n, placeholders[i][1], strlen(placeholders[i][1]));
            c->n += strlen(placeholders[i][1]);
            return p + n;
        }
    }
    if (*p != '\\') {
        c->raw[c->n++] = *p;
        return p + 1;
    }
    if (p[1] == 'x' && sscanf(p + 2, "%2x", &hex) == 1) {
        c->raw[c->n++] = (char)hex;
        return p + 4;
    }
    c->raw[c->n++] = p[1] == 'r' ? '\r' : p[1] == 'n' ? '\n' : p[1] == 't' ? '\t' : p[1];
    return p + 2;
}

static void decode_line(const char *line, struct corpus_case *c)
{
    unsigned long times = 1;
    int skip = 0;

    if (line[0] == '*' && sscanf(line, "*%lu%n", &times, &skip) == 1 && line[skip] == ' ')
        line += skip + 1;
    else
        times = 1;
    while (times-- > 0) {
        for (const char *p = line; *p;) {
            ck_assert_uint_lt(c->n, MAX_CASE - 64);
            p = decode_one(p, c);
        }
    }
}

static void read_case(const char *path, struct corpus_case *c)
{
    enum { HEADER, RAW, OTHER } part = HEADER;
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    ck_assert_msg(file, "cannot read %s", path);
    c->n = 0;
    c->forward = c->refuse = c->cut = c->ends_early = c->head_request = false;
    while ((n = getline(&line, &room, file)) > 0) {
        if (line[n - 1] == '\n')
            line[n - 1] = '\0';
        if (strncmp(line, "--- ", 4) == 0) {
            part = strcmp(line, "--- raw") == 0 ? RAW : OTHER;
        } else if (part == RAW) {
            decode_line(line, c);
        } else if (part == OTHER) {
            c->head_request |= strncmp(line, "HEAD ", 5) == 0;
        } else if (strncmp(line, "expect:", 7) == 0) {
            c->forward = strstr(line, "forward");
            c->refuse = strstr(line, "refuse");
            c->cut = strstr(line, "cut");
        } else if (strncmp(line, "flags:", 6) == 0) {
            c->ends_early = strstr(line, "half-close") || strstr(line, "eof");
        }
    }
    free(line);
    fclose(file);
}

static bool same_reading(const struct message_log *a, const struct message_log *b)
{
    return a->end == b->end && a->why == b->why && a->messages == b->messages && a->used == b->used &&
           a->content == b->content && a->digest == b->digest;
}

/* Families of cases that are lib/http's alone: nothing of a pool, an address or a time in them. */
static bool is_ours(const char *name)
{
    static const char *const families[] = {"auth-",    "bodiless-", "chunked-", "control-",
                                           "field-",   "framing-",  "hop-",     "line-",
                                           "persist-", "start-",    "trailer-"};

    /* How many empty lines may come first is the client's loop to say. */
    if (strcmp(name, "line-leading-crlf-flood.case") == 0)
        return false;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (strncmp(name, families[i], strlen(families[i])) == 0)
            return true;
    }
    return false;
}

static void check_case(const char *folder, const char *name, struct corpus_case *c, enum message_side side)
{
    static struct message_log whole, bytes, cut;
    enum request_kind asked;

    snprintf(c->name, sizeof c->name, "%s/%s", folder, name);
    read_case(c->name, c);
    asked = c->head_request ? REQUEST_HEAD : REQUEST_PLAIN;
    message_read((struct slice){c->raw, c->n}, c->n + 1, side, asked, &whole);
    message_read((struct slice){c->raw, c->n}, 1, side, asked, &bytes);
    message_read((struct slice){c->raw, c->n}, 0, side, asked, &cut);
    ck_assert_msg(same_reading(&whole, &bytes) && same_reading(&whole, &cut),
                  "%s depends on how it is cut: whole %s, by bytes %s, by lines %s", c->name,
                  whole.why ? whole.why : "fine", bytes.why ? bytes.why : "fine", cut.why ? cut.why : "fine");
    if (!is_ours(name))
        return;
    if (!c->refuse && !c->cut)
        ck_assert_msg(whole.end != MESSAGE_REFUSED, "%s: refused: %s", c->name, whole.why);
    if (!c->forward && !c->ends_early)
        ck_assert_msg(whole.end == MESSAGE_REFUSED, "%s: not refused", c->name);
}

/* How many cases there are. */
static unsigned check_folder(const char *part, enum message_side side)
{
    struct corpus_case c = {.raw = malloc(MAX_CASE)};
    const char *source = getenv("srcdir");
    unsigned count = 0;
    struct dirent *entry;
    char folder[256];
    DIR *dir;

    snprintf(folder, sizeof folder, "%s/tests/corpus/%s", source ? source : ".", part);
    dir = opendir(folder);
    while (dir && (entry = readdir(dir))) {
        if (!strstr(entry->d_name, ".case"))
            continue;
        check_case(folder, entry->d_name, &c, side);
        count++;
    }
    if (dir)
        closedir(dir);
    free(c.raw);
    return count;
}

START_TEST(corpus_requests_are_read)
{
    ck_assert_uint_gt(check_folder("requests", REQUESTS), 0);
}
END_TEST

START_TEST(corpus_responses_are_read)
{
    ck_assert_uint_gt(check_folder("responses", RESPONSES), 0);
}
END_TEST

void http_corpus_tests(Suite *suite)
{
    unit_group(suite, "corpus", corpus_requests_are_read, corpus_responses_are_read);
}
