/* lib/daemon/workers.c and lib/base/mailbox.c: that no wake-up is lost and no halt hangs, in any order of steps.
 *
 *     spin -a workers.pml && cc -O2 -o pan pan.c && ./pan -m1000000
 *
 * Loops post letters to each other and sleep until they are woken, while the main thread halts them all, twice. */

#define LOOPS   2   /* beside the main thread's */
#define LETTERS 2   /* that each posts to its neighbour */
#define HALTS   2

byte letters[LOOPS];    /* in the mailbox, the halt letter not counted */
bool halt[LOOPS];       /* the halt letter is in it */
bool edge[LOOPS];       /* the eventfd was written to, and epoll has not told yet */
byte opened;
bool halted;            /* workers->halted, workers->standing: under workers->lock */
byte standing;
bool at_work[LOOPS];    /* inside an event */

/* mailbox_post(): the queue under the lock, the wake-up behind it. */
inline post(to, is_halt)
{
    bool sleeps;
    atomic {
        sleeps = letters[to] == 0 && !halt[to];
        if
        :: is_halt -> assert(!halt[to]); halt[to] = true
        :: else -> letters[to]++
        fi
    }
    if
    :: sleeps -> edge[to] = true
    :: else
    fi
}

inline stand_still(me)
{
    at_work[me] = false;    /* between two events */
    standing++;
    !halted;
    standing--;
    at_work[me] = true
}

proctype loop(byte me)
{
    byte left = LETTERS, taken;
    bool must_halt;

end:
    do
    :: edge[me] ->          /* on_wake() */
        edge[me] = false;
        at_work[me] = true;
        atomic {            /* take() */
            taken = letters[me];
            must_halt = halt[me];
            letters[me] = 0;
            halt[me] = false
        }
        opened = opened + taken;
        if
        :: must_halt -> stand_still(me)
        :: else
        fi;
        at_work[me] = false
    :: left > 0 ->          /* the end of a turn in which a client goes elsewhere */
        at_work[me] = true;
        left--;
        post((me + 1) % LOOPS, false);
        at_work[me] = false
    od
}

active proctype main_thread()
{
    byte i, halts;

    for (i : 0 .. LOOPS - 1) {
        run loop(i)
    }
    for (halts : 1 .. HALTS) {
        halted = true;                                  /* workers_halt() */
        for (i : 0 .. LOOPS - 1) {
            post(i, true)
        }
        standing == LOOPS;
        for (i : 0 .. LOOPS - 1) {
            assert(!at_work[i])
        }
        halted = false;                                 /* workers_go_on() */
        standing == 0
    }
end:
    timeout;                                            /* everybody sleeps */
    assert(letters[0] == 0 && letters[1] == 0 && opened == LOOPS * LETTERS)
}
