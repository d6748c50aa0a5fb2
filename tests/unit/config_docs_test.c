/* Compares conf/carpool.yaml and doc/carpool.yaml.5 with the option table. When they differ, print the part
 * that belongs there (config_docs_test yaml | upstream | man) and put it in place of the old one. */

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/options.h"
#include "source.h"

#define COMMENT_COLUMN 36
#define LINE_MAX_WIDTH 120

struct section {
    const char *name, *help;
};

static const struct section sections[] = {
    {"admin", "the listener of the page, of metrics and of carpoolctl(1)"},
    {"log", "goes to stderr, which systemd sends to the journal"},
    {"accessLog", "one line per request"},
    {"connectTls", "what connect: pool needs for https, see SECURITY.md first"},
    {"dns", "/etc/hosts is asked first"},
    {"server", "towards the clients; the names are those of Node's http.Server"},
    {"access", "who may use Carpool, and for what"},
    {"timeouts", "off switches one off"},
    {"h2Options", "of connections that speak HTTP/2"},
    {"tls", "a map means true"},
};

/* ---- carpool.yaml */

static void print_commented(FILE *out, const char *lead, int indent, const char *what, const char *help)
{
    int width = (int)strlen(lead) + indent + (int)strlen(what);
    if (width < COMMENT_COLUMN - 1 && COMMENT_COLUMN + 2 + strlen(help) <= LINE_MAX_WIDTH)
        fprintf(out, "%s%*s%s%*s# %s\n", lead, indent, "", what, COMMENT_COLUMN - width, "", help);
    else
        fprintf(out, "%s%*s# %s\n%s%*s%s\n", lead, indent, "", help, lead, indent, "", what);
}

static void print_section(FILE *out, const char *lead, int indent, const char *name)
{
    char what[64];
    const char *help = "";
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (strcmp(sections[i].name, name) == 0)
            help = sections[i].help;
    }
    snprintf(what, sizeof what, "%s:", name);
    print_commented(out, lead, indent, what, help);
}

static bool needs_quotes(const char *text, size_t n)
{
    return n == 0 || text[0] == ':' || memmem(text, n, "::", 2);
}

static void format_value(FILE *out, const struct option *o)
{
    const char *p = o->initial;
    if (!option_is_list(o)) {
        fprintf(out, needs_quotes(p, strlen(p)) ? "\"%s\"" : "%s", p);
        return;
    }
    putc('[', out);
    for (size_t n = strcspn(p, ","); n; n = strcspn(p, ",")) {
        fprintf(out, needs_quotes(p, n) ? "\"%.*s\"" : "%.*s", (int)n, p);
        p += n;
        if (!*p)
            break;
        fputs(", ", out);
        p += 2;
    }
    putc(']', out);
}

static void print_option(FILE *out, const char *lead, int indent, const struct option *o)
{
    char *what = NULL;
    size_t size;
    FILE *f = open_memstream(&what, &size);
    fprintf(f, "%s: ", option_key(o));
    format_value(f, o);
    fclose(f);
    print_commented(out, lead, indent, what, o->help);
    free(what);
}

/* The options of one scope, with a line before each section. */
static void print_scope(FILE *out, unsigned scope, const char *lead, int indent)
{
    char section[32] = "";
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        const char *dot = strchr(o->path, '.');
        if (!(o->scope & scope))
            continue;
        if (!dot) {
            if (*section && indent == 0)
                fprintf(out, "\n");
            if (o->type != OPTION_TLS)
                print_option(out, lead, indent, o);
            *section = 0;
            continue;
        }
        if (strlen(section) != (size_t)(dot - o->path) || strncmp(section, o->path, strlen(section)) != 0) {
            snprintf(section, sizeof section, "%.*s", (int)(dot - o->path), o->path);
            if (indent == 0)
                fprintf(out, "\n");
            print_section(out, lead, indent, section);
        }
        print_option(out, lead, indent + 2, o);
    }
}

static void print_yaml(FILE *out)
{
    print_scope(out, SCOPE_TOP, "", 0);
    fprintf(out, "\n");
    print_commented(out, "", 0, "defaults:", "every upstream, and the agent \"default\", inherits these");
    print_scope(out, SCOPE_POLICY, "", 2);
}

static void print_upstream(FILE *out)
{
    print_scope(out, SCOPE_UPSTREAM, "#", 5);
}

/* ---- carpool.yaml(5) */

static void print_roff(FILE *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '-' || *p == '\\')
            putc('\\', out);
        if (*p == '\\')
            putc('e', out);
        else
            putc(*p, out);
    }
}

static bool says_all_words(const struct option *o)
{
    for (const char *const *word = o->words; *word; word++)
        if (!strcasestr(o->help, *word))
            return false;
    return true;
}

/* The kind of value, where the page explains it once; otherwise all that may stand there; NULL where the help
 * says it. */
