/* What is remembered of each agent and origin, and what follows from it. Rates in plots and quantiles are computed here, the rates
 * of tables and judgements never: these come from the daemon. */
const SAMPLES = 300, LIMIT_ERROR = "connection_limit_reached";
const RATE_BACK = 10, LATENCY_BACK = 10; // samples, of a second each; the daemon's own rates have the same span
const histories = new Map(); // "agent\norigin" -> samples, the oldest first; of an agent as a whole the origin is ""
let bounds = [], lastTime = 0;

const keyOf = (agent, origin) => agent + "\n" + (origin || "");
const sum = counts => Object.values(counts).reduce((a, b) => a + b, 0);

function remember(key, row, now) {
    let list = histories.get(key);
    if (!list) histories.set(key, list = []);
    const refused = row.errors[LIMIT_ERROR] || 0;
    list.push({
        at: now, active: row.sockets, connecting: row.connecting, free: row.freeSockets, waiting: row.requests,
        requests: row.requestsTotal, reused: row.reusedTotal, opened: row.socketsOpened, refused,
        errors: sum(row.errors) - refused, latency: row.latency, openedFor: row.openedFor
    });
    if (list.length > SAMPLES) list.shift();
    list.seen = now;
    list.handedOver = false;
}

const COUNTERS = ["requests", "reused", "opened", "refused", "errors", "openedFor", "latency"];

/* Numbers, and lists and maps of them. */
function plus(a, b) {
    if (Array.isArray(b)) return b.map((n, i) => plus(a[i], n));
    if (typeof b !== "object") return (a || 0) + (b || 0);
    return Object.fromEntries(Object.keys({...a, ...b}).map(key => [key, plus((a || {})[key] ?? 0, (b || {})[key] ?? 0)]));
}

/* What an origin counted until it was forgotten is in the agent's "*" now, and did not happen just now. */
function handOver(agents) {
    const known = new Map(agents.map(a => [a.name, new Set(a.origins.map(o => o.origin))]));
    for (const [key, list] of histories) {
        const [agent, origin] = key.split("\n"), star = histories.get(keyOf(agent, "*"));
        if (!origin || list.handedOver || !star || !known.has(agent) || known.get(agent).has(origin)) continue;
        list.handedOver = true;
        for (const sample of star.slice(0, -1))
            for (const field of COUNTERS) sample[field] = plus(sample[field], list[list.length - 1][field]);
    }
}

function forgetUnseen(now) {
    for (const [key, list] of histories)
        if (now - list.seen > SAMPLES * 1000) histories.delete(key);
}

/* Per second, between a sample and one some seconds before it. */
function rateAt(list, i, field) {
    const a = list[Math.max(0, i - RATE_BACK)], b = list[i];
    return b.at > a.at ? Math.max(0, b[field] - a[field]) * 1000 / (b.at - a.at) : 0;
}

/* Of the requests of the last ten seconds; null when there were none. */
function reuseAt(list, i) {
    const a = list[Math.max(0, i - LATENCY_BACK)], b = list[i];
    const reused = b.reused - a.reused, given = reused + b.opened - a.opened;
    return given > 0 ? Math.max(0, reused) / given : null;
}

/* In milliseconds, from the buckets that filled within the last ten seconds; null when none did. A bucket says between which
 * bounds, so the estimate is held below the largest value that there was. */
function quantileAt(list, i, which, q) {
    const now = list[i].latency[which], old = i > 0 ? list[Math.max(0, i - LATENCY_BACK)].latency[which] : null;
    const counts = now.buckets.map((n, k) => Math.max(0, n - (old ? old.buckets[k] : 0)));
    let rest = q * counts.reduce((a, b) => a + b, 0);
    if (rest === 0) return null;
    let k = 0;
    while (rest > counts[k] && k < counts.length - 1) rest -= counts[k++];
    const low = k > 0 ? bounds[k - 1] : 0, high = k < bounds.length ? bounds[k] : Math.max(low, now.recentMaxMs);
    return Math.min(low + (high - low) * rest / counts[k], now.recentMaxMs);
}

