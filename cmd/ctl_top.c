#include "cmd/ctl_top.h"

#include <stdlib.h>
#include <time.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_screen.h"
#include "cmd/ctl_terminal.h"

#define INTERVAL_MS 1000
#define PATIENCE_S  3 /* then the rows are out of date */

struct top {
    struct screen screen;
    struct pool_table table;
    struct history_set histories;
    struct screen_row *rows;
    double last_look; /* seconds of a steady clock; 0: none yet */
    bool reversed;
    char error[CTL_ERROR_SIZE];
};

static double steady_seconds(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Rows that are equal stay in the order of pool_table_sort(): the worst first. */
static int compare_rows(const void *a, const void *b, void *ctx)
{
    const struct top *t = ctx;
    const struct screen_row *x = a, *y = b;
    int order = screen_compare(t->screen.sort, x, y);

    if (order == 0)
        order = x->pool < y->pool ? -1 : 1;
    return t->reversed ? -order : order;
}

static void sort_rows(struct top *t)
{
    if (t->screen.count > 1)
        qsort_r(t->rows, t->screen.count, sizeof *t->rows, compare_rows, t);
}

/* Rows that are out of date are not shown. */
static void show_nothing(struct top *t)
{
    pool_table_free(&t->table);
    t->screen.table = NULL;
    t->screen.count = 0;
    t->last_look = 0;
}

static void take_rows(struct top *t, double seconds)
{
    t->screen.count = t->table.count;
    t->rows = ctl_need(reallocarray(t->rows, t->table.count + 1, sizeof *t->rows));
    pool_table_sort(&t->table);
    history_begin(&t->histories);
    for (size_t i = 0; i < t->table.count; i++)
        t->rows[i] = (struct screen_row){&t->table.rows[i], history_take(&t->histories, &t->table.rows[i])};
    history_end(&t->histories, seconds);
    t->screen.rows = t->rows;
    sort_rows(t);
}

/* False, and nothing is shown but why, when the daemon did not answer. */
static bool look(struct top *t)
{
    struct ctl_reply reply;
    double now = steady_seconds();
    double seconds = t->last_look > 0 ? now - t->last_look : 0;
    bool good;

    if (ctl_ask_within(PATIENCE_S, t->screen.address, "GET", "/agents", &reply, t->error) != 0) {
        show_nothing(t);
        return false;
    }
    pool_table_free(&t->table);
    good = pool_table_read(&t->table, reply.body, reply.length, false, t->error, sizeof t->error);
    free(reply.body);
    if (!good) {
        show_nothing(t);
        return false;
    }
    t->screen.table = &t->table;
    t->last_look = now;
    take_rows(t, seconds);
    return true;
}

/* False: the user wants to leave. */
static bool obey(struct top *t, int key)
{
    struct screen *s = &t->screen;

    switch (key) {
    case 'q':
    case KEY_LEAVE: return false;
    case 'f':
    case ' ': s->frozen = !s->frozen; break;
    case 'r': t->reversed = !t->reversed; break;
    case KEY_LEFT:
    case '<': s->sort = (s->sort + SCREEN_COLUMNS) % (SCREEN_COLUMNS + 1); break;
    case KEY_RIGHT:
    case '>':
    case 's': s->sort = (s->sort + 1) % (SCREEN_COLUMNS + 1); break;
    case KEY_UP: s->scroll -= s->scroll > 0; break;
    case KEY_DOWN: s->scroll++; break;
    default: break;
    }
    sort_rows(t);
    return true;
}

static void run(struct top *t)
{
    double due = steady_seconds() + INTERVAL_MS / 1e3;
    bool stay = true;

    while (stay) {
        double left = due - steady_seconds();

        screen_draw(&t->screen);
        stay = obey(t, terminal_key(left > 0 ? (int)(left * 1e3) + 1 : 0));
        if (steady_seconds() >= due) {
            if (!t->screen.frozen)
                look(t);
            due = steady_seconds() + INTERVAL_MS / 1e3;
        }
    }
}

/* The exit status. */
static int show(struct top *t)
{
    if (!look(t)) {
        fprintf(stderr, "carpoolctl: %s\n", t->error);
        return 1;
    }
    if (!terminal_begin()) {
        fputs("carpoolctl: top needs a terminal; for scripts there is carpoolctl --json status\n", stderr);
        return 1;
    }
    t->screen.utf8 = terminal_is_utf8();
    run(t);
    terminal_end();
    return 0;
}

int ctl_top(const char *address)
{
    struct top t = {.screen = {.address = address, .sort = SCREEN_COLUMNS}};

    t.screen.error = t.error;
    int status = show(&t);
    pool_table_free(&t.table);
    history_free(&t.histories);
    free(t.rows);
    return status;
}
