/* carpoolctl status: one line over all, what is wrong, and the pools as a table. */

#include "cmd/ctl_status.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ctl_cells.h"
#include "cmd/ctl_hour.h"
#include "cmd/ctl_table.h"
#include "cmd/ctl_words.h"

#define COLUMNS_MAX 17

static size_t choose_columns(const struct pool_print *how, bool http2, struct table_column out[COLUMNS_MAX])
{
    static const struct table_column figures[] = {
        {"CONNECTING", false}, {"FREE", false},   {"WAITING", false}, {"WAITED", false}, {"REQUESTS", false},
        {"REUSE", false},      {"OPENED", false}, {"REFUSED", false}, {"ERRORS", false}};
    size_t n = 0;

    if (how->with_agent)
        out[n++] = (struct table_column){"AGENT", true};
    if (how->with_origin)
        out[n++] = (struct table_column){"ORIGIN", true};
    out[n++] = (struct table_column){"ACTIVE", false};
    if (http2)
        out[n++] = (struct table_column){"STREAMS", false};
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        out[n++] = figures[i];
    if (how->wide && http2) {
        out[n++] = (struct table_column){"PROTOCOL", true};
        out[n++] = (struct table_column){"DRAINING", false};
        out[n++] = (struct table_column){"GOAWAYS", false};
    }
    if (how->wide)
        out[n++] = (struct table_column){"RETIRED", true};
    return n;
}

static void add_retired(struct table *t, enum cell_style style, const struct pool_row *r)
{
    char all[CTL_WORD_SIZE], most[CTL_WORD_SIZE];

    if (r->main_reason)
        table_add(t, style, "%s (%s %s)", ctl_count(r->retired, all), ctl_count(r->main_count, most),
                  r->main_reason);
    else
        table_add_count(t, style, r->retired);
}

static void add_row(struct table *t, const struct pool_row *r, const struct pool_print *how, bool http2)
{
    enum cell_style plain = pool_is_idle(r) ? CELL_DIM : CELL_PLAIN;
    enum cell_style wrong = r->errors > 0 ? CELL_BAD : plain, refused = r->refused > 0 ? CELL_BAD : plain;
    char text[POOL_NAME_SIZE], waited[CTL_WORD_SIZE];

    if (how->with_agent)
        table_add(t, r->paused ? CELL_WARN : plain, "%s", pool_agent_name(r, text));
    if (how->with_origin)
        table_add(t, plain, "%s", pool_origin_name(r, text));
    table_add(t, pool_is_full(r) ? CELL_WARN : plain, "%s", pool_active(r, text));
    if (http2)
        table_add(t, pool_streams_are_full(r) ? CELL_WARN : plain, "%s", pool_streams(r, text));
    table_add_count(t, plain, r->connecting);
    table_add_count(t, plain, r->free);
    table_add_count(t, r->waiting > 0 ? CELL_WARN : plain, r->waiting);
    table_add(t, plain, "%s", ctl_short_time(r->waited_max_ms, waited));
    table_add_count(t, plain, r->requests);
    table_add(t, plain, "%s", pool_reuse(r, text));
    table_add_count(t, plain, r->opened);
    table_add_count(t, refused, r->refused);
    table_add_count(t, wrong, r->errors);
    if (how->wide && http2) {
        table_add(t, plain, "%s", r->protocol);
        table_add_count(t, plain, r->draining);
        table_add_count(t, plain, r->goaways);
    }
    if (how->wide)
        add_retired(t, plain, r);
}

void pool_table_print(const struct pool_table *t, FILE *out, const struct pool_print *how)
{
    struct table_column columns[COLUMNS_MAX];
    bool http2 = pool_table_has_http2(t);
    struct table paper;

    table_begin(&paper, columns, choose_columns(how, http2, columns));
    for (size_t i = 0; i < t->count; i++)
        add_row(&paper, &t->rows[i], how, http2);
    table_print(&paper, out, how->colours);
    table_free(&paper);
    if (how->with_origin && pool_table_has_forgotten(t))
        fprintf(out, "\n%s", pool_forgotten_legend);
}

/* On a terminal its lines end between words. */
static void print_wrapped(FILE *out, const char *text, enum cell_style style, bool colours)
{
    const struct wrapping w = {.columns = ctl_columns(), .style = style, .colours = colours};

    table_print_wrapped(out, text, &w);
}

/* "payments: ..." or "payments http://p.test:80: ..." */
static const char *without_name(const char *sentence, const char *agent)
{
    size_t n = agent ? strlen(agent) : 0;

    if (n == 0 || strncmp(sentence, agent, n) != 0 || !strchr(": ", sentence[n]))
        return sentence;
    sentence += n;
    return sentence + strspn(sentence, ": ");
}

void pool_table_print_sentences(const struct pool_table *t, const char *agent, FILE *out, bool colours)
{
    const char *sentence;

    for (size_t i = 0; (sentence = pool_table_sentence(t, i)); i++)
        print_wrapped(out, without_name(sentence, agent), CELL_BAD, colours);
}

static void print_status(struct pool_table *t, const struct ctl_options *o)
{
    const struct pool_print how = {true, true, o->wide, ctl_wants_colours()};
    char line[512];

    pool_table_sort(t);
    print_wrapped(stdout, pool_table_summary(t, line, sizeof line), CELL_HEAD, how.colours);
    pool_table_print_sentences(t, NULL, stdout, how.colours);
    putchar('\n');
    pool_table_print(t, stdout, &how);
    putchar('\n');
    if (hour_summary(t, line, sizeof line))
        print_wrapped(stdout, line, CELL_PLAIN, how.colours);
    print_wrapped(stdout, pool_table_savings(t, line, sizeof line), CELL_PLAIN, how.colours);
}

int pool_table_show(const struct ctl_options *o, const char *name, bool by_agent, pool_show *show)
{
    char error[CTL_ERROR_SIZE];
    struct pool_table table;
    struct ctl_reply reply;
    int status =
        name ? ctl_request_agent(o, "GET", name, NULL, &reply) : ctl_request(o, "GET", "/agents", &reply);

    if (status != CTL_FINE)
        return status;
    if (o->json)
        return ctl_print_json(&reply);
    if (pool_table_read(&table, reply.body, reply.length, by_agent, error, sizeof error)) {
        show(&table, o);
        pool_table_free(&table);
    } else {
        status = ctl_fail("%s", error);
    }
    free(reply.body);
    return status;
}

int ctl_status(const struct ctl_options *o, const char *name)
{
    (void)name;
    return pool_table_show(o, NULL, false, print_status);
}
