#include "cmd/ctl_top.h"

#include <curses.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_history.h"
#include "cmd/ctl_output.h"
#include "cmd/ctl_pools.h"

#define INTERVAL_MS 1000
#define SPARK_WIDTH 20

enum { COLOUR_BAD = 1, COLOUR_WARN, COLOUR_SPARK };

/* A row on the screen: figures of now and of the last interval. */
struct top_row {
    const struct pool_row *pool;
    const struct history *history;
};

struct top {
    const char *address;
    struct pool_table table;
    struct history_set histories;
    struct top_row *rows;
    size_t count;
    double last_look; /* seconds of a steady clock; 0: none yet */
    unsigned sort;    /* index into columns */
    bool reversed, paused, utf8;
    size_t scroll;
    char error[CTL_ERROR_SIZE]; /* of the last look; "" when it went well */
};

/* Columns */

static double load_of(const struct top_row *r)
{
    const struct pool_row *p = r->pool;

    return (double)p->pending * 1e6 +
           (p->max == UINT64_MAX || p->max == 0 ? 0 : (double)p->active / (double)p->max * 1000) +
           r->history->request_rate / 1e6;
}

static double active_of(const struct top_row *r)
{
    return (double)r->pool->active;
}

static double connecting_of(const struct top_row *r)
{
    return (double)r->pool->connecting;
}

static double free_of(const struct top_row *r)
{
    return (double)r->pool->free;
}

static double waiter_of(const struct top_row *r)
{
    return (double)r->pool->pending;
}

static double request_rate_of(const struct top_row *r)
{
    return r->history->request_rate;
}

static double reuse_of(const struct top_row *r)
{
    return r->history->reuse;
}

static double opened_rate_of(const struct top_row *r)
{
    return r->history->opened_rate;
}

static double error_rate_of(const struct top_row *r)
{
    return r->history->error_rate;
}

/* A column whose `value` is NULL is a text or a limit: it is sorted by load. */
static const struct column {
    const char *title;
    int width; /* of figures; 0: a text that gets what is left */
    double (*value)(const struct top_row *r);
} columns[] = {
    {"AGENT", 0, NULL},
    {"ORIGIN", 0, NULL},
    {"ACTIVE", 6, active_of},
    {"CONN", 5, connecting_of},
    {"FREE", 5, free_of},
    {"PENDING", 7, waiter_of},
    {"MAX", 6, NULL},
    {"REQ/S", 8, request_rate_of},
    {"REUSE", 6, reuse_of},
    {"OPEN/S", 7, opened_rate_of},
    {"ERR/S", 6, error_rate_of},
};

#define COLUMNS (sizeof columns / sizeof columns[0])

static double sort_value(const struct top *t, const struct top_row *r)
{
    return columns[t->sort].value ? columns[t->sort].value(r) : load_of(r);
}

static int compare_rows(const void *a, const void *b, void *ctx)
{
    const struct top *t = ctx;
    const struct top_row *x = a, *y = b;
    double p = sort_value(t, x), q = sort_value(t, y);
    int order = p < q ? 1 : p > q ? -1 : 0;

    if (columns[t->sort].width == 0)
        order =
            t->sort == 0 ? strcmp(x->pool->agent, y->pool->agent) : strcmp(x->pool->origin, y->pool->origin);
    if (order == 0)
        order = strcmp(x->pool->agent, y->pool->agent);
    if (order == 0)
        order = strcmp(x->pool->origin, y->pool->origin);
    return t->reversed ? -order : order;
}

/* Looking */

