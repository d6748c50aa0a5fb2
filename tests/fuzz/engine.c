/* libFuzzer's entry to one target; compiled once for each, with -DFUZZ_TARGET=fuzz_NAME. */

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_without_authorities();
    FUZZ_TARGET.prepare();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_TARGET.run(data, size);
    return 0;
}
