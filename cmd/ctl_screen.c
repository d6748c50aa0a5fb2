#include "cmd/ctl_screen.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/ctl_cells.h"
#include "cmd/ctl_terminal.h"
#include "cmd/ctl_words.h"

#define SPARK_WIDTH     20
#define SPARK_TITLE     "REQ/S, LAST 20 S"
#define SCALE_WIDTH     8  /* "max 1200" after the bars */
#define AGENT_WIDTH_MIN 12 /* where the terminal is narrow and a name is longer */
#define AGENT_WIDTH_MAX 24
#define ORIGIN_WIDTH    20 /* at least */
#define ORIGIN_LEAST    10 /* and where no column is left that could make room */

static double active_of(const struct screen_row *r)
{
    return (double)r->pool->active;
}

static double streams_of(const struct screen_row *r)
{
    return (double)r->pool->streams;
}

static double connecting_of(const struct screen_row *r)
{
    return (double)r->pool->connecting;
}

static double free_of(const struct screen_row *r)
{
    return (double)r->pool->free;
}

static double waiting_of(const struct screen_row *r)
{
    return (double)r->pool->waiting;
}

static double request_rate_of(const struct screen_row *r)
{
    return r->pool->request_rate;
}

static double error_rate_of(const struct screen_row *r)
{
    return r->pool->error_rate;
}

static double refused_rate_of(const struct screen_row *r)
{
    return r->pool->refused_rate;
}

static double reuse_of(const struct screen_row *r)
{
    return r->history->reuse;
}

static double opened_rate_of(const struct screen_row *r)
{
    return r->history->opened_rate;
}

/* `given_up` is the order in which columns are left out where the terminal is narrow; 0: never. */
static const struct column {
    const char *title;
    int width; /* of figures; 0: a text that gets what is left */
    int given_up;
    double (*value)(const struct screen_row *r);
} columns[SCREEN_COLUMNS] = {
    {"AGENT", 0, 0, NULL},          {"ORIGIN", 0, 0, NULL},
    {"ACTIVE", 7, 0, active_of},    {"STREAMS", 8, 5, streams_of},
    {"CONN", 5, 1, connecting_of},  {"FREE", 5, 6, free_of},
    {"WAITING", 7, 7, waiting_of},  {"REQ/S", 7, 0, request_rate_of},
    {"ERR/S", 6, 0, error_rate_of}, {"REF/S", 6, 4, refused_rate_of},
    {"REUSE", 5, 3, reuse_of},      {"OPEN/S", 6, 2, opened_rate_of},
};

int screen_compare(unsigned column, const struct screen_row *a, const struct screen_row *b)
{
    double p, q;

    if (column == 0)
        return strcmp(a->pool->agent, b->pool->agent);
    if (column == 1)
        return strcmp(a->pool->origin, b->pool->origin);
    if (column >= SCREEN_COLUMNS)
        return 0;
    p = columns[column].value(a);
    q = columns[column].value(b);
    return p < q ? 1 : p > q ? -1 : 0;
}

/* Layout */

struct layout {
    int agent, origin; /* widths */
    bool shown[SCREEN_COLUMNS], spark;
};

static int fixed_width(const struct layout *l)
{
    int width = 0;

    for (size_t i = 0; i < SCREEN_COLUMNS; i++)
        width += l->shown[i] && columns[i].width ? columns[i].width + 1 : 0;
    return width;
}

static bool fits(const struct layout *l, int columns_there, int origin)
{
    return fixed_width(l) + l->agent + 1 + origin + 1 <= columns_there;
}

static void give_up(struct layout *l, int columns_there, int first, int last, int origin)
{
    for (int turn = first; turn <= last && !fits(l, columns_there, origin); turn++)
        for (size_t i = 0; i < SCREEN_COLUMNS; i++)
            l->shown[i] &= columns[i].given_up != turn;
}

static int longest_agent(const struct screen *s)
{
    size_t longest = strlen(columns[0].title);
    char name[POOL_NAME_SIZE];

    for (size_t i = 0; i < s->count; i++) {
        size_t n = ctl_width(pool_agent_name(s->rows[i].pool, name));

        longest = n > longest ? n : longest;
    }
    return longest < AGENT_WIDTH_MAX ? (int)longest : AGENT_WIDTH_MAX;
}

