#include "config/bindable.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int try_to_bind(const struct address *a)
{
    struct address any_port = *a;
    int fd = socket(a->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), number = 0;
    if (fd < 0)
        return errno;
    address_set_port(&any_port, 0);
    if (a->sa.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
    if (bind(fd, &any_port.sa.any, any_port.length) != 0)
        number = errno;
    close(fd);
    return number;
}

/* /run is empty after a boot: who starts the service makes its folders there (systemd's RuntimeDirectory). */
static bool is_made_at_start(const char *folder)
{
    return strncmp(folder, "/run/", strlen("/run/")) == 0;
}

#define PATH_SIZE sizeof((struct sockaddr_un *)NULL)->sun_path

/* What stands before the last slash of a path that is absolute. */
static const char *folder_of(const char *path, char folder[PATH_SIZE])
{
    const char *slash = strrchr(path, '/');
    snprintf(folder, PATH_SIZE, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return folder;
}

/* A socket that is there may be this Carpool's own. */
static const char *path_problem(const char *path)
{
    char folder[PATH_SIZE];
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return "the path exists and is not a socket; remove it, or choose another path";
    if (access(folder_of(path, folder), W_OK | X_OK) == 0)
        return NULL;
    if (errno == EACCES)
        return "this user may not write to its directory";
    return is_made_at_start(folder) ? NULL : "its directory does not exist";
}

bool bindable_is_same(const struct address *a, const struct address *b)
{
    if (a->sa.any.sa_family != AF_UNIX || b->sa.any.sa_family != AF_UNIX)
        return false;
    const char *left = a->sa.unix_.sun_path, *right = b->sa.unix_.sun_path;
    char folder[PATH_SIZE];
    struct stat x, y;
    return strcmp(strrchr(left, '/'), strrchr(right, '/')) == 0 && stat(folder_of(left, folder), &x) == 0 &&
           stat(folder_of(right, folder), &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

const char *bindable_problem(const struct address *a)
{
    if (a->sa.any.sa_family == AF_UNIX)
        return path_problem(a->sa.unix_.sun_path);
    if (a->sa.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->sa.v6.sin6_addr))
        return "an IPv4 address inside an IPv6 one cannot be used here: write it as an IPv4 address";
    switch (try_to_bind(a)) {
    case EADDRNOTAVAIL: return "this host does not have that address ('ip address' lists those that it has)";
    case EINVAL: return "the system does not allow listening there (it may be a link-local address)";
    case EAFNOSUPPORT: return "this host does not have IPv6";
    }
    return NULL; /* no word on the address: to listen may still fail, and then says why */
}
