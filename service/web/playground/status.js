// Live plots of the last minutes, from /metrics and /v1/models.

import * as api from "./api.js";
import { byId, h, short } from "./dom.js";

const EVERY = 2000; // milliseconds
const KEPT = 150; // readings: five minutes

const histories = new Map(); // model -> readings

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
    failures: sum("braid_requests_total", ({ status }) => Number(status) >= 400),
    buckets: buckets.sort(([a], [b]) => a - b),
    rows: sum("braid_batch_size_sum"),
    batches: sum("braid_batch_size_count"),
    queue: sum("braid_queue_depth"),
    held: sum("braid_in_flight"),
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
  return 0;
}

function series(readings) {
  const pairs = readings.slice(1).map((after, index) => [readings[index], after, after.at - readings[index].at]);
  const of = (compute) => pairs.map(([before, after, seconds]) => compute(before, after, seconds));
  const last = (name) => readings.slice(1).map((one) => one[name]);
  return [
    ["Requests a second", [of((a, b, s) => (b.answers - a.answers) / s)], ""],
    ["Answers of 4xx and 5xx a second", [of((a, b, s) => (b.failures - a.failures) / s)], ""],
    ["Latency: p50, p99", [of((a, b) => 1000 * quantile(0.5, a, b)), of((a, b) => 1000 * quantile(0.99, a, b))], " ms"],
    ["Waiting for a batch, in flight", [last("queue"), last("held")], ""],
    ["Rows of a batch", [of((a, b) => (b.rows - a.rows) / Math.max(1, b.batches - a.batches))], ""],
  ];
}

function plot(title, lines, unit) {
  const most = Math.max(1e-9, ...lines.flat());
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${KEPT} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  lines.forEach((line, index) => {
    const path = document.createElementNS(svg.namespaceURI, "polyline");
    path.setAttribute("points", line.map((value, x) => `${KEPT - line.length + x},${98 - (95 * value) / most}`).join(" "));
    if (index) path.classList.add("second");
    svg.append(path);
  });
  const now = lines.map((line) => short(line.at(-1) ?? 0) + unit).join(", ");
  return h("div", { class: "plot" }, h("h3", {}, title), h("p", { class: "now" }, now), svg, h("p", { class: "soft" }, `most: ${short(most < 1e-6 ? 0 : most)}${unit}`));
}

function facts(model) {
  const { calibration } = model;
  const rows = Object.entries(calibration.run_seconds).map(([size, seconds]) => `${size}: ${short(1000 * seconds)} ms`);
  return h("dl", {}, ...Object.entries({
    Version: model.version,
    Variant: model.variant || "the graph itself",
    Providers: model.providers.join(", "),
    "Graph runs": calibration.engine === "loop" ? "on the event loop" : `in ${calibration.lanes} thread(s), ${calibration.threads} inside the graph when alone`,
    "Largest batch": calibration.batch,
    "Time by rows": rows.join(", "),
  }).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]));
}

async function look() {
  const [models, text] = await Promise.all([api.models(), api.call("/metrics").then((answer) => answer.text())]);
  const all = samples(text);
  byId("models").replaceChildren(...models.map((model) => {
    const readings = histories.get(model.id) || [];
    readings.push(reading(all, model.id));
    histories.set(model.id, readings.slice(-KEPT));
    const plots = series(readings).map(([title, lines, unit]) => plot(title, lines, unit));
    return h("section", { class: "box", "aria-label": model.id }, h("h2", {}, model.id), facts(model), h("div", { class: "plots" }, ...plots));
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

byId("key").addEventListener("change", () => {
  api.unlock(byId("key").value);
  byId("locked").hidden = true;
});
again();
