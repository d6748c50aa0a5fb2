#ifndef CARPOOL_BASE_FNV_H
#define CARPOOL_BASE_FNV_H

/* FNV-1a: a hash for where nobody gains by a collision. The first call gets the START. */

#include <stddef.h>
#include <stdint.h>

#define FNV32_START UINT32_C(2166136261)
#define FNV64_START UINT64_C(0xcbf29ce484222325)

static inline uint32_t fnv32(uint32_t hash, char byte)
{
    return (hash ^ (unsigned char)byte) * UINT32_C(16777619);
}

static inline uint64_t fnv64(uint64_t hash, const void *bytes, size_t n)
{
    for (const unsigned char *at = bytes; n > 0; n--)
        hash = (hash ^ *at++) * UINT64_C(0x100000001b3);
    return hash;
}

#endif
