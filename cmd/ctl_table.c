#include "cmd/ctl_table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_output.h"
#include "cmd/ctl_words.h"

#define PLAIN      "\033[0m"
#define WRAP_LEAST 20 /* columns that a text needs to be wrapped */

const char *table_style(enum cell_style style)
{
    switch (style) {
    case CELL_BAD: return "\033[1;31m";
    case CELL_WARN: return "\033[33m";
    case CELL_DIM: return "\033[2m";
    case CELL_HEAD: return "\033[1m";
    case CELL_BAR: return "\033[36m";
    case CELL_REVERSE: return "\033[7m";
    case CELL_CHOSEN: return "\033[1;4;7m";
    case CELL_PLAIN: break;
    }
    return "";
}

void table_begin(struct table *t, const struct table_column *columns, size_t count)
{
    *t = (struct table){.columns = columns, .column_count = count};
}

void table_add(struct table *t, enum cell_style style, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = ctl_vformat(format, args);
    va_end(args);
    ctl_disarm(text);
    t->cells = ctl_need(reallocarray(t->cells, t->cell_count + 1, sizeof *t->cells));
    t->cells[t->cell_count++] = (struct table_cell){text, style};
}

void table_add_count(struct table *t, enum cell_style style, uint64_t n)
{
    char count[CTL_WORD_SIZE];

    table_add(t, style, "%s", ctl_count(n, count));
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->cell_count; i++)
        free(t->cells[i].text);
    free(t->cells);
    *t = (struct table){0};
}

void table_print_styled(FILE *out, const char *text, enum cell_style style, bool colours)
{
    const char *sequence = colours ? table_style(style) : "";

    if (*sequence)
        ctl_put_sequence(out, sequence);
    fputs(text, out);
    if (*sequence)
        ctl_put_sequence(out, PLAIN);
}

/* What stands before the first line is there. */
static void print_lines(FILE *out, const char *text, const struct wrapping *w)
{
    size_t indent = w->first;

    for (;;) {
        const char *at = text;
        char *line = ctl_need(strndup(at, ctl_take_line(&text, w->columns ? w->columns - indent : SIZE_MAX)));

        table_print_styled(out, line, w->style, w->colours);
        free(line);
        putc('\n', out);
        if (!*text)
            return;
        indent = w->others;
        fprintf(out, "%*s", (int)indent, "");
    }
}

void table_print_wrapped(FILE *out, const char *text, const struct wrapping *w)
{
    char *words = ctl_need(strdup(text));

    ctl_disarm(words);
    fprintf(out, "%*s", (int)w->first, "");
    print_lines(out, words, w);
    free(words);
}

static size_t width_of(const struct table *t, size_t column)
{
    size_t width = ctl_width(t->columns[column].title);

    for (size_t i = column; i < t->cell_count; i += t->column_count) {
        size_t n = ctl_width(t->cells[i].text);

        width = n > width ? n : width;
    }
    return width;
}

/* The last text of a line, which begins at the column `indent`, and nothing follows it. On a terminal its
 * further lines begin there, too. */
static void print_last(const struct table *t, FILE *out, const char *text, enum cell_style style,
                       size_t indent, bool colours)
{
    const struct wrapping w = {.columns = t->wrapped >= indent + WRAP_LEAST ? t->wrapped : 0,
                               .first = indent,
                               .others = indent,
                               .style = style,
                               .colours = colours};

    print_lines(out, text, &w);
}

static void print_row(const struct table *t, FILE *out, const struct table_cell *cells, const size_t *widths,
                      bool colours)
{
    size_t indent = 0;

    for (size_t c = 0; c < t->column_count; c++) {
        bool is_text = t->columns[c].is_text, last = c + 1 == t->column_count;
        int pad = (int)(widths[c] - ctl_width(cells[c].text));

        fprintf(out, "%*s", is_text ? 0 : pad, "");
        if (last) {
            print_last(t, out, cells[c].text, cells[c].style, indent, colours);
            return;
        }
        table_print_styled(out, cells[c].text, cells[c].style, colours);
        fprintf(out, "%*s  ", is_text ? pad : 0, "");
        indent += widths[c] + 2;
    }
}

void table_print(const struct table *t, FILE *out, bool colours)
{
    size_t *widths = ctl_need(calloc(t->column_count + 1, sizeof *widths));
    struct table_cell *head = ctl_need(calloc(t->column_count + 1, sizeof *head));

    for (size_t c = 0; c < t->column_count; c++) {
        widths[c] = width_of(t, c);
        head[c] = (struct table_cell){(char *)t->columns[c].title, CELL_HEAD};
    }
    print_row(t, out, head, widths, colours);
    for (size_t i = 0; i + t->column_count <= t->cell_count; i += t->column_count)
        print_row(t, out, t->cells + i, widths, colours);
    free(head);
    free(widths);
}