static struct layout lay_out(const struct screen *s, int columns_there)
{
    struct layout l = {.agent = longest_agent(s)};
    int left;

    for (size_t i = 0; i < SCREEN_COLUMNS; i++)
        l.shown[i] = columns[i].value != streams_of || pool_table_has_http2(s->table);
    give_up(&l, columns_there, 1, 5, ORIGIN_WIDTH);
    while (l.agent > AGENT_WIDTH_MIN && !fits(&l, columns_there, ORIGIN_WIDTH))
        l.agent--;
    give_up(&l, columns_there, 6, 7, ORIGIN_LEAST);
    left = columns_there - fixed_width(&l) - l.agent - 2;
    l.spark = left >= ORIGIN_WIDTH * 2 + SPARK_WIDTH + SCALE_WIDTH + 2;
    l.origin = l.spark ? left - SPARK_WIDTH - SCALE_WIDTH - 2 : left;
    return l;
}

static int width_of(const struct layout *l, size_t column)
{
    return column == 0 ? l->agent : column == 1 ? l->origin : columns[column].width;
}

/* Sentences */

/* Wrapped between words, in at most `room` lines. */
static void put_wrapped(struct picture *p, enum cell_style style, const char *text, int room)
{
    char line[1024];

    for (; *text && room > 0; room--) {
        const char *at = text;

        snprintf(line, sizeof line, "%.*s", (int)ctl_take_line(&text, (size_t)p->columns), at);
        picture_put(p, style, line, p->columns);
        picture_next_line(p);
    }
}

static int lines_of(const struct picture *p, const char *text)
{
    int lines = 0;

    for (; *text; lines++)
        ctl_take_line(&text, (size_t)p->columns);
    return lines;
}

/* What is wrong, as many sentences as have room whole. */
static void draw_sentences(const struct screen *s, struct picture *p)
{
    int end = p->row + p->rows / 3;
    const char *sentence;
    char more[64];

    for (size_t i = 0; (sentence = pool_table_sentence(s->table, i)); i++) {
        if (p->row + lines_of(p, sentence) > end) {
            snprintf(more, sizeof more, "... and %zu more: carpoolctl status",
                     pool_table_sentence_count(s->table) - i);
            put_wrapped(p, CELL_BAD, more, 1);
            return;
        }
        put_wrapped(p, CELL_BAD, sentence, end - p->row);
    }
}

/* The table */

static void draw_head(const struct screen *s, const struct layout *l, struct picture *p)
{
    for (size_t i = 0; i < SCREEN_COLUMNS; i++) {
        enum cell_style style = i == s->sort ? CELL_CHOSEN : CELL_REVERSE;

        if (!l->shown[i])
            continue;
        (columns[i].width ? picture_put_right : picture_put)(p, style, columns[i].title, width_of(l, i));
        picture_put(p, CELL_REVERSE, "", 1);
    }
    picture_put(p, CELL_REVERSE, l->spark ? SPARK_TITLE : "", p->columns);
    picture_next_line(p);
}

static const char *figure(const struct screen_row *r, const struct column *c, char out[POOL_NAME_SIZE])
{
    double value = c->value(r);

    if (c->value == active_of)
        return pool_active(r->pool, out);
    if (c->value == streams_of)
        return pool_streams(r->pool, out);
    if ((c->value == reuse_of && value < 0) || (c->value == opened_rate_of && r->history->looks < 2))
        return "-"; /* the first look cannot tell */
    if (c->value == reuse_of)
        snprintf(out, POOL_NAME_SIZE, "%u%%", (unsigned)(value * 100));
    else
        snprintf(out, POOL_NAME_SIZE, "%.*f", value != (double)(long long)value && value < 100 ? 1 : 0,
                 value);
    return out;
}

static enum cell_style style_of(const struct screen_row *r, size_t column)
{
    const struct pool_row *p = r->pool;

    if (columns[column].value == error_rate_of && p->error_rate > 0)
        return CELL_BAD;
    if (columns[column].value == refused_rate_of && p->refused_rate > 0)
        return CELL_BAD;
    if (columns[column].value == waiting_of && p->waiting > 0)
        return CELL_WARN;
    if ((columns[column].value == active_of && pool_is_full(p)) || (column == 0 && p->paused))
        return CELL_WARN;
    if (columns[column].value == streams_of && pool_streams_are_full(p))
        return CELL_WARN;
    return pool_is_idle(p) ? CELL_DIM : CELL_PLAIN;
}