static double steady_seconds(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void sort_rows(struct top *t)
{
    if (t->count > 1)
        qsort_r(t->rows, t->count, sizeof *t->rows, compare_rows, t);
}

/* Replaces the rows; false, and what was there stays, when the daemon did not answer. */
static bool look(struct top *t)
{
    struct ctl_reply reply;
    struct pool_table table;
    double now = steady_seconds();
    double seconds = t->last_look > 0 ? now - t->last_look : 0;

    t->error[0] = '\0';
    if (ctl_ask(t->address, "GET", "/agents", &reply, t->error) != 0)
        return false;
    if (!pool_table_read(&table, reply.body, reply.length, false, t->error, sizeof t->error)) {
        free(reply.body);
        return false;
    }
    free(reply.body);
    pool_table_free(&t->table);
    t->table = table;
    t->last_look = now;
    t->count = table.count;
    t->rows = ctl_need(realloc(t->rows, (t->count + 1) * sizeof *t->rows));
    history_begin(&t->histories);
    for (size_t i = 0; i < t->count; i++)
        t->rows[i] =
            (struct top_row){&t->table.rows[i], history_take(&t->histories, &t->table.rows[i], seconds)};
    history_end(&t->histories);
    sort_rows(t);
    return true;
}

/* Drawing */

/* Writes a text into `width` columns, cut or padded; control characters of a server's are shown as `?`. */
static void put_text(const char *text, int width)
{
    const char *p = text;
    int used = 0;

    while (*p && used < width) {
        unsigned control = ctl_control_length(p);
        const char *next = p + (control ? control : 1);

        while (!control && (*next & 0xc0) == 0x80)
            next++;
        addnstr(control ? "?" : p, control ? 1 : (int)(next - p));
        p = next;
        used++;
    }
    for (; used < width; used++)
        addch(' ');
}

static void put_cell_number(const struct top_row *r, size_t column)
{
    const struct column *c = &columns[column];
    double value = c->value ? c->value(r) : 0;

    if (!c->value && r->pool->max == UINT64_MAX)
        printw("%*s ", c->width, "-");
    else if (!c->value)
        printw("%*llu ", c->width, (unsigned long long)r->pool->max);
    else if (c->value == reuse_of && value < 0)
        printw("%*s ", c->width, "-");
    else if (c->value == reuse_of)
        printw("%*.0f%% ", c->width - 1, value * 100);
    else
        printw("%*.*f ", c->width, c->width > 5 && value != (double)(long long)value && value < 100 ? 1 : 0,
               value);
}

static int attribute_of(const struct top_row *r, size_t column)
{
    const struct pool_row *p = r->pool;

    if (columns[column].value == waiter_of && p->pending > 0)
        return COLOR_PAIR(COLOUR_BAD) | A_BOLD;
    if (columns[column].value == active_of && p->max != UINT64_MAX && p->max > 0 && p->active >= p->max)
        return COLOR_PAIR(COLOUR_WARN) | A_BOLD;
    if (columns[column].value == error_rate_of && r->history->error_rate > 0)
        return COLOR_PAIR(COLOUR_WARN) | A_BOLD;
    return column == 0 && p->paused ? COLOR_PAIR(COLOUR_WARN) : A_NORMAL;
}

struct layout {
    int agent, origin, spark; /* widths */
};

static struct layout lay_out(void)
{
    int fixed = 0, left;
    struct layout l = {.spark = SPARK_WIDTH};

    for (size_t i = 0; i < COLUMNS; i++)
        fixed += columns[i].width ? columns[i].width + 1 : 0;
    left = COLS - fixed - l.spark - 3;
    if (left < 40) {
        l.spark = 0;
        left = COLS - fixed - 2;
    }
    left = left < 16 ? 16 : left;
    l.agent = left / 3 < 20 ? left / 3 : 20;
    l.origin = left - l.agent;
    return l;
}

static int width_of(const struct layout *l, size_t column)
{
    return column == 0 ? l->agent : column == 1 ? l->origin : columns[column].width;
}

/* Whether so many columns more do not reach the edge, behind which curses would go on in the next line. */
static bool fits(int width)
{
    return getcurx(stdscr) + width < COLS;
}

static void draw_head(const struct top *t, const struct layout *l, int y)
{
    move(y, 0);
    attron(A_REVERSE);
    for (size_t i = 0; i < COLUMNS && fits(width_of(l, i) + 1); i++) {
        int width = width_of(l, i);

        if (i == t->sort)
            attron(A_BOLD | A_UNDERLINE);
        if (columns[i].width)
            printw("%*s", width, columns[i].title);
        else
            put_text(columns[i].title, width);
        attroff(A_BOLD | A_UNDERLINE);
        addch(' ');
    }
    put_text(l->spark ? "REQ/S, LAST" : "", COLS - getcurx(stdscr));
    attroff(A_REVERSE);
}

static void draw_row(const struct top *t, const struct layout *l, const struct top_row *r, int y)
{
    char cell[POOL_CELL_SIZE], spark[SPARKLINE_SIZE];

    move(y, 0);
    for (size_t i = 0; i < COLUMNS && fits(width_of(l, i) + 1); i++) {
        int attribute = attribute_of(r, i);

        attron(attribute);
        if (i < 2) {
            put_text(pool_cell(r->pool, i == 0 ? COLUMN_AGENT : COLUMN_ORIGIN, cell), width_of(l, i));
            addch(' ');
        } else {
            put_cell_number(r, i);
        }
        attroff(attribute);
    }
    if (l->spark && fits(l->spark)) {
        attron(COLOR_PAIR(COLOUR_SPARK));
        addstr(history_sparkline(r->history, (unsigned)l->spark, t->utf8, spark));
        attroff(COLOR_PAIR(COLOUR_SPARK));
    }
}

static void draw_title(const struct top *t)
{
    double active = 0, idle = 0, pending = 0, rate = 0;
    char line[512];

    for (size_t i = 0; i < t->count; i++) {
        active += active_of(&t->rows[i]);
        idle += free_of(&t->rows[i]);
        pending += waiter_of(&t->rows[i]);
        rate += request_rate_of(&t->rows[i]);
    }
    snprintf(line, sizeof line, "carpool at %s: %.0f active, %.0f free, %.0f pending, %.1f requests/s%s",
             t->address, active, idle, pending, rate, t->paused ? "  [paused]" : "");
    move(0, 0);
    attron(A_BOLD);
    put_text(line, COLS);
    attroff(A_BOLD);
    move(1, 0);
    put_text("q quit  p pause  left/right sort column  r reverse  up/down scroll", COLS);
}

/* From the bottom up; returns the line above. */
static int draw_sentences(const struct top *t)
{
    int room = LINES / 3, y;
    size_t count = 0;

    while ((int)count < room && pool_table_sentence(&t->table, count))
        count++;
    y = LINES - (int)count;
    for (size_t i = 0; i < count; i++) {
        move(y + (int)i, 0);
        attron(COLOR_PAIR(COLOUR_WARN));
        put_text(pool_table_sentence(&t->table, i), COLS);
        attroff(COLOR_PAIR(COLOUR_WARN));
    }
    return y - (count > 0 ? 1 : 0);
}

static void draw(struct top *t)
{
    const struct layout l = lay_out();
    int bottom;

    erase();
    draw_title(t);
    bottom = draw_sentences(t);
    if (t->scroll >= t->count)
        t->scroll = t->count ? t->count - 1 : 0;
    draw_head(t, &l, 3);
    for (size_t i = t->scroll; i < t->count && 4 + (int)(i - t->scroll) < bottom; i++)
        draw_row(t, &l, &t->rows[i], 4 + (int)(i - t->scroll));
    if (t->error[0]) {
        move(2, 0);
        attron(COLOR_PAIR(COLOUR_BAD) | A_BOLD);
        put_text(t->error, COLS);
        attroff(COLOR_PAIR(COLOUR_BAD) | A_BOLD);
    }
    refresh();
}

/* Keys */

/* False: the user wants to leave. */
static bool obey(struct top *t, int key)
{
    switch (key) {
    case 'q':
    case 'Q':
    case 27: return false;
    case 'p':
    case ' ': t->paused = !t->paused; break;
    case 'r': t->reversed = !t->reversed; break;
    case KEY_LEFT:
    case '<': t->sort = (unsigned)((t->sort + COLUMNS - 1) % COLUMNS); break;
    case KEY_RIGHT:
    case '>':
    case 's': t->sort = (unsigned)((t->sort + 1) % COLUMNS); break;
    case KEY_UP: t->scroll -= t->scroll > 0; break;
    case KEY_DOWN: t->scroll++; break;
    default: break;
    }
    sort_rows(t);
    return true;
}

static void begin_screen(struct top *t)
{
    t->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    keypad(stdscr, TRUE);
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(COLOUR_BAD, COLOR_RED, -1);
        init_pair(COLOUR_WARN, COLOR_YELLOW, -1);
        init_pair(COLOUR_SPARK, COLOR_CYAN, -1);
    }
}

