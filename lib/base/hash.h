#ifndef CARPOOL_BASE_HASH_H
#define CARPOOL_BASE_HASH_H

/* uthash, which would otherwise end the process when memory is short. After HASH_ADD_*(), an element whose
 * hh.tbl is NULL was not taken. */

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#endif
