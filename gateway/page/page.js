// The page: live feed, score over time, share by label, a box to try a text, and the models. No library, no build.

const HOUR = 3600000;
// How many messages are shown, how many of them from before, the least time between two readings of the summary, and how often to
// look.
const SHOWN = 100;
const BEFORE = 20;
const REST = 2000;
const LOOK = 30000;

const find = (id) => document.getElementById(id);
const number = (value, digits = 2) => (value ?? null) === null ? "–" : value.toFixed(digits);
const short = (value) => value.toLocaleString([], { notation: "compact", maximumFractionDigits: 1 });
const moods = new Set(["positive", "neutral", "negative"]);
const mood = (label) => (moods.has(label) ? label : "other");

// An element with attributes and children; texts go in as texts, never as HTML.
function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) {
        element.setAttribute(attribute, value);
    }
    element.append(...children);
    return element;
}

function draw(name, attributes, text = "") {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [attribute, value] of Object.entries(attributes)) {
        element.setAttribute(attribute, value);
    }
    element.textContent = text;
    return element;
}

// The key is kept for this tab only, and sent in a header: never in an address.
const isPublic = document.body.dataset.public === "true";
let key = sessionStorage.getItem("key");

class Refused extends Error {
    constructor(status, detail) {
        super(detail);
        this.status = status;
    }
}

async function ask(path, options = {}) {
    const headers = { ...options.headers };
    if (key) {
        headers.authorization = `Bearer ${key}`;
    }
    const response = await fetch(path, { ...options, headers });
    if (!response.ok) {
        const problem = await response.json().catch(() => ({}));
        throw new Refused(response.status, problem.detail ?? response.statusText);
    }
    return response;
}

