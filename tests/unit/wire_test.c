#include "wire_test.h"

#include "http/head.h"

int main(void)
{
    Suite *suite = suite_create("wire");

    http_init();
    add_h1(suite);
    add_h1_low_water(suite);
    add_h1_turns(suite);
    add_h1_requests(suite);
    add_h2_translation(suite);
    add_h2_strictness(suite);
    add_h2_ends(suite);
    add_h2_flow(suite);
    add_h2_trouble(suite);
    add_h2_memory(suite);
    return unit_run(suite);
}
