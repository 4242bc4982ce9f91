// What comes out: one block an output, by what its kind answers; what each part contributed; the time it took.

import { bars, button, h, percent, row, short, signed } from "./dom.js";
import { number, reason, subject, together } from "./words.js";

const COLOURS = ["#e11d48", "#0e7490", "#a16207", "#7c3aed", "#15803d", "#c2410c", "#1d4ed8", "#be185d"]; // of boxes

// `choose(output, label)` is called when somebody wants that label explained.
export function answer(name, spec, said, chosen, choose) {
  const show = { classification, zero_shot: classification, multilabel, regression, detection, anomaly, embedding }[spec.kind] || other;
  return h("section", { class: "box", "aria-label": `Answer ${name}` }, h("h3", {}, name), ...show(said, spec, (label) => explained(name, label, chosen, choose)));
}

// In a few words, for where there is little room.
export function brief(name, spec, said) {
  if (said.label !== undefined) return `${name}: ${said.label} (${percent(said.score)})`;
  if (said.labels) return `${name}: ${said.labels.map(({ label }) => label).join(", ") || "none"}`;
  if (said.values) return `${name}: ${Object.entries(said.values).map(([key, value]) => `${key} ${short(value)}`).join(", ")}`;
  if (said.value !== undefined) return `${name}: ${short(said.value)} ${said.unit || ""}`;
  if (said.detections) return `${name}: ${counted(said.detections)}`;
  if (said.anomalous !== undefined) return `${name}: ${said.anomalous ? "unusual" : "usual"}`;
  return name;
}

function explained(output, label, chosen, choose) {
  const pressed = chosen && chosen.output === output && chosen.target === label;
  return button(label, () => choose(output, label), { "aria-pressed": String(Boolean(pressed)), title: `What spoke for ${label}?` });
}

const scores = (top, name) => bars("Scores. Choose one to see what spoke for it.", top.map(({ label, score }) => row(name(label), 0, score, percent(score))));

function classification(said, spec, name) {
  return [h("p", { class: "answer" }, said.label, " ", h("small", {}, percent(said.score))), scores(said.top, name)];
}

function multilabel(said, spec, name) {
  const labels = said.labels.map(({ label }) => label).join(", ");
  return [h("p", { class: "answer" }, labels || "none of its labels"), scores(said.top, name)];
}

function regression(said, spec, name) {
  if (said.values) {
    const between = (key) => (said.intervals ? h("span", { class: "soft" }, ` ${interval(said.intervals[key], spec)}`) : null);
    const rows = Object.entries(said.values).map(([key, value]) => h("tr", {}, h("th", { scope: "row" }, name(key)), h("td", {}, h("strong", {}, short(value)), ` ${said.unit || ""}`, between(key))));
    return [h("table", { class: "bars" }, h("caption", {}, "Choose one to see what moved it."), h("tbody", {}, ...rows))];
  }
  return [h("p", { class: "answer" }, `${short(said.value)} `, h("small", {}, said.unit || "")), said.interval && h("p", { class: "soft" }, interval(said.interval, spec))];
}

function interval([low, high], spec) {
  return `between ${short(low)} and ${short(high)}${spec.coverage ? ` in ${percent(spec.coverage)} of cases` : ""}`;
}

export function colour(label, labels) {
  return COLOURS[Math.max(0, labels.indexOf(label)) % COLOURS.length];
}

function counted(detections) {
  const counts = new Map();
  for (const { label } of detections) counts.set(label, (counts.get(label) || 0) + 1);
  return [...counts].map(([label, count]) => `${count}\u00a0×\u00a0${label}`).join(", ") || "nothing";
}

function detection(said, spec) {
  const rows = said.detections.map(({ label, score }) => {
    const swatch = h("span", { class: "swatch" });
    swatch.style.background = colour(label, spec.labels);
    return row(h("span", {}, swatch, label), 0, score, percent(score));
  });
  return [h("p", { class: "answer" }, counted(said.detections)),
    rows.length ? bars("Found in the picture, surest first", rows) : h("p", { class: "soft" }, "Nothing scores above the threshold. Lower it to see what comes near.")];
}

function anomaly(said) {
  const most = Math.max(said.score, said.threshold) * 1.2 || 1;
  const rows = [row("score", 0, said.score / most, short(said.score)), row("threshold", 0, said.threshold / most, short(said.threshold))];
  return [h("p", { class: "answer" }, said.anomalous ? "unusual" : "usual"), bars("Larger is more unusual; over the threshold counts", rows)];
}

function embedding(said) {
  const vectors = Array.isArray(said.embedding) ? { "": said.embedding } : said.embedding;
  const lines = Object.entries(vectors).map(([part, vector]) => h("p", {}, part ? `${part}: ` : "", `${vector.length} numbers `, h("span", { class: "soft" }, `${vector.slice(0, 4).map(short).join(", ")}, …`), stripes(vector)));
  return [...lines, h("p", { class: "soft" }, "A vector is for comparing: what is alike has vectors that point the same way.")];
}

// A vector as a row of stripes: light for large, dark for small.
function stripes(vector) {
  const canvas = h("canvas", { class: "stripes", width: vector.length, height: 1, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(vector.length, 1);
  const most = Math.max(1e-9, ...vector.map(Math.abs));
  vector.forEach((value, i) => picture.data.set([value > 0 ? 210 : 40, 60 + 120 * (1 - Math.abs(value) / most), value > 0 ? 60 : 220, 40 + 215 * Math.abs(value) / most], 4 * i));
  context.putImageData(picture, 0, 0);
  return canvas;
}

function other(said) {
  return [h("pre", {}, JSON.stringify(said, null, 1))];
}

function added(value, scale) {
  return scale === "probability" ? `${value < 0 ? "−" : "+"}${(100 * Math.abs(value)).toFixed(1)} %` : signed(value);
}

// Signed bars round the middle: what each part added to the answer's number, or took from it.
export function contributions(explanation) {
  const { all, none, scale, target } = explanation;
  const parts = Object.entries(explanation.parts);
  const most = Math.max(1e-9, ...parts.map(([, part]) => Math.abs(part.value)));
  const rows = parts.map(([name, { value, without }]) => row(name, 0.5, 0.5 + value / most / 2, [added(value, scale), number(without, scale)], value < 0 ? "against" : "for"));
  const what = subject(explanation);
  const named = scale === "value" ? `${what[0].toUpperCase()}${what.slice(1)}` : `${scale === "probability" ? "Probability" : "Log-odds"} of ${target}`;
  const caption = `${named}: ${number(none, scale)} if nothing were known, ${number(all, scale)} now. What each part adds:`;
  const pairs = Object.entries(explanation.interactions || {}).map(([pair, value]) => h("li", {}, together(pair, value)));
  return h("section", { class: "box" },
    h("h3", {}, "What each part contributed"), h("p", {}, reason(explanation)),
    bars(caption, rows, ["part", scale === "value" ? "lowers or raises" : "against or for", "adds", "without it"]),
    pairs.length ? h("details", {}, h("summary", {}, "How the parts act together"), h("ul", {}, ...pairs)) : null);
}

export function timing(stages, milliseconds) {
  const most = Math.max(1e-9, ...stages.map(([, took]) => took));
  const inside = stages.reduce((sum, [, took]) => sum + took, 0);
  return h("details", {}, h("summary", {}, `Time: ${inside.toFixed(1)} ms in the server, ${milliseconds.toFixed(0)} ms with the way there and back`),
    bars("Milliseconds by stage", stages.map(([name, took]) => row(name, 0, took / most, took.toFixed(3)))));
}