const read = async (path) => (await ask(path)).json();
const send = async (path, body) =>
    (await ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();

// Live messages. EventSource cannot send a key, so the stream is read by fetch; it goes on after the last event it had.

let waiting = [];
let paused = false;
let lastEvent = null;

function take(event) {
    let data = "";
    for (const line of event.split("\n")) {
        if (line.startsWith("id: ")) {
            lastEvent = line.slice(4);
        } else if (line.startsWith("data: ")) {
            data += line.slice(6);
        }
    }
    if (data) {
        waiting.push(JSON.parse(data));
        // Only the newest can be shown anyway.
        waiting = waiting.slice(-SHOWN);
        show();
    }
}

async function follow() {
    let wait = 1000;
    for (;;) {
        try {
            const headers = lastEvent ? { "last-event-id": lastEvent } : {};
            const response = await ask("/v1/stream", { headers });
            find("state").textContent = "Connected: messages appear as they are stored";
            wait = 1000;
            const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
            let rest = "";
            for (;;) {
                const { value, done } = await reader.read();
                if (done) {
                    break;
                }
                const events = (rest + value).split("\n\n");
                rest = events.pop();
                events.forEach(take);
            }
        } catch (error) {
            if (error.status === 401 || error.status === 403) {
                askForKey(error.message);
                return;
            }
        }
        find("state").textContent = "Connection lost: trying again";
        await new Promise((done) => setTimeout(done, wait));
        wait = Math.min(wait * 2, 30000);
    }
}

let showing = false;
function show() {
    if (showing || paused) {
        return;
    }
    showing = true;
    requestAnimationFrame(() => {
        showing = false;
        const list = find("live");
        for (const message of waiting.filter(isNew)) {
            list.prepend(row(message));
        }
        meet(waiting);
        waiting = [];
        while (list.children.length > SHOWN) {
            list.lastElementChild.remove();
        }
        find("quiet").hidden = list.children.length > 0;
        summarise();
    });
}

const isNew = (message) => !find("live").querySelector(`[data-id="${Number(message.id)}"]`);

// Messages from before, the newest first: below those that came meanwhile.
function showBefore(messages) {
    const list = find("live");
    for (const message of messages.filter(isNew).slice(0, SHOWN - list.children.length)) {
        list.append(row(message));
    }
    find("quiet").hidden = list.children.length > 0;
}

function row(message) {
    const label = message.label ?? "no label";
    const at = new Date(message.sent_at);
    const isToday = at.toDateString() === new Date().toDateString();
    return make("li", { class: mood(message.label), "data-id": message.id },
        make("span", { class: "mood" }, label),
        make("span", { class: "score", title: message.model_version ?? "" }, number(message.score)),
        // Each is laid out in its own direction, and turns nothing beside it round.
        make("span", { class: "body", dir: "auto" }, message.body),
        make("span", { class: "from" },
            ...[message.author, message.source].filter(Boolean).flatMap((name, place) => [place ? " · " : "", make("bdi", {}, name)]), " ",
            make("time", { datetime: message.sent_at }, isToday ? at.toLocaleTimeString() : at.toLocaleString())));
}

find("pause").addEventListener("click", (event) => {
    paused = !paused;
    event.currentTarget.textContent = paused ? "Go on" : "Pause";
    show();
});

// The last hour, by minute: read again when messages came, but not all the time.

let lastSummary = 0;
let nextSummary = null;
function summarise() {
    if (nextSummary === null) {
        const delay = Math.max(0, lastSummary + REST - Date.now());
        nextSummary = setTimeout(readSummary, delay);
    }
}

async function readSummary() {
    lastSummary = Date.now();
    nextSummary = null;
    try {
        const summary = await read("/v1/summary?bucket=minute");
        showShare(summary.buckets);
        showChart(summary.buckets);
        await lookAtModels();
    } catch (error) {
        // The stream's state says that the gateway is away.
        if (!(error instanceof TypeError || error instanceof Refused)) {
            throw error;
        }
    }
}

function showShare(buckets) {
    const counts = new Map([["positive", 0], ["neutral", 0], ["negative", 0]]);
    for (const bucket of buckets) {
        for (const [label, count] of Object.entries(bucket.labels)) {
            counts.set(label, (counts.get(label) ?? 0) + count);
        }
    }
    const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
    find("share").replaceChildren(...[...counts].map(([label, count]) => bar(label, all ? count / all : 0, count)));
}

function bar(label, share, count = null) {
    const filled = make("span");
    filled.style.width = `${share * 100}%`;
    const figure = `${(share * 100).toFixed(1)} %` + (count === null ? "" : ` (${count.toLocaleString()})`);
    return make("li", { class: mood(label) },
        make("span", { class: "mood" }, label), make("span", { class: "bar", "aria-hidden": "true" }, filled),
        make("span", { class: "figure" }, figure));
}

function showChart(buckets) {
    const points = buckets.filter((bucket) => bucket.mean_score !== null);
    const now = Date.now();
    const x = (start) => 40 + 670 * (1 - (now - Date.parse(start)) / HOUR);
    // Labels may have values of their own, such as stars: then scores go beyond 1.
    const scores = points.map((point) => point.mean_score);
    const [lowest, highest] = [Math.min(-1, ...scores), Math.max(1, ...scores)];
    const y = (score) => 10 + 140 * (highest - score) / (highest - lowest);
    const parts = [draw("title", { id: "chart-title" }, describe(points))];
    // What is too near to 0 would be written over it.
    for (const score of [highest, 0, lowest].filter((score) => !score || Math.abs(y(score) - y(0)) > 14)) {
        parts.push(draw("line", { x1: 40, x2: 710, y1: y(score), y2: y(score), class: score ? "axis" : "axis zero" }));
        parts.push(draw("text", { x: 32, y: y(score) + 4, "text-anchor": "end" }, short(score)));
    }
    for (const minutes of [60, 45, 30, 15, 0]) {
        const at = new Date(now - minutes * 60000);
        const anchor = minutes === 60 ? "start" : minutes ? "middle" : "end";
        parts.push(draw("text", { x: x(at.toISOString()), y: 180, "text-anchor": anchor },
            at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })));
    }
    const line = points.map((point) => `${Math.max(40, x(point.start)).toFixed(1)},${y(point.mean_score).toFixed(1)}`);
    parts.push(draw("polyline", { points: line.join(" "), class: "score" }));
    for (const place of line) {
        const [cx, cy] = place.split(",");
        parts.push(draw("circle", { cx, cy, r: 3, class: "dot" }));
    }
    find("chart").replaceChildren(...parts);
    find("minutes").tBodies[0].replaceChildren(...[...buckets].reverse().map((bucket) => make("tr", {},
        make("td", {}, new Date(bucket.start).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })),
        make("td", {}, String(bucket.count)), make("td", {}, number(bucket.mean_score)))));
}

function describe(points) {
    if (!points.length) {
        return "No messages in the last hour";
    }
    const last = points[points.length - 1];
    return `Mean score of ${points.length} minutes of the last hour; in the last of them ${number(last.mean_score)}`;
}

// A text to try, and why it got its label.

