/* Draws what GET live says, once a second. */
const MINUTES_LEAST = 3, ORIGINS_SHOWN = 25, ORIGINS_REMEMBERED = 50, CALLERS_SHOWN = 8;
const byId = id => document.getElementById(id);
let latest = null, frozen = false, filter = "", hour = null, hourOfOrigins = null;

/* What is chosen stands in the address, so that a link leads there: #agent=NAME&origin=URL&view=hour */
function choice() {
    const words = new URLSearchParams(location.hash.slice(1));
    return {agent: words.get("agent"), origin: words.get("origin"), view: words.get("view")};
}

function choose(agent, origin, view = choice().view) {
    const words = new URLSearchParams();
    if (agent) words.set("agent", agent);
    if (origin) words.set("origin", origin);
    if (view) words.set("view", view);
    history.replaceState(null, "", "#" + words);
    draw();
}

const longTime = ms => {
    const s = Math.floor(ms / 1000);
    return s < 90 ? s + " s" : s < 5400 ? Math.floor(s / 60) + " min"
        : s < 172800 ? Math.floor(s / 3600) + " h " + Math.floor(s / 60) % 60 + " min" : Math.floor(s / 86400) + " days";
};
const withoutPort = origin => origin.replace(/^(http:.*):80$|^((?:https|tunnel):.*):443$/, "$1$2");

/* Of connections to one origin: its own, or that over all of them where that is smaller. */
const limitOfOrigin = agent => agent.maxSockets === null || agent.maxTotalSockets === null
    ? agent.maxSockets ?? agent.maxTotalSockets : Math.min(agent.maxSockets, agent.maxTotalSockets);
/* Where an agent has one origin its limit is that one's, else that over all of them; and how many of these are full. */
const limitOf = agent => agent.origins.length > 1 ? agent.maxTotalSockets : limitOfOrigin(agent);
const countFull = agent => agent.origins.length < 2 ? 0
    : agent.origins.filter(o => limitOfOrigin(agent) && o.sockets >= limitOfOrigin(agent)).length;

/* Tables */

function headOf(names) {
    const row = make("tr"), node = make("thead");
    for (const [name, className] of names) row.append(make("th", className, name.replace("/", "\u200b/\u2060"))); // may break before it alone
    node.append(row);
    return node;
}

const speaksHttp2 = row => row.protocol === "h2" || row.streams + row.draining + sum(row.goaways) > 0;
const someSpeaksHttp2 = row => speaksHttp2(row) || (row.origins || []).some(speaksHttp2); // of an agent or an origin

/* [title, class: slim ones are left out on a phone, broad ones on all but a wide window]; streams only where somebody speaks HTTP/2. */
const columnsOf = http2 => [["active"], ...http2 ? [["streams", "slim"]] : [], ["free", "slim"], ["waiting"], ["waited, max", "slim broad"], ["requests/s"], ["p50", "slim"], ["p99", "slim"], ["errors/s"],
                 ["refused/s"], ["reuse", "slim"], ["trend", "slim broad"]];

function streamsCell(row) {
    const full = row.streams && (row.streams >= row.maxStreams || (row.origin && row.streams >= row.maxSockets));
    return [row.streams || row.maxStreams ? row.streams + "/" + row.maxStreams : "-", "slim" + (full ? " waits" : "")];
}

function rowOf(f, http2, picked, pick) {
    const r = f.row, tr = make("tr", "pick" + (picked ? " picked" : "") + (isIdle(f) ? " idle" : ""));
    const full = isFull(f);
    const name = make("td", f.problems ? "wrong" : r.paused ? "waits" : "", f.title + (r.paused ? " (paused)" : ""));
    name.title = f.title;
    const cells = [
        [r.sockets + (f.limit ? "/" + f.limit : "") + (f.full ? `, ${f.full} full` : ""), full ? "waits" : ""], ...http2 ? [streamsCell(r)] : [], [r.freeSockets, "slim"],
        [r.requests, r.requests ? "waits" : ""], [r.waitedMaxMs ? millis(r.waitedMaxMs) : "-", "slim broad"], [short(f.rate)],
        [millis(f.p50), "slim"], [millis(f.p99), "slim"], [short(f.errors), f.errors ? "wrong" : ""],
        [short(f.refused), f.refused ? "wrong" : ""], [reusePercent(f.reuse), "slim"]
    ];
    tr.append(name);
    for (const [text, className] of cells) tr.append(make("td", className || "", text));
    name.nextSibling.title = "active, of at most " + (f.limit ?? "any number");
    const last = make("td", "slim broad");
    last.append(spark(f.spark || f.list));
    tr.append(last);
    tr.tabIndex = 0;
    tr.dataset.title = f.title;
    tr.addEventListener("click", pick);
    tr.addEventListener("keydown", e => { if (e.key === "Enter") pick(); });
    return tr;
}

