#include "admin_account.h"

#include "base/units.h"

struct agent_policy policy;
struct account account;

void account_begin(void)
{
    policy = (struct agent_policy){.maxSockets = 20,
                                   .maxTotalSockets = 100,
                                   .maxFreeSockets = 5,
                                   .maxRequestsPerSocket = COUNT_INFINITE,
                                   .maxSocketAge = 600000,
                                   .timeouts = {.free = 30000},
                                   .agentKeepAliveTimeoutBuffer = 1000};
    account = (struct account){.agent = "payments",
                               .key = "http://p.test:80",
                               .origin = "http://p.test",
                               .policy = &policy,
                               .uptime_ms = 3 * 3600 * 1000,
                               .hour_ms = 3600 * 1000,
                               .origins = 1};
}

void account_open(enum opened_for why, uint32_t n)
{
    account.hour.opened += n;
    account.hour.opened_for[why] += n;
    account.stats.opened += n;
    account.stats.opened_for[why] += n;
}