find("try").addEventListener("submit", async (event) => {
    event.preventDefault();
    const question = { text: find("text").value };
    if (find("model").value) {
        question.model = find("model").value;
    }
    const answer = find("answer");
    try {
        const { sentiment, terms } = await send("/v1/explain", question);
        if (sentiment.label === null) {
            answer.replaceChildren(make("p", {}, "There is nothing to score in this text."));
            return;
        }
        const probabilities = Object.entries(sentiment.probabilities).sort(([, a], [, b]) => b - a);
        answer.replaceChildren(
            make("p", { class: mood(sentiment.label) }, make("strong", { class: "mood" }, sentiment.label),
                `, score ${number(sentiment.score)}, by ${sentiment.model_version}`),
            make("ul", { class: "bars" }, ...probabilities.map(([label, share]) => bar(label, share))),
            explanation(terms));
    } catch (error) {
        answer.replaceChildren(make("p", {}, error.message));
    }
});

function explanation(terms) {
    const rows = terms.map((term) => make("tr", {},
        make("td", {}, make("bdi", {}, term.term)), make("td", {}, number(term.weight)),
        make("td", { class: mood(term.toward) }, make("span", { class: "mood" }, term.toward ?? ""))));
    const head = ["Term", "Weight", "Toward"].map((title) => make("th", { scope: "col" }, title));
    return make("table", {}, make("caption", { class: "note" }, "What weighs most"),
        make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

// The versions that were seen already, the models that are shown, and when they were asked for. A message by another version says that
// one was deployed; else they are asked for now and then.

const versions = new Set();
let shownModels = "";
let lastModels = 0;

function meet(messages) {
    for (const { model_version: version } of messages) {
        if (version && !versions.has(version)) {
            versions.add(version);
            lastModels = 0;
        }
    }
}

async function lookAtModels() {
    if (Date.now() - lastModels >= LOOK - REST) {
        await showModels();
    }
}

async function showModels() {
    const models = await read("/v1/models");
    lastModels = Date.now();
    models.forEach((model) => versions.add(model.model_version));
    // What is as it was keeps its place, and what is chosen stays chosen.
    if (JSON.stringify(models) === shownModels) {
        return;
    }
    shownModels = JSON.stringify(models);
    const chosen = find("model").value;
    find("models").tBodies[0].replaceChildren(...models.map((model) => make("tr", {},
        make("th", { scope: "row" }, model.model_version ?? model.model),
        ...[model.algorithm.replaceAll("_", " "), model.language, model.labels.join(", "),
            (model.rows_train ?? 0).toLocaleString(), number(model.metrics?.macro_f1, 3), number(model.metrics?.accuracy, 3),
            model.shipped ? "shipped" : model.deployed_at ? new Date(model.deployed_at).toLocaleString() : "no",
        ].map((value) => make("td", {}, value)))));
    find("model").replaceChildren(make("option", { value: "" }, "default"),
        ...[...models.map((model) => model.model), "auto"].map((name) => make("option", { value: name }, name)));
    const still = [...find("model").options].some((option) => option.value === chosen);
    find("model").value = still ? chosen : "";
}

// Without a key nothing is asked for that would be refused.

function askForKey(problem = "") {
    sessionStorage.removeItem("key");
    key = null;
    find("key").hidden = false;
    find("key-problem").textContent = problem;
    find("state").textContent = "Not connected: a key is needed";
    find("secret").focus();
}

find("key").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = find("secret").value.trim();
    find("secret").value = "";
    // What no header can hold would not even be sent: it would look as if the gateway were away.
    if (!/^[!-~]+$/.test(given)) {
        askForKey("this is no key: one begins with sgk_");
        return;
    }
    key = given;
    sessionStorage.setItem("key", key);
    find("key").hidden = true;
    start();
});

function start() {
    if (!key && !isPublic) {
        askForKey();
        return;
    }
    follow();
    fill();
}

// What there is already. The database may be away as the page opens: then it is asked for again, but not what a key is missing for.
async function fill() {
    for (;;) {
        try {
            const { messages } = await read(`/v1/messages?limit=${BEFORE}`);
            showBefore(messages);
            summarise();
            await showModels();
            return;
        } catch (error) {
            if (!(error instanceof Refused || error instanceof TypeError)) {
                throw error;
            }
            if (error.status === 401 || error.status === 403) {
                return;
            }
        }
        await new Promise((done) => setTimeout(done, REST));
    }
}

setInterval(() => (key || isPublic) && summarise(), LOOK);
start();