/* Replaces a table whose rows can be picked; whoever had the focus keeps it. */
function fillTable(box, first, http2, rows) {
    const focused = box.contains(document.activeElement) ? document.activeElement.dataset.title : null;
    const table = make("table"), body = make("tbody");
    body.append(...rows);
    table.append(headOf([[first], ...columnsOf(http2)]), body);
    const old = box.querySelector("table");
    if (old) old.replaceWith(table);
    else box.append(table);
    for (const row of rows) if (row.dataset.title === focused) row.focus({preventScroll: true});
}

function drawAgents(figures, chosen) {
    const http2 = figures.some(f => someSpeaksHttp2(f.row));
    fillTable(byId("agents"), "agent", http2, figures.map(f => rowOf(f, http2, f.row === chosen, () => choose(f.row.name))));
}

function drawOrigins(agent, origin) {
    const box = byId("origins"), all = agent.origins.filter(o => o.origin.includes(filter));
    box.hidden = agent.origins.length < 2;
    if (box.hidden) return;
    const figures = all.filter(o => histories.has(keyOf(agent.name, o.origin)))
        .map(o => ({...figuresOf(keyOf(agent.name, o.origin), o, limitOfOrigin(agent)), title: withoutPort(o.origin)}))
        .sort(compareFigures).slice(0, ORIGINS_SHOWN);
    const http2 = someSpeaksHttp2(agent);
    let input = box.querySelector("input"), more = box.querySelector("p");
    if (!input) {
        input = make("input");
        input.placeholder = "origins that contain ...";
        input.addEventListener("input", () => { filter = input.value; draw(); });
        more = make("p", "faint");
        box.replaceChildren(input);
        fillTable(box, "origin", http2, []);
        box.append(more);
    }
    input.hidden = agent.origins.length <= ORIGINS_SHOWN;
    fillTable(box, "origin", http2, figures.map(f => rowOf(f, http2, f.row === origin,
                                                           () => choose(agent.name, f.row === origin ? null : f.row.origin))));
    more.textContent = all.length > figures.length ? `${figures.length} of ${all.length} origins; carpoolctl status shows all` : "";
}

const largestFirst = (counts, behind) => Object.entries(counts).sort((a, b) => b[1] - a[1])
    .map(([name, n]) => `${name} ${short(n)}${behind}`);

/* Who uses it: those that wait first. Nothing is there with callers: off. */
function drawCallers(all) {
    const box = byId("callers"), table = make("table"), body = make("tbody");
    const weight = c => [c.waiting, c.active, c.requests];
    const shown = all.slice().sort((a, b) => weight(b).map((n, i) => n - weight(a)[i]).find(n => n) || 0).slice(0, CALLERS_SHOWN);
    box.hidden = all.length === 0;
    for (const c of shown) {
        const tr = make("tr"), asked = [...largestFirst(c.agents, ""), ...largestFirst(c.notAllowed, " (not allowed)")];
        const others = c.requests - sum(c.agents) - sum(c.notAllowed); // refused before an agent was chosen; of "*" it is not known
        if (others > 0 && c.caller !== "*") asked.push(`(no agent) ${short(others)}`);
        const cells = [[c.caller], [c.connections, "slim"], [c.active], [c.waiting, c.waiting ? "waits" : ""], [short(c.requests)],
                       [short(c.errors), c.errors ? "wrong" : ""], [asked.join(", "), "slim"]];
        for (const [text, className] of cells) tr.append(make("td", className || "", text));
        body.append(tr);
    }
    const more = all.length > shown.length ? ` (${shown.length} of ${all.length}; carpoolctl callers shows all)` : "";
    table.append(make("caption", "", "callers" + more),
                 headOf([["caller"], ["connections", "slim"], ["active"], ["waiting"], ["requests"], ["failed or refused"], ["agents", "slim"]]),
                 body);
    box.replaceChildren(table);
}

