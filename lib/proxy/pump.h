#ifndef CARPOOL_PROXY_PUMP_H
#define CARPOOL_PROXY_PUMP_H

/* What a half of an exchange says when it has moved what it could, and each step of it before. Pumps end
 * nothing: exchange_run() acts on this. */
enum pump {
    PUMP_WAITS,       /* for an event, or for its next turn */
    PUMP_DONE,        /* a step: go on. The half: the response was handed to the kernel whole */
    PUMP_TUNNEL,      /* a 101 is ready to go out: what follows is no HTTP */
    PUMP_CALL_FAILED, /* the upstream's side: see wire_loop.failure */
    PUMP_SINK_FAILED, /* the origin takes no more of the request; its response may still come */
    PUMP_CLIENT_GONE, /* it reset or closed its connection */
    PUMP_CLIENT_CUT,  /* the loop cannot watch it */
    PUMP_FAILED,      /* for the reason in proxy->failure */
};

#endif
