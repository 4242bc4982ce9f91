// Live plots of the last minutes, from /metrics and /v1/models.

import * as api from "./api.js";
import { byId, h, short } from "./dom.js";

const EVERY = 2000; // milliseconds
const KEPT = 150; // readings: five minutes

const histories = new Map(); // model, or nothing for the server -> readings

// Prometheus' text to [name, labels, value].
export function samples(text) {
  return [...text.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/gm)].map(([, name, labels, value]) => [
    name, Object.fromEntries([...(labels || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, said]) => [key, said])), Number(value.replace("Inf", "Infinity")),
  ]);
}

function reading(all, model) {
  const own = all.filter(([, labels]) => labels.model === model);
  const sum = (name, more = () => true) => own.filter(([given, labels]) => given === name && more(labels)).reduce((total, [, , value]) => total + value, 0);
  const buckets = own.filter(([name, { outcome }]) => name === "braid_request_seconds_bucket" && outcome === "ok").map(([, { le }, value]) => [le === "+Inf" ? Infinity : Number(le), value]);
  return {
    at: performance.now() / 1000,
    answers: sum("braid_requests_total"),
    refused: sum("braid_requests_total", ({ status }) => Number(status) >= 400 && Number(status) < 500),
    failed: sum("braid_requests_total", ({ status }) => Number(status) >= 500),
    buckets: buckets.sort(([a], [b]) => a - b),
    rows: sum("braid_batch_size_sum"),
    batches: sum("braid_batch_size_count"),
    queue: sum("braid_queue_depth"),
    held: sum("braid_in_flight"),
    queued: sum("braid_stage_seconds_sum", ({ stage }) => stage === "queue"),
    waited: sum("braid_stage_seconds_count", ({ stage }) => stage === "queue"),
  };
}

function whole(all) {
  const sum = (name) => all.filter(([given]) => given === name).reduce((total, [, , value]) => total + value, 0);
  return {
    at: performance.now() / 1000,
    cpu: sum("process_cpu_seconds_total"),
    memory: sum("process_resident_memory_bytes") / 2 ** 20,
    workers: sum("braid_workers"),
    version: (all.find(([name]) => name === "braid_build_info") || ["", {}])[1].version,
    since: sum("process_start_time_seconds"),
  };
}

// Seconds under which `share` of the answers between two readings lie, within a bucket linearly.
function quantile(share, before, after) {
  const counts = after.buckets.map(([edge, count], index) => [edge, count - (before.buckets[index] ? before.buckets[index][1] : 0)]);
  const all = counts.length ? counts.at(-1)[1] : 0;
  let [low, below] = [0, 0];
  for (const [edge, count] of counts) {
    if (all > 0 && count >= share * all) return edge === Infinity ? low : low + ((edge - low) * (share * all - below)) / Math.max(1e-9, count - below);
    [low, below] = [edge, count];
  }
  return null; // there were none
}

function pairs(readings) {
  return readings.slice(1).map((after, index) => [readings[index], after, after.at - readings[index].at]);
}

const mean = (sum, count) => (count > 0 ? sum / count : null);
const milliseconds = (seconds) => (seconds === null ? null : 1000 * seconds);

// Title, lines (name, numbers or null where there is none), unit.
function series(readings) {
  const of = (compute) => pairs(readings).map(([before, after, seconds]) => compute(before, after, seconds));
  const last = (name) => readings.slice(1).map((one) => one[name]);
  return [
    ["Answers a second", [["all", of((a, b, s) => (b.answers - a.answers) / s)]], ""],
    ["Refused and failed a second", [["refused", of((a, b, s) => (b.refused - a.refused) / s)], ["failed", of((a, b, s) => (b.failed - a.failed) / s)]], ""],
    ["Time to the answer", [["p50", of((a, b) => milliseconds(quantile(0.5, a, b)))], ["p99", of((a, b) => milliseconds(quantile(0.99, a, b)))]], " ms"],
    ["In flight, waiting for a batch", [["in flight", last("held")], ["waiting", last("queue")]], ""],
    ["Wait for a batch", [["mean", of((a, b) => milliseconds(mean(b.queued - a.queued, b.waited - a.waited)))]], " ms"],
    ["Rows of a batch", [["mean", of((a, b) => mean(b.rows - a.rows, b.batches - a.batches))]], ""],
  ];
}

