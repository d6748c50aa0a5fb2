#include "proxy/retry.h"

/* What was certainly not processed is repeated, whatever its method:
 *
 *   response begun  replayable  routine  refusals left   repeat
 *   no              yes         yes      any             yes
 *   no              yes         no       yes             yes
 *   otherwise                                            no
 *
 * Of the others ("ended" by the peer; "response" and "request" begun), while repeats are left:
 *
 *   reused  ended  response  request  idempotent  replayable   repeat
 *   no      any    any       any      any         any          no: a new connection that fails says something
 *   yes     no     any       any      any         any          no: a timeout is not staleness
 *   yes     yes    yes       any      any         any          no: the origin has answered
 *   yes     yes    no        any      any         no           no: it cannot be said again
 *   yes     yes    no        no       any         yes          yes: nothing was delivered
 *   yes     yes    no        yes      yes         yes          yes
 *   yes     yes    no        yes      no          yes          no: it may have been carried out */
enum retry retry_decide(const struct failed_attempt *a)
{
    if (a->unprocessed)
        return !a->response_begun && a->replayable && (a->routine || a->unprocessed_repeats_left > 0)
                   ? RETRY_UNPROCESSED
                   : RETRY_NO;
    if (!a->reused || !a->ended_by_peer || a->response_begun || !a->replayable)
        return RETRY_NO;
    if (a->request_begun && !a->idempotent)
        return RETRY_NO;
    if (a->repeats_left == 0)
        return RETRY_NO;
    return a->repeats_left == 1 ? RETRY_OWN_CONNECTION : RETRY_QUEUE;
}

const char *why_not_repeated(const struct failed_attempt *a)
{
    if (a->unprocessed)
        return a->replayable ? "; it was repeated three times"
                             : "; content larger than replayLimit cannot be sent again";
    if (!a->reused || !a->ended_by_peer || a->response_begun)
        return "";
    if (a->request_begun && !a->idempotent)
        return "; the connection was reused, and a request of this method is sent once only, unless it has an Idempotency-Key";
    if (a->repeats_left == 0)
        return "; the connection was reused, and no more `retries` are left";
    return a->replayable
               ? ""
               : "; the connection was reused, and content larger than replayLimit cannot be sent again";
}
