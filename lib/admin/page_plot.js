/* Plots of an hour or of five minutes, drawn anew each second. */
const WIDTH = 300, HEIGHT = 100, SPANS = [15, 30, 60]; // points from edge to edge, at first
const hidden = new Set(["waiting p99", "connect p99"]); // series that are shown only when asked for
let cursor = null; // how many samples back the pointer is

function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
}

function shape(tag, attributes) {
    const node = document.createElementNS("http:" + "//www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
}

const trim = n => String(Math.round(n * 10) / 10);
const short = n => n === null ? "-" : n >= 1e6 ? trim(n / 1e6) + "M" : n >= 1e4 ? trim(n / 1e3) + "k"
    : n >= 100 ? String(Math.round(n)) : trim(n);
const millis = ms => ms === null ? "-" : ms >= 1000 ? (ms / 1000).toFixed(ms >= 1e4 ? 0 : 1) + " s"
    : ms >= 10 ? ms.toFixed(0) + " ms" : ms >= 1 ? ms.toFixed(1) + " ms" : ms.toFixed(2) + " ms";
const reusePercent = x => x === null ? "-" : trim(Math.floor(1000 * x) / 10) + "%"; // 100% is all
const percent = x => x === null ? "-" : trim(100 * x) + "%";
const clock = at => new Date(at).toISOString().slice(11, 19); // UTC, as in the log and in carpoolctl
const clockAt = (view, at) => clock(at).slice(0, view.step < 60000 ? 8 : 5);

/* The newest is at the right. */
const span = count => SPANS.find(n => n >= count) || count;

/* Points in time are joined by a line; what stands for a whole minute is a step. */
function path(values, y, below, stepped) {
    const count = span(values.length), width = stepped ? WIDTH / count : WIDTH / (count - 1);
    const x = i => (count - values.length + i) * width;
    const across = (i, v, forth) => stepped
        ? [forth ? x(i) : x(i + 1), forth ? x(i + 1) : x(i)].map(at => at.toFixed(1) + " " + y(v).toFixed(1)).join("L")
        : x(i).toFixed(1) + " " + y(v).toFixed(1);
    let d = "", pen = "M";
    values.forEach((v, i) => {
        if (v === null) { pen = "M"; return; }
        d += pen + across(i, v, true);
        pen = "L";
    });
    if (below && d) {
        for (let i = values.length - 1; i >= 0; i--) d += "L" + across(i, below[i], false);
        d += "Z";
    }
    return d;
}

/* Zeros are left out, except where the line rises from one or falls to one. */
const quiet = values => values.map((v, i) => v || values[i - 1] || values[i + 1] ? v : null);

/* A round number at or above it: 1, 2, 5, 10, ... */
function roundUp(value) {
    const power = Math.pow(10, Math.floor(Math.log10(value)));
    return [1, 2, 5, 10].map(n => n * power).find(n => n >= value * 0.9999);
}

/* Where a value stands, and what stands at the top, in the middle and at the bottom. */
function scaleOf(series, options) {
    const count = series[0].values.length, stack = new Array(count).fill(0);
    let top = 0;
    for (const s of series)
        s.values.forEach((v, i) => { top = Math.max(top, (s.area ? stack[i] += v : v) || 0); });
    for (const limit of options.limits || []) // where it is near, it is shown as a line
        if (limit.value <= top * 2.5) top = Math.max(top, limit.value);
    if (!options.log) {
        top = options.top || roundUp(Math.max(top, options.atLeast || 1));
        const middle = options.whole && top % 2 ? [] : [top / 2];
        return {top, y: v => HEIGHT - (HEIGHT - 2) * v / top, labels: [top, ...middle, 0]};
    }
    const low = 0.1, decades = Math.max(2, Math.ceil(Math.log10(Math.max(top, 1) / low) / 2) * 2);
    top = low * Math.pow(10, decades);
    return {top, y: v => HEIGHT - HEIGHT * Math.log10(Math.max(v, low) / low) / decades, labels: [top, low * Math.pow(10, decades / 2), low]};
}

/* series: {name, className, values, area: stacked on the areas before it, quiet: see quiet(), mayHide, nothing: only its name}; options: {show, limits: [{name, value}], top, atLeast, whole: counts that have no half, log} */
function drawCurves(series, options, scale) {
    const svg = shape("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": options.title});
    let below = new Array(series[0].values.length).fill(0);
    for (const y of [0.5, HEIGHT / 2, HEIGHT - 0.5]) svg.append(shape("line", {class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y}));
    for (const s of series) {
        if (!s.area) continue;
        const above = s.values.map((v, i) => v + below[i]);
        svg.append(shape("path", {class: "area " + s.className, d: path(above, scale.y, below, options.stepped)}));
        below = above;
    }
    for (const limit of options.limits || [])
        if (limit.value <= scale.top)
            svg.append(shape("line", {class: "limit", x1: 0, x2: WIDTH, y1: scale.y(limit.value), y2: scale.y(limit.value)}));
    for (const s of series)
        if (!s.area) svg.append(shape("path", {class: "line " + s.className, d: path(s.values, scale.y, null, options.stepped)}));
    return svg;
}

function drawLegend(series, options, index) {
    const legend = make("div", "legend");
    for (const s of series) {
        const entry = s.mayHide ? make("button", hidden.has(s.name) ? "off" : "") : make("span");
        const isTotal = options.total && cursor === null;
        const value = isTotal ? s.all.reduce((a, b) => a + b, 0) : s.all[index];
        entry.append(make("i", s.className), s.nothing ? s.name : hidden.has(s.name) ? "show " + s.name
            : s.name + " " + options.show(value === undefined ? null : value) + (isTotal ? " in all" : ""));
        if (s.mayHide) entry.addEventListener("click", () => { hidden[hidden.has(s.name) ? "delete" : "add"](s.name); draw(); });
        legend.append(entry);
    }
    for (const limit of options.limits || []) legend.append(make("span", "faint", limit.name + " " + limit.value));
    return legend;
}

