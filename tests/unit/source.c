#include "source.h"

#include <stdio.h>
#include <stdlib.h>

char *read_source(const char *name)
{
    const char *root = getenv("srcdir");
    char path[4096], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", name);
    FILE *f = fopen(path, "r");
    if (!f || getdelim(&text, &size, EOF, f) < 0) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(EXIT_FAILURE);
    }
    fclose(f);
    return text;
}