/* Errors that say the same, as one line; the latest first. */
function groupErrors(errors) {
    const groups = new Map();
    for (const e of errors) {
        const key = [e.origin, e.error, e.text].join("\n"), known = groups.get(key);
        groups.delete(key);
        groups.set(key, {...e, count: known ? known.count + 1 : 1});
    }
    return [...groups.values()].reverse();
}

function drawErrors(agent, row) {
    const table = make("table", "words"), body = make("tbody");
    const more = error => // than are kept
        agent.errors[error] > agent.recentErrors.filter(e => e.error === error).length ? "+" : "";
    for (const g of groupErrors(agent.recentErrors)) {
        const tr = make("tr"), when = clock(Date.parse(g.time));
        tr.title = more(g.error) && "+: there may have been more like it than the latest 20 errors that are kept";
        tr.append(make("td", "faint", g.count > 1 ? `x${g.count}${more(g.error)}, last ${when}` : when), make("td", "", withoutPort(g.origin)),
                  make("td", "", `${g.error}: ${g.text}`));
        body.append(tr);
    }
    const counts = Object.entries(row.errors).sort((a, b) => b[1] - a[1]).map(([word, n]) => `${n} ${word}`).join(", ");
    if (body.children.length) table.append(headOf([["when (UTC)"], ["origin"], ["what"]]));
    table.prepend(make("caption", "", "errors since the start: " + (counts || "none")));
    table.append(body);
    byId("errors").replaceChildren(table);
}

/* Counts by reason, the most frequent first. */
function reasonTable(title, counts, name = reason => reason) {
    const reasons = Object.entries(counts).sort((a, b) => b[1] - a[1]), all = sum(counts);
    const table = make("table"), body = make("tbody");
    for (const [reason, count] of reasons) {
        const tr = make("tr");
        tr.append(make("td", "", name(reason)), make("td", "", short(count)), make("td", "faint", percent(count / all)));
        body.append(tr);
    }
    table.append(make("caption", "", title), body);
    return table;
}

/* A span with its two largest units. */
const spanOf = ms => ms < 1000 ? (ms < 0.995 ? ms > 0 ? ms.toFixed(2) : 0 : ms < 9.95 ? ms.toFixed(1) : Math.round(ms)) + " ms"
    : ms < 9950 ? (ms / 1e3).toFixed(1) + " s" : ms < 6e4 ? Math.floor(ms / 1e3) + " s"
    : ms < 3.6e6 ? Math.floor(ms / 6e4) + " min " + Math.floor(ms / 1e3) % 60 + " s" : longTime(ms);

/* What went otherwise than it should over HTTP/2, by who did it and why. */
function http2Counts(row) {
    const named = (name, counts) => Object.entries(counts).map(([code, count]) => [name + code, count]);
    return Object.fromEntries([
        ...named("GOAWAY from the origin: ", row.goaways), ...named("stream reset by the origin: ", row.streamsReset.origin),
        ...named("stream reset by Carpool: ", row.streamsReset.carpool)
    ]);
}

function http2Table(row) {
    const parts = [`${row.streams} of ${row.maxStreams} streams in use`];
    if (row.draining) parts.push(`${row.draining} connection${row.draining === 1 ? "" : "s"} draining`);
    if (row.unprocessedTotal) parts.push(`${short(row.unprocessedTotal)} requests repeated that the origin had not processed`);
    return reasonTable("HTTP/2: " + parts.join(", "), http2Counts(row));
}

function drawReasons(row) {
    const closed = Object.fromEntries(Object.entries(row.retiredTotal)
        .filter(([reason]) => reason !== "connect-failed" && reason !== "connect-timeout"));
    const count = row.saved.connections;
    byId("retired").replaceChildren(
        ...count ? [make("p", "saved", `saved since the start: ${short(count)} connection${count === 1 ? "" : "s"}, ` +
            `${spanOf(row.saved.connectMs)} of handshakes`)] : [],
        reasonTable(`connections opened: ${short(row.socketsOpened)}`, row.openedFor, whyOpened),
        reasonTable(`closed: ${short(sum(closed))}`, closed), ...someSpeaksHttp2(row) ? [http2Table(row)] : []);
}

