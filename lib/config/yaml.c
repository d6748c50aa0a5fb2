#include "config/yaml.h"

#include <assert.h>
#include <string.h>

/* The deepest that an option stands is upstreams.NAME.tls.ca. */
#define NESTING_MAX 32

static struct mark to_mark(yaml_mark_t m)
{
    return (struct mark){(uint32_t)m.line + 1, (uint32_t)m.column + 1};
}

/* The reader's errors have an offset only. */
static struct mark mark_of_offset(struct slice text, size_t offset)
{
    struct mark m = {1, 1};
    for (size_t i = 0; i < offset && i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '\n') {
            m.line++;
            m.column = 1;
        } else if ((c & 0xc0) != 0x80) {
            m.column++;
        }
    }
    return m;
}

/* libyaml counts characters, and not the byte order mark that a file may begin with. */
static size_t byte_of(struct slice text, const yaml_mark_t *m)
{
    size_t at = text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (size_t characters = m->index; characters > 0 && at < text.n; characters--)
        do
            at++;
        while (at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80);
    return at;
}

/* Whether the line that the problem is on holds "${" somewhere before it. */
static bool follows_variable(struct slice text, size_t at)
{
    for (size_t i = at < text.n ? at : text.n; i > 0 && text.p[i - 1] != '\n'; i--) {
        if (text.p[i - 1] == '$' && i < text.n && text.p[i] == '{')
            return true;
    }
    return false;
}

/* What libyaml calls it, and what to do. */
static const char *hint_for(const char *problem)
{
    static const struct {
        const char *problem, *hint;
    } hints[] = {
        {"cannot start any token", "; put the value in quotes"},
        {"expected node content", "; put the value in quotes"},
        {"mapping values are not allowed",
         "; put a value with ': ' in it in quotes, or a map on one line in { }"},
        {"did not find expected key", "; is this line indented like the one above it?"},
        {"block sequence entries are not allowed",
         "; write \"-\" where that is the value, and a list on one line in [ ]"},
        {"unexpected end of stream", "; is a closing quote missing?"},
        {"did not find expected ',' or", "; is a comma or a closing bracket missing?"},
        {"could not find expected ':'", "; is ': ' missing after a key?"},
    };
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (strstr(problem, hints[i].problem))
            return hints[i].hint;
    return "";
}

static const char *hint(const yaml_parser_t *y, const char *problem, struct slice text)
{
    size_t at = byte_of(text, &y->problem_mark);
    if (strstr(problem, "cannot start any token") && at < text.n && text.p[at] == '\t')
        return "; a tab cannot indent, use spaces";
    if (follows_variable(text, at))
        return "; inside [ ] and { } a value with ${...} must be in quotes";
    return hint_for(problem);
}

/* Where an unquoted '*' stands that YAML takes for the name of an anchor; NULL: this is another mistake. */
static const yaml_mark_t *star_of(const yaml_parser_t *y, struct slice text)
{
    bool scanned = y->context && strstr(y->context, "scanning an alias");
    bool undefined = y->problem && strstr(y->problem, "undefined alias");
    const yaml_mark_t *m = scanned ? &y->context_mark : &y->problem_mark;
    size_t at = byte_of(text, m);
    return (scanned || undefined) && at < text.n && text.p[at] == '*' ? m : NULL;
}

/* "match: *.internal", the likeliest mistake of all. */
static void tell_star(struct slice text, const yaml_mark_t *m, struct problems *p)
{
    struct slice word = slice_from(text, byte_of(text, m));
    size_t n = 0;
    while (n < word.n && !strchr(" \t\r\n,]}", word.p[n]) && n < 100)
        n++;
    problem_error(p, to_mark(*m), "a value that begins with '*' must be in quotes: write \"%.*s\"", (int)n,
                  word.p);
}

