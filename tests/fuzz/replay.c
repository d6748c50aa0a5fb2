/* Runs inputs that once were trouble, and by themselves those that are looked at, without libFuzzer.
 *
 *     replay                   every file of tests/fuzz/regressions/TARGET/ (below $srcdir), and of
 *                              fuzz/seeds/TARGET/, what fuzzing begins with, where it was made
 *     replay TARGET FILE...    these, in this order */

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "fuzz.h"

static const struct fuzz_target *const targets[] = {
#define X(name) &fuzz_##name,
    FUZZ_TARGETS(X)
#undef X
};

#define LARGEST (1024 * 1024)

static void run_file(const struct fuzz_target *t, const char *path)
{
    static uint8_t bytes[LARGEST];
    FILE *f = fopen(path, "re");

    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    fprintf(stderr, "%s: %s\n", t->name, path);
    t->run(bytes, n);
}

/* How many there are. */
static unsigned run_folder(const struct fuzz_target *t, const char *folder)
{
    char path[1024];
    struct dirent *entry;
    unsigned count = 0;
    DIR *dir = opendir(folder);

    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        run_file(t, path);
        count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

static unsigned run_folders(const struct fuzz_target *t)
{
    const char *source = getenv("srcdir");
    char regressions[512], seeds[512];

    snprintf(regressions, sizeof regressions, "%s/tests/fuzz/regressions/%s", source ? source : ".", t->name);
    snprintf(seeds, sizeof seeds, "fuzz/seeds/%s", t->name);
    return run_folder(t, regressions) + run_folder(t, seeds);
}

static const struct fuzz_target *target_named(const char *name)
{
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        if (strcmp(targets[i]->name, name) == 0)
            return targets[i];
    fprintf(stderr, "there is no target '%s'; see FUZZ_TARGETS in tests/fuzz/fuzz.h\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    fuzz_without_authorities();
    if (argc > 1) {
        const struct fuzz_target *t = target_named(argv[1]);
        t->prepare();
        for (int i = 2; i < argc; i++)
            run_file(t, argv[i]);
        return 0;
    }
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        targets[i]->prepare();
        count += run_folders(targets[i]);
    }
    printf("%u inputs\n", count);
    return count == 0;
}
