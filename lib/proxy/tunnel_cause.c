#include "proxy/tunnel_cause.h"

#include <time.h>

#include "ca/signer.h"
#include "pool/agent.h"

enum tunnel_cause tunnel_cause(const struct origin *o)
{
    const struct signer *signer;

    if (o->agent->policy->connect != CONNECT_IS_POOL)
        return TUNNEL_BY_POLICY;
    signer = o->agent->config->connectTls.signer;
    if (!signer)
        return TUNNEL_WITHOUT_CA;
    return ca_may_sign(signer_ca(signer), slice_of(o->host), time(NULL)) ? TUNNEL_BY_CONTENT
                                                                         : TUNNEL_UNSIGNED;
}