/* What is chosen; the worst agent where nothing is. */

function limitsOf(agent, origin) {
    const several = !origin && agent.origins.length > 1; // each of them has maxSockets
    const value = several ? agent.maxTotalSockets : limitOfOrigin(agent);
    return value === null ? [] : [{name: !several && value === agent.maxSockets ? "maxSockets" : "maxTotalSockets", value}];
}

/* Of a daemon that has just begun, the seconds say more. */
const isLive = () => choice().view ? choice().view === "live" : !hour || hour.agents[0].minutes.length < MINUTES_LEAST;

/* The daemon's hour of an agent, or of one of its origins; null where it is not known. */
function minutesOf(agent, origin) {
    const one = origin ? hourOfOrigins && hourOfOrigins.name === agent.name &&
                         hourOfOrigins.origins.find(o => o.origin === origin.origin)
        : hour && hour.agents.find(a => a.name === agent.name);
    return one ? one.minutes : null;
}

function viewOf(agent, origin, list) {
    const minutes = isLive() ? null : minutesOf(agent, origin);
    return minutes ? hourView(minutes) : liveView(list);
}

function drawChosen(agent) {
    const origin = agent.origins.find(o => o.origin === choice().origin);
    const list = histories.get(keyOf(agent.name, origin && origin.origin)) || histories.get(keyOf(agent.name));
    byId("chosen").hidden = false;
    byId("name").textContent = agent.name;
    byId("badge").hidden = !agent.paused && !agent.removed;
    byId("badge").textContent = agent.paused ? "paused" : "removed, draining";
    byId("scope").textContent = origin ? withoutPort(origin.origin)
        : agent.origins.length > 1 ? `${agent.origins.length} origins, each up to maxSockets ${agent.maxSockets ?? "Infinity"}`
        : agent.origins.length ? withoutPort(agent.origins[0].origin) : "no requests yet";
    byId("hour").className = isLive() ? "" : "picked";
    byId("live").className = isLive() ? "picked" : "";
    byId("plots").replaceChildren(...plotsOf(viewOf(agent, origin, list), limitsOf(agent, origin)));
    drawOrigins(agent, origin);
    drawErrors(agent, origin || agent);
    drawReasons(origin || agent);
}

/* The state */

function drawState(answer, agents) {
    const refused = answer.daemon.refusedPerSecond;
    const add = f => answer.agents.reduce((n, a) => n + f(a), 0);
    const problems = answer.daemon.diagnosis.map(text => ({text}));
    for (const a of agents) // each begins with the agent's name
        for (const text of a.diagnosis) problems.push({agent: a.name, text: text.slice(a.name.length).replace(/^: /, "")});
    const count = problems.length, waiting = add(a => a.requests);
    byId("state").className = "card" + (count ? " wrong" : "");
    const failed = answer.daemon.failedLately;
    const verdict = count ? count + (count === 1 ? " problem" : " problems")
        : failed ? `no problems, but ${short(failed)} request${failed === 1 ? "" : "s"} failed in the last two minutes` : "no problems";
    byId("line").textContent = `${answer.stopping ? "stopping, " : ""}${verdict}; now ` +
        `${add(a => a.sockets)} active, ${waiting} waiting; last 10 s: ${short(answer.daemon.requestsPerSecond)} requests/s, ` +
        `${short(Math.max(0, answer.daemon.errorsPerSecond - refused))} errors/s` + (refused ? `, ${short(refused)} refused/s` : "");
    byId("problems").hidden = count === 0;
    byId("problems").replaceChildren(...problems.map(p => {
        const li = make("li");
        if (p.agent !== undefined) {
            const button = make("button", "", p.agent);
            button.addEventListener("click", () => choose(p.agent));
            li.append(button, " ");
        }
        li.append(p.text);
        return li;
    }));
    document.title = (count ? `(${count}) ` : "") + "Carpool";
}