/* What plots show of: points in time, the oldest first, `step` milliseconds from one to the next. */
function liveView(list) {
    const last = list.length - 1, opened = list[last].openedFor;
    const before = (i, reason) => (list[Math.max(0, i - RATE_BACK)].openedFor[reason] || 0);
    return {
        list, step: 1000, per: "per second",
        rate: (i, field) => rateAt(list, i, field), reuse: i => reuseAt(list, i),
        quantile: (i, which, q) => quantileAt(list, i, which, q),
        reasons: Object.keys(opened).filter(reason => opened[reason] > (list[0].openedFor[reason] || 0)),
        opened: (i, reason) => {
            const ms = list[i].at - list[Math.max(0, i - RATE_BACK)].at;
            return ms > 0 ? Math.max(0, (list[i].openedFor[reason] || 0) - before(i, reason)) * 1000 / ms : 0;
        }
    };
}

const QUANTILES = {request: {0.5: "p50Ms", 0.99: "p99Ms"}, pending: {0.99: "waitedP99Ms"}, connect: {0.99: "connectP99Ms"}};

/* The daemon's own minutes (GET history); the running one is the last. */
function hourView(minutes) {
    const list = minutes.map(m => ({at: m.end, active: m.sockets || 0, connecting: m.connecting || 0, free: m.freeSockets || 0,
                                    waiting: m.waiting || 0}));
    const totals = {};
    for (const m of minutes)
        for (const [reason, n] of Object.entries(m.openedFor || {})) totals[reason] = (totals[reason] || 0) + n;
    return {
        list, step: 60000, per: "per minute",
        rate: (i, field) => (minutes[i][field] || 0) * 1000 / Math.max(1000, minutes[i].ms),
        reuse: i => {
            const reused = minutes[i].reused || 0, given = reused + (minutes[i].socketsOpened || 0);
            return given > 0 ? reused / given : null;
        },
        quantile: (i, which, q) => minutes[i][QUANTILES[which][q]] ?? null,
        reasons: Object.keys(totals).sort((a, b) => totals[b] - totals[a]),
        opened: (i, reason) => (minutes[i].openedFor || {})[reason] || 0
    };
}

/* The figures of a row: now, and over the last seconds. */
function figuresOf(key, row, limit) {
    const list = histories.get(key);
    if (!list) return null;
    const last = list.length - 1, quantile = q => last > 0 ? quantileAt(list, last, "request", q) : null; // of one sample none is known
    return {
        list, row, limit, problems: row.problems ?? row.diagnosis.length,
        rate: row.requestsPerSecond, errors: Math.max(0, row.errorsPerSecond - row.refusedPerSecond), refused: row.refusedPerSecond,
        p50: quantile(0.5), p99: quantile(0.99),
        reuse: row.reusedTotal + row.socketsOpened > 0 ? row.reusedTotal / (row.reusedTotal + row.socketsOpened) : null
    };
}

const isFull = f => Boolean(f.full || (f.limit && f.row.sockets >= f.limit));

/* Dim, since nothing is there and nothing is wrong. */
const isIdle = f => !f.problems && f.errors + f.refused === 0 &&
    f.row.sockets + f.row.connecting + f.row.freeSockets + f.row.requests + f.row.draining === 0;

/* The worst first: what has a problem now, then by what failed or was refused in the last minutes, and coarsely, so that rows
 * stay where they are; forgotten origins last, and then by what waits and what failed since the start, as carpoolctl status. */
function compareFigures(a, b) {
    const coarse = n => Math.ceil(Math.log2(1 + n));
    const trouble = f => [f.problems > 0, coarse(f.row.failedLately), f.row.origin !== "*", f.row.requests > 0,
                          coarse(sum(f.row.errors)), isFull(f)];
    const x = trouble(a), y = trouble(b);
    for (let i = 0; i < x.length; i++)
        if (Number(x[i]) !== Number(y[i])) return y[i] - x[i];
    const size = f => Math.ceil(Math.log2(1 + f.rate)) + (f.row.requestsTotal > 0 ? 1 : 0);
    return size(b) - size(a) || a.title.localeCompare(b.title);
}
