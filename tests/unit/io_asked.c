#include "io_asked.h"

void on_answer(void *ctx, const struct resolver_answer *a)
{
    struct asked *asked = ctx;

    asked->answer = *a;
    asked->calls++;
    asked->done = true;
    if (asked->cancel)
        resolver_cancel(*asked->cancel);
}

const char *nth(const struct asked *a, int n)
{
    static char text[ADDRESS_TEXT_SIZE];

    ck_assert_int_lt(n, a->answer.count);
    return address_format_host(&a->answer.addresses[n], text);
}

struct asked ask(struct event_base *base, struct resolver *r, const char *name, int family)
{
    struct asked a = {0};

    if (resolver_ask(r, name, family, on_answer, &a))
        ck_assert(!a.done);
    else
        ck_assert(a.done);
    io_run_until(base, &a.done, 3000);
    ck_assert_int_eq(a.calls, 1);
    return a;
}