const amount = (value, unit) => (value === null || value === undefined ? "–" : `${Number(value.toPrecision(3))}${unit}`);

function plot(title, lines, unit) {
  const most = Math.max(1e-9, ...lines.flatMap(([, values]) => values));
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${KEPT} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  lines.forEach(([, values], index) => {
    const path = document.createElementNS(svg.namespaceURI, "polyline");
    path.setAttribute("points", values.flatMap((value, x) => (value === null ? [] : [`${KEPT - values.length + x},${98 - (95 * value) / most}`])).join(" "));
    if (index) path.classList.add("second");
    svg.append(path);
  });
  const now = lines.flatMap(([name, values], index) => [index ? ", " : "", h("span", { class: index ? "second" : "" }, `${lines.length > 1 ? `${name} ` : ""}${amount(values.at(-1), unit)}`)]);
  return h("div", { class: "plot" }, h("h3", {}, title), h("p", { class: "now" }, ...now), svg, h("p", { class: "soft" }, `at most ${amount(most < 1e-6 ? 0 : most, unit)}`));
}

function facts(entries) {
  return h("dl", { class: "facts" }, ...Object.entries(entries).filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
}

function about({ version, variant, providers, calibration }) {
  const times = Object.entries(calibration.run_seconds).map(([size, seconds]) => `${size}: ${short(1000 * seconds)} ms`);
  return facts({
    Version: version,
    Variant: variant,
    "Runs on": providers.join(", "),
    "Graph runs": calibration.engine === "loop" ? "on the event loop" : `in ${calibration.lanes} thread${calibration.lanes > 1 ? "s" : ""}, on ${calibration.threads} core${calibration.threads > 1 ? "s" : ""} when alone`,
    "Largest batch": `${calibration.batch} rows`,
    "Time a row, by rows of a batch": times.join(", "),
  });
}

function keep(name, one) {
  const readings = [...(histories.get(name) || []), one].slice(-KEPT);
  histories.set(name, readings);
  return readings;
}

function server(all) {
  const readings = keep("", whole(all));
  const { version, workers, since } = readings.at(-1);
  const cpu = pairs(readings).map(([before, after, seconds]) => (after.cpu - before.cpu) / seconds);
  byId("server").hidden = false;
  byId("server").replaceChildren(
    facts({ Braid: version, Workers: workers, Since: new Date(1000 * since).toLocaleString() }),
    h("div", { class: "plots" }, plot("Cores in use", [["all", cpu]], ""), plot("Memory of all workers", [["all", readings.slice(1).map(({ memory }) => memory)]], " MiB")),
  );
}

function seen(readings) {
  const seconds = readings.at(-1).at - readings[0].at;
  return seconds < 5 ? "since this page was opened" : `in the last ${seconds < 120 ? `${Math.round(seconds)} seconds` : `${Math.round(seconds / 60)} minutes`}`;
}

async function look() {
  const [models, text] = await Promise.all([api.models(), api.call("/metrics").then((answer) => answer.text())]);
  const all = samples(text);
  server(all);
  byId("models").replaceChildren(...models.map((model) => {
    const readings = keep(model.id, reading(all, model.id));
    const quiet = readings[0].answers === readings.at(-1).answers && !readings.at(-1).held;
    const plots = series(readings).map(([title, lines, unit]) => plot(title, lines, unit));
    return h("section", { class: "box", "aria-label": model.id }, h("h2", {}, model.id), about(model),
      quiet ? h("p", { class: "soft" }, `No requests ${seen(readings)}.`) : h("div", { class: "plots" }, ...plots));
  }));
  byId("state").textContent = models.length ? "Ready" : "Loading";
  byId("trouble").hidden = true;
}

async function again() {
  try {
    if (!document.hidden) await look();
  } catch (error) {
    byId("state").textContent = "";
    byId("trouble").hidden = false;
    byId("trouble").textContent = `${error.title || "Trouble"}: ${error.message}`;
    if (error.status === 401) byId("locked").hidden = false;
  }
  setTimeout(again, EVERY);
}

byId("locked").addEventListener("submit", (event) => {
  event.preventDefault();
  api.unlock(byId("key").value);
  byId("locked").hidden = true;
});
again();
