#include "cmd/ctl_table.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_output.h"
#include "cmd/ctl_words.h"

#define PLAIN "\033[0m"

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
    t->cells = ctl_need(realloc(t->cells, (t->cell_count + 1) * sizeof *t->cells));
    t->cells[t->cell_count++] = (struct table_cell){text, style};
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

static size_t width_of(const struct table *t, size_t column)
{
    size_t width = ctl_width(t->columns[column].title);

    for (size_t i = column; i < t->cell_count; i += t->column_count) {
        size_t n = ctl_width(t->cells[i].text);

        width = n > width ? n : width;
    }
    return width;
}

/* Nothing follows the last text of a line. */
static void print_cell(const struct table *t, FILE *out, size_t column, const char *text,
                       enum cell_style style, size_t width, bool colours)
{
    bool last = column + 1 == t->column_count;
    int pad = (int)(width - ctl_width(text));

    if (!t->columns[column].is_text)
        fprintf(out, "%*s", pad, "");
    table_print_styled(out, text, style, colours);
    if (t->columns[column].is_text && !last)
        fprintf(out, "%*s", pad, "");
    fputs(last ? "\n" : "  ", out);
}

void table_print(const struct table *t, FILE *out, bool colours)
{
    size_t *widths = ctl_need(calloc(t->column_count + 1, sizeof *widths));

    for (size_t c = 0; c < t->column_count; c++)
        widths[c] = width_of(t, c);
    for (size_t c = 0; c < t->column_count; c++)
        print_cell(t, out, c, t->columns[c].title, CELL_HEAD, widths[c], colours);
    for (size_t i = 0, c = 0; i < t->cell_count; i++, c = c + 1 < t->column_count ? c + 1 : 0)
        print_cell(t, out, c, t->cells[i].text, t->cells[i].style, widths[c], colours);
    free(widths);
}