static void run(struct top *t)
{
    double due = t->last_look + INTERVAL_MS / 1e3;
    bool stay = true;

    while (stay) {
        double left = due - steady_seconds();
        int key;

        draw(t);
        timeout(left > 0 ? (int)(left * 1e3) + 1 : 0);
        key = getch();
        if (key != ERR)
            stay = obey(t, key); /* KEY_RESIZE: curses has learnt the new size, and all is drawn anew */
        if (steady_seconds() >= due) {
            if (!t->paused)
                look(t);
            due = steady_seconds() + INTERVAL_MS / 1e3;
        }
    }
}

int ctl_top(const char *address)
{
    struct top t = {.address = address, .sort = 5};

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fputs("carpoolctl: top wants a terminal; for a script there is carpoolctl --json status\n", stderr);
        return 1;
    }
    if (!look(&t)) {
        fprintf(stderr, "carpoolctl: %s\n", t.error);
        return 1;
    }
    setlocale(LC_ALL, "");
    if (!newterm(NULL, ctl_terminal(), stdin)) {
        fputs("carpoolctl: top cannot use this terminal; is TERM right?\n", stderr);
        return 1;
    }
    begin_screen(&t);
    run(&t);
    endwin();
    pool_table_free(&t.table);
    history_free(&t.histories);
    free(t.rows);
    return 0;
}
