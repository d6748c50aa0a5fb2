/* Whether the access log can be written where the configuration says; nothing is created. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/loader.h"

static const char *folder_of(struct arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == path ? "/" : arena_text(a, path, (size_t)(slash - path));
}

/* NULL: nothing is wrong with it. */
static const char *complaint(struct arena *a, const char *path)
{
    struct stat st;
    bool is_there = stat(path, &st) == 0;
    if (!is_there && errno != ENOENT)
        return strerror(errno);
    if (!is_there && access(folder_of(a, path), W_OK | X_OK) != 0)
        return arena_format(a, errno == ENOENT ? "the directory %s does not exist" : "the directory %s: %s",
                            folder_of(a, path), strerror(errno));
    if (!is_there)
        return NULL;
    if (S_ISDIR(st.st_mode))
        return "it is a directory; name a file in it";
    if (S_ISSOCK(st.st_mode))
        return "it is a socket, which cannot be opened; for standard output write -";
    return access(path, W_OK) == 0 ? NULL : strerror(errno);
}

void check_log_file(struct loader *l)
{
    const char *path = l->config->accessLog.path;
    if (*path != '/')
        return;
    const char *why = complaint(l->arena, path);
    if (why)
        problem_error(&l->problems, scope_mark(&l->top, "accessLog.path"),
                      "accessLog.path: '%s' cannot be written: %s", path, why);
}