static const char *man_kind(const struct option *o, char out[OPTION_WANTS_SIZE])
{
    switch (o->type) {
    case OPTION_TIME: return "time";
    case OPTION_LIMIT: return "count";
    case OPTION_SIZE: return "size";
    case OPTION_FILE: return "file";
    case OPTION_NETWORK_LIST: return "list of networks";
    case OPTION_HOST_LIST: return "list of host names";
    case OPTION_CALLER_LIST: return "list of callers";
    case OPTION_PORT_LIST: return "list of ports";
    case OPTION_MATCH_LIST: return "list of patterns";
    case OPTION_LISTEN_LIST:
    case OPTION_ADDRESS_LIST: return "list of addresses";
    case OPTION_NAME: return "word";
    case OPTION_HOST: return "host or host:port";
    case OPTION_LOCAL_ADDRESS: return "IP address";
    case OPTION_SERVERNAME: return "host name or IP address";
    case OPTION_PROXY: return "URL";
    case OPTION_CIPHERS: return "list of openssl-ciphers(1)";
    case OPTION_SECRET: return "text";
    case OPTION_WORD:
        if (!says_all_words(o))
            break;
        return NULL;
    case OPTION_LISTEN_ADMIN:
    case OPTION_LOG_FILE:
    case OPTION_BOOL:
    case OPTION_TLS: return NULL;
    case OPTION_COUNT:
    case OPTION_WORKERS: break;
    }
    return option_wants(o, out);
}

/* The help as a sentence; nothing is said of the version in which all began. */
static void print_man_option(FILE *out, const struct option *o)
{
    char wants[OPTION_WANTS_SIZE], help[512];
    const char *kind = man_kind(o, wants);
    fprintf(out, ".TP\n.BR %s \" (", o->path);
    if (kind)
        print_roff(out, kind);
    if (*o->initial) {
        fprintf(out, "%sdefault ", kind ? "; " : "");
        print_roff(out, o->initial);
    }
    fprintf(out, ")\"\n");
    snprintf(help, sizeof help, "%s", o->help);
    help[0] = (char)toupper((unsigned char)help[0]);
    print_roff(out, strncmp(o->help, "true", 4) == 0 || strncmp(o->help, "false", 5) == 0 ? o->help : help);
    fprintf(out, strcmp(o->since, "0.1") == 0 ? ".\n" : ". Since %s.\n", o->since);
}

static void print_man(FILE *out)
{
    static const struct {
        unsigned scope;
        const char *title;
    } parts[] = {{SCOPE_TOP, "At the top"},
                 {SCOPE_POLICY, "In defaults and in each upstream"},
                 {SCOPE_UPSTREAM, "In each upstream"}};
    for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
        fprintf(out, ".SS %s\n", parts[part].title);
        for (size_t i = 0; i < option_count; i++) {
            if (options[i].scope & parts[part].scope)
                print_man_option(out, &options[i]);
        }
    }
}

/* ---- comparing */

static char *capture(void (*print)(FILE *))
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    print(f);
    fclose(f);
    return text;
}

static int is_missing(const char *file, const char *what, void (*print)(FILE *))
{
    char *text = read_source(file), *part = capture(print);
    int missing = !strstr(text, part);
    if (missing)
        fprintf(stderr,
                "%s is not what the option table says; the part that belongs there: config_docs_test %s\n",
                file, what);
    free(text);
    free(part);
    return missing;
}

static char *effective(const char *path)
{
    char *text = NULL;
    size_t size;
    struct config *c = config_load(path, NULL, stderr);
    if (!c)
        exit(EXIT_FAILURE);
    FILE *f = open_memstream(&text, &size);
    config_print(c, f);
    fclose(f);
    config_unref(c);
    return text;
}

static int differs_from_defaults(const char *name)
{
    const char *root = getenv("srcdir");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", name);
    char *built_in = effective(NULL), *file = effective(path);
    int differs = strcmp(built_in, file) != 0;
    if (differs)
        fprintf(stderr, "%s differs from the built-in defaults:\n%s\nbuilt in:\n%s\n", name, file, built_in);
    free(built_in);
    free(file);
    return differs;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name, *file;
        void (*print)(FILE *);
    } parts[] = {{"yaml", "conf/carpool.yaml", print_yaml},
                 {"upstream", "conf/carpool.yaml", print_upstream},
                 {"man", "doc/carpool.yaml.5", print_man}};
    int bad = argc > 1 ? 2 : differs_from_defaults("conf/carpool.yaml");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (argc == 1) {
            bad |= is_missing(parts[i].file, parts[i].name, parts[i].print);
        } else if (strcmp(argv[1], parts[i].name) == 0) {
            parts[i].print(stdout);
            bad = 0;
        }
    }
    return bad;
}