static void report_error(const yaml_parser_t *y, struct slice text, struct problems *p)
{
    const char *problem = y->problem;
    const yaml_mark_t *star = star_of(y, text);
    if (!problem) { /* libyaml gives one for all else, while not all of its calls set YAML_MEMORY_ERROR */
        problem_error(p, (struct mark){0}, "out of memory");
    } else if (y->error == YAML_READER_ERROR) {
        problem_error(p, mark_of_offset(text, y->problem_offset), "not YAML text: %s", problem);
    } else if (star) {
        tell_star(text, star, p);
    } else if (y->context && y->context_mark.line != y->problem_mark.line) {
        struct mark began = to_mark(y->context_mark);
        problem_error(p, to_mark(y->problem_mark), "broken YAML: %s, %s that began at line %u, column %u%s",
                      problem, y->context, began.line, began.column, hint(y, problem, text));
    } else {
        problem_error(p, to_mark(y->problem_mark), "broken YAML: %s%s%s%s", problem, y->context ? ", " : "",
                      y->context ? y->context : "", hint(y, problem, text));
    }
}

static bool read_only_one(struct yaml_text *y, struct slice text, struct problems *p)
{
    yaml_document_t second;
    if (!yaml_parser_load(&y->parser, &second)) {
        report_error(&y->parser, text, p);
        return false;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&second);
    struct mark at = root ? yaml_mark(root) : (struct mark){0};
    yaml_document_delete(&second);
    if (root)
        problem_error(p, at,
                      "a second YAML document begins here; the file must hold one (is a '---' too many?)");
    return !root;
}

/* How many lists and maps stand in each other where this goes deepest; reading stops beyond NESTING_MAX, or
 * where the text is no YAML. */
static int depth_of(yaml_parser_t *parser, struct mark *at)
{
    int depth = 0, deepest = 0;
    for (bool more = true; more && deepest <= NESTING_MAX;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            break;
        bool begins = event.type == YAML_MAPPING_START_EVENT || event.type == YAML_SEQUENCE_START_EVENT;
        bool ends = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        depth += begins - ends;
        deepest = depth > deepest ? depth : deepest;
        *at = to_mark(event.start_mark);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    return deepest;
}

/* libyaml looks at every level again for each word: a file of nothing but brackets would take it minutes, and
 * nothing that may stand here is deep. */
static bool is_shallow(struct slice text, struct problems *p)
{
    yaml_parser_t parser;
    struct mark at = {0};
    if (!yaml_parser_initialize(&parser)) {
        problem_error(p, at, "out of memory");
        return false;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    bool shallow = depth_of(&parser, &at) <= NESTING_MAX;
    yaml_parser_delete(&parser);
    if (!shallow)
        problem_error(p, at,
                      "lists and maps are nested %d deep, more than any option; is a bracket not closed?",
                      NESTING_MAX + 1);
    return shallow;
}

bool yaml_text_read(struct yaml_text *y, struct slice text, struct problems *p)
{
    if (!is_shallow(text, p))
        return false;
    if (!yaml_parser_initialize(&y->parser)) {
        problem_error(p, (struct mark){0}, "out of memory");
        return false;
    }
    y->has_parser = true;
    yaml_parser_set_input_string(&y->parser, (const unsigned char *)text.p, text.n);
    if (!yaml_parser_load(&y->parser, &y->document)) {
        report_error(&y->parser, text, p);
        return false;
    }
    y->has_document = true;
    return !yaml_document_get_root_node(&y->document) || read_only_one(y, text, p);
}

void yaml_text_free(struct yaml_text *y)
{
    if (y->has_document)
        yaml_document_delete(&y->document);
    if (y->has_parser)
        yaml_parser_delete(&y->parser);
}

struct mark yaml_mark(const yaml_node_t *n)
{
    return to_mark(n->start_mark);
}

bool yaml_is_null(const yaml_node_t *n)
{
    if (n->type != YAML_SCALAR_NODE || n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *text = (const char *)n->data.scalar.value;
    return !*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0;
}

const char *yaml_kind(const yaml_node_t *n)
{
    switch (n->type) {
    case YAML_SCALAR_NODE: return yaml_is_null(n) ? "nothing" : "a value";
    case YAML_SEQUENCE_NODE: return "a list";
    case YAML_MAPPING_NODE: return "a map";
    case YAML_NO_NODE: break;
    }
    assert(!"a node of no type");
    return "";
}