function drawHeader(answer) {
    const daemon = answer.daemon, failed = !daemon.reload.ok;
    byId("uptime").textContent = "up " + longTime(daemon.uptimeMs);
    const age = Math.max(0, answer.timeMs - Date.parse(daemon.reload.time));
    byId("reload").textContent = daemon.reloads === 0 ? "no reload since"
        : `last reload ${failed ? "failed " : ""}${longTime(age)} ago`;
    byId("reload").className = failed ? "wrong" : "";
}

function draw() {
    const answer = latest;
    if (!answer) return;
    drawHeader(answer);
    const figures = answer.agents.map(a => ({...figuresOf(keyOf(a.name), a, limitOf(a)), title: a.name, full: countFull(a),
                                             spark: isLive() || !minutesOf(a) ? null : hourView(minutesOf(a)).list})).sort(compareFigures);
    const chosen = answer.agents.find(a => a.name === choice().agent) || figures[0].row;
    drawState(answer, figures.map(f => f.row));
    drawAgents(figures, chosen);
    drawCallers(answer.callers);
    drawChosen(chosen);
}

/* Of thousands of origins only the busiest have a history, and those that are looked for. */
function worthRemembering(agent) {
    const busy = o => o.requests * 1e9 + o.sockets * 1e6 + Math.min(o.requestsTotal, 1e6 - 1);
    const some = agent.origins.slice().sort((a, b) => busy(b) - busy(a)).slice(0, ORIGINS_REMEMBERED);
    const sought = filter ? agent.origins.filter(o => o.origin.includes(filter)).slice(0, ORIGINS_REMEMBERED) : [];
    return new Set([...some, ...sought]);
}

function take(answer) {
    const now = answer.timeMs;
    if (now < lastTime) histories.clear();
    lastTime = now;
    bounds = answer.latencyBoundsMs;
    for (const agent of answer.agents) {
        remember(keyOf(agent.name), agent, now);
        for (const o of worthRemembering(agent)) remember(keyOf(agent.name, o.origin), o, now);
    }
    handOver(answer.agents);
    forgetUnseen(now);
    if (frozen && latest) return;
    latest = answer;
    draw();
}

/* The running minute is asked for every ten seconds; that of origins only where one is looked at. */
let hourAsked = 0, hourOf = null;

async function askHour() {
    const {agent, origin} = choice(), key = origin ? agent : null;
    if (frozen || (key === hourOf && performance.now() - hourAsked < 10000 && hour)) return;
    hourAsked = performance.now();
    hourOf = key;
    const get = async path => { const reply = await fetch(path, {cache: "no-store"}); return reply.ok ? reply.json() : null; };
    hour = await get("history");
    if (key) hourOfOrigins = await get("agents/" + encodeURIComponent(agent) + "/history");
}

/* What stood there is no longer vouched for. */
function silence(text) {
    byId("state").className = "card wrong";
    byId("line").textContent = text;
    byId("problems").hidden = true;
    for (const id of ["agents", "callers", "chosen"]) byId(id).classList.add("stale");
}

async function ask() {
    const ready = await fetch("readyz", {cache: "no-store"}), reply = await fetch("live", {cache: "no-store"});
    if (!reply.ok) throw new Error("live answered " + reply.status);
    return {...await reply.json(), stopping: !ready.ok};
}

async function look() {
    let answer = null;
    try {
        answer = await ask();
        await askHour();
    } catch (e) {
        silence(`${latest ? `carpoold has not answered since ${clock(latest.timeMs)} UTC` : "carpoold does not answer"}. ` +
                "Is it running? systemctl status carpoold, journalctl -u carpoold");
    }
    setTimeout(look, document.hidden ? 5000 : 1000);
    if (!answer) return;
    for (const id of ["agents", "callers", "chosen"]) byId(id).classList.remove("stale");
    take(answer);
}

byId("freeze").addEventListener("click", () => {
    frozen = !frozen;
    byId("freeze").textContent = frozen ? "frozen: go on" : "freeze";
});
for (const id of ["hour", "live"])
    byId(id).addEventListener("click", () => { cursor = null; choose(choice().agent, choice().origin, id); });
addEventListener("hashchange", draw);
fetch("version").then(r => r.json()).then(v => { byId("version").textContent = v.version + ", " + v.instance; }).catch(() => {});
look();
