/* bench/locks.so: counts what threads say to each other, as an LD_PRELOAD. The counts are three 64-bit
 * numbers in the file that CARPOOL_BENCH_COUNTS names, kept up to date while the process runs: locks taken,
 * those of them that had to wait, and wake-ups of another thread (writes to an eventfd, signals of a
 * condition). */

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define FDS 65536

struct counts {
    atomic_ullong locks, contended, wakeups;
};

static struct counts unseen, *counts = &unseen;
static atomic_bool is_eventfd[FDS];

/* dlsym() gives a pointer to an object, which ISO C does not turn into one to a function. */
static void find(void *function, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    memcpy(function, &symbol, sizeof symbol);
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
    static int (*real_lock)(pthread_mutex_t *), (*real_trylock)(pthread_mutex_t *);

    if (!real_trylock) {
        find(&real_lock, "pthread_mutex_lock");
        find(&real_trylock, "pthread_mutex_trylock");
    }
    atomic_fetch_add_explicit(&counts->locks, 1, memory_order_relaxed);
    if (real_trylock(m) == 0)
        return 0;
    atomic_fetch_add_explicit(&counts->contended, 1, memory_order_relaxed);
    return real_lock(m);
}

static int count_rwlock(pthread_rwlock_t *l, int (*try)(pthread_rwlock_t *), int (*lock)(pthread_rwlock_t *))
{
    atomic_fetch_add_explicit(&counts->locks, 1, memory_order_relaxed);
    if (try(l) == 0)
        return 0;
    atomic_fetch_add_explicit(&counts->contended, 1, memory_order_relaxed);
    return lock(l);
}

int pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
    static int (*real)(pthread_rwlock_t *);

    if (!real)
        find(&real, "pthread_rwlock_rdlock");
    return count_rwlock(l, pthread_rwlock_tryrdlock, real);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
    static int (*real)(pthread_rwlock_t *);

    if (!real)
        find(&real, "pthread_rwlock_wrlock");
    return count_rwlock(l, pthread_rwlock_trywrlock, real);
}

int pthread_cond_signal(pthread_cond_t *c)
{
    static int (*real)(pthread_cond_t *);

    if (!real)
        find(&real, "pthread_cond_signal");
    atomic_fetch_add_explicit(&counts->wakeups, 1, memory_order_relaxed);
    return real(c);
}

int eventfd(unsigned initial, int flags)
{
    static int (*real)(unsigned, int);

    if (!real)
        find(&real, "eventfd");
    int fd = real(initial, flags);
    if (fd >= 0 && fd < FDS)
        atomic_store(&is_eventfd[fd], 1);
    return fd;
}

static void count_write(int fd, size_t size)
{
    if (size == sizeof(uint64_t) && fd >= 0 && fd < FDS &&
        atomic_load_explicit(&is_eventfd[fd], memory_order_relaxed))
        atomic_fetch_add_explicit(&counts->wakeups, 1, memory_order_relaxed);
}

int eventfd_write(int fd, eventfd_t value)
{
    return write(fd, &value, sizeof value) == (ssize_t)sizeof value ? 0 : -1;
}

ssize_t write(int fd, const void *p, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t);

    if (!real)
        find(&real, "write");
    count_write(fd, size);
    return real(fd, p, size);
}

__attribute__((constructor)) static void show_counts(void)
{
    const char *path = getenv("CARPOOL_BENCH_COUNTS");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;

    if (fd < 0 || ftruncate(fd, sizeof *counts) != 0)
        return;
    void *shared = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared != MAP_FAILED)
        counts = shared;
}