/* What is cut off ends with a mark. */
static void put_text(const struct screen *s, struct picture *p, enum cell_style style, const char *text,
                     int width)
{
    bool is_cut = ctl_width(text) > (size_t)width;

    picture_put(p, style, text, is_cut ? width - 1 : width);
    if (is_cut)
        picture_put(p, style, s->utf8 ? "…" : ">", 1);
}

static size_t bytes_of(const char *text, size_t characters)
{
    size_t n = 0;

    while (text[n] && ctl_width(text) - ctl_width(text + n) < characters)
        n++;
    while (((unsigned char)text[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* Of what is cut the middle is left out: both the host and the port tell one origin from another. */
static void put_origin(const struct screen *s, struct picture *p, enum cell_style style,
                       const struct pool_row *row, int width)
{
    char name[POOL_NAME_SIZE];
    const char *text = pool_origin_name(row, name);
    size_t length, begin;

    text += strncmp(text, "http://", 7) == 0 ? 7 : 0;
    length = ctl_width(text);
    if (width < 3 || length <= (size_t)width) {
        picture_put(p, style, text, width);
        return;
    }
    begin = (size_t)(width - 1) / 2;
    picture_put(p, style, text, (int)begin);
    picture_put(p, style, s->utf8 ? "…" : ">", 1);
    begin = (size_t)width - 1 - begin;
    picture_put(p, style, text + bytes_of(text, length - begin), (int)begin);
}

static void draw_row(const struct screen *s, const struct layout *l, const struct screen_row *r,
                     struct picture *p)
{
    char text[POOL_NAME_SIZE], bars[SPARKLINE_SIZE];

    for (size_t i = 0; i < SCREEN_COLUMNS; i++) {
        enum cell_style style = style_of(r, i);

        if (!l->shown[i])
            continue;
        if (i == 0)
            put_text(s, p, style, pool_agent_name(r->pool, text), l->agent);
        else if (i == 1)
            put_origin(s, p, style, r->pool, l->origin);
        else
            picture_put_right(p, style, figure(r, &columns[i], text), columns[i].width);
        picture_put(p, CELL_PLAIN, "", 1);
    }
    if (l->spark) {
        history_sparkline(r->history, SPARK_WIDTH, s->utf8, bars);
        picture_put(p, CELL_BAR, bars, SPARK_WIDTH);
        snprintf(text, sizeof text, " max %.0f", history_highest(r->history, SPARK_WIDTH));
        picture_put(p, CELL_PLAIN, text, SCALE_WIDTH);
    }
    picture_next_line(p);
}

static void draw_pools(struct screen *s, struct picture *p)
{
    const struct layout l = lay_out(s, p->columns);
    char line[512];

    put_wrapped(p, CELL_HEAD, pool_table_summary(s->table, line, sizeof line), 2);
    draw_sentences(s, p);
    picture_next_line(p);
    if (s->scroll >= s->count)
        s->scroll = s->count ? s->count - 1 : 0;
    draw_head(s, &l, p);
    for (size_t i = s->scroll; i < s->count && p->row < p->rows - 3; i++)
        draw_row(s, &l, &s->rows[i], p);
    while (p->row < p->rows - 2)
        picture_next_line(p);
    put_wrapped(p, CELL_PLAIN, pool_table_savings(s->table, line, sizeof line), 1);
}

/* As many as have room whole. */
static void draw_keys(struct picture *p, bool frozen)
{
    static const char *const running[] = {"q quit   ",         "f freeze   ", "left/right sort by   ",
                                          "up/down scroll   ", "r reverse",   NULL};
    static const char *const still[] = {"frozen: f continue   ", "q quit", NULL};

    for (const char *const *key = frozen ? still : running; *key; key++) {
        int width = (int)strlen(*key);

        if (p->column + width > p->columns - 1)
            break;
        picture_put(p, frozen ? CELL_WARN : CELL_DIM, *key, width);
    }
    picture_next_line(p);
}

void screen_draw(struct screen *s)
{
    struct picture p;

    picture_begin(&p);
    if (s->table)
        draw_pools(s, &p);
    else
        put_wrapped(&p, CELL_BAD, s->error, 4);
    while (p.row < p.rows - 1)
        picture_next_line(&p);
    draw_keys(&p, s->frozen);
    picture_show(&p);
}