function pointAt(svg, count) {
    svg.addEventListener("pointermove", e => {
        const box = svg.getBoundingClientRect();
        const back = Math.round((1 - (e.clientX - box.left) / box.width) * (span(count) - 1));
        cursor = back >= 0 && back < count ? back : null;
        draw();
    });
    svg.addEventListener("pointerleave", () => { cursor = null; draw(); });
    if (cursor !== null && cursor < count) {
        const x = WIDTH * (1 - cursor / (span(count) - 1));
        svg.append(shape("line", {class: "cursor", x1: x, x2: x, y1: 0, y2: HEIGHT}));
    }
}

/* The series have a value for each point of the view. */
function plot(view, series, options) {
    const list = view.list;
    const box = make("div", "plot"), head = make("div", "head"), area = make("div", "area"), values = make("div", "values");
    const times = make("div", "times"), last = list.length - 1, index = cursor !== null && cursor <= last ? last - cursor : last;
    const newest = list[last].at, oldest = newest - (span(list.length) - 1) * view.step;
    for (const s of series) {
        s.all = s.values;
        if (hidden.has(s.name)) s.values = s.values.map(() => null);
        if (s.quiet) s.values = quiet(s.values);
    }
    options.stepped = view.step > 1000;
    const scale = scaleOf(series, options), svg = drawCurves(series, options, scale);
    pointAt(svg, list.length);
    head.append(make("h3", "", options.title), make("span", "faint", index === last ? "" : clockAt(view, list[index].at)));
    for (const label of scale.labels) values.append(make("span", "", options.show(label)));
    for (const at of [oldest, (oldest + newest) / 2, newest]) times.append(make("span", "", clockAt(view, at)));
    area.append(values, svg, times);
    box.append(head, area, drawLegend(series, options, index));
    return box;
}

function spark(list) {
    const svg = shape("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true"});
    const busy = list.map(s => s.active + s.connecting), top = Math.max(1, ...busy, ...list.map(s => s.waiting));
    const y = v => HEIGHT - (HEIGHT - 4) * v / top;
    svg.append(shape("path", {class: "area active", d: path(busy, y, busy.map(() => 0))}),
               shape("path", {class: "line waiting", d: path(quiet(list.map(s => s.waiting)), y)}));
    return svg;
}

/* A reason for which a connection was closed is one for which another was opened in its place. */
const FIRST_REASONS = new Set(["warm", "first", "concurrency", "retry"]);
const whyOpened = reason => FIRST_REASONS.has(reason) ? reason : "after " + reason;

const REASONS_SHOWN = 6;

/* Why connections were opened: the most frequent reasons, and the others together. */
function openedSeries(view) {
    const shown = view.reasons.slice(0, REASONS_SHOWN), others = view.reasons.slice(REASONS_SHOWN);
    const series = shown.map((reason, k) => ({name: whyOpened(reason), className: "reason" + k, area: true,
                                              values: view.list.map((_, i) => view.opened(i, reason))}));
    if (others.length)
        series.push({name: "others", className: "reason" + REASONS_SHOWN, area: true,
                     values: view.list.map((_, i) => others.reduce((n, reason) => n + view.opened(i, reason), 0))});
    return series.length ? series : [{name: "none", className: "reason0", nothing: true, area: true, values: view.list.map(() => 0)}];
}

/* Of an agent as a whole, or of one of its origins. */
function plotsOf(view, limits) {
    const list = view.list, at = f => list.map((_, i) => f(i));
    const field = name => list.map(s => s[name]);
    const peaks = view.step > 1000; // of a minute: they did not come together, so nothing is stacked
    return [
        plot(view, [
            {name: "active", className: "active", values: field("active"), area: !peaks},
            {name: "connecting", className: "connecting", values: field("connecting"), area: !peaks, quiet: peaks},
            {name: "free", className: "free", values: field("free"), area: !peaks},
            {name: "waiting", className: "waiting", values: field("waiting"), quiet: true}
        ], {title: "connections, waiting requests" + (peaks ? " (peaks)" : ""), show: short, limits, whole: true}),
        plot(view, openedSeries(view), {title: "connections opened " + view.per + ", why", show: short, total: peaks, whole: peaks}),
        plot(view, [
            {name: "requests", className: "active", values: at(i => view.rate(i, "requests")), area: true},
            {name: "errors", className: "errors", values: at(i => view.rate(i, "errors")), quiet: true},
            {name: "refused", className: "refused", values: at(i => view.rate(i, "refused")), quiet: true}
        ], {title: "requests and errors per second", show: short}),
        plot(view, [
            {name: "p50", className: "low", values: at(i => view.quantile(i, "request", 0.5))},
            {name: "p99", className: "high", values: at(i => view.quantile(i, "request", 0.99))},
            {name: "waiting p99", className: "waiting", values: at(i => view.quantile(i, "pending", 0.99)), mayHide: true},
            {name: "connect p99", className: "connecting", values: at(i => view.quantile(i, "connect", 0.99)), mayHide: true}
        ], {title: "time to the complete response (log scale)", show: millis, log: true}),
        plot(view, [
            {name: "reuse", className: "high", values: at(i => view.reuse(i))}
        ], {title: "reuse of connections", show: percent, top: 1})
    ];
}
