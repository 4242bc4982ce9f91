// What comes out: one block an output, by what its kind answers; what each part contributed; the time it took.

import { bars, button, h, percent, row, short, signed } from "./dom.js";

// `choose(output, label)` is called when somebody wants that label explained.
export function answer(name, spec, said, chosen, choose) {
  const show = { classification, zeroshot: classification, multilabel, regression, detection, anomaly, embedding }[spec.kind] || other;
  return h("section", { class: "box" }, h("h3", {}, name), ...show(said, spec, (label) => explained(name, label, chosen, choose)));
}

function explained(output, label, chosen, choose) {
  const pressed = chosen && chosen.output === output && chosen.target === label;
  return button(label, () => choose(output, label), { "aria-pressed": String(Boolean(pressed)), title: `Explain ${label}` });
}

const scores = (top, name) => bars("Scores", top.map(({ label, score }) => row(name(label), 0, score, percent(score))));

function classification(said, spec, name) {
  return [h("p", { class: "answer" }, said.label), scores(said.top, name)];
}

function multilabel(said, spec, name) {
  const labels = said.labels.map(({ label }) => label).join(", ");
  return [h("p", { class: "answer" }, labels || "none of its labels"), scores(said.top, name)];
}

function regression(said, spec, name) {
  if (said.values) {
    return [h("dl", {}, ...Object.entries(said.values).flatMap(([key, value]) => [h("dt", {}, name(key)), h("dd", {}, `${short(value)} ${said.unit || ""}`)]))];
  }
  const between = said.interval && h("p", { class: "soft" }, `between ${short(said.interval[0])} and ${short(said.interval[1])}${spec.coverage ? ` in ${percent(spec.coverage)} of cases` : ""}`);
  return [h("p", { class: "answer" }, `${short(said.value)} ${said.unit || ""}`), between];
}

function detection(said) {
  const count = said.detections.length;
  const rows = said.detections.map(({ label, score }) => row(label, 0, score, percent(score)));
  return [h("p", { class: "answer" }, count === 1 ? "1 object" : `${count} objects`), count ? bars("Found in the picture", rows) : null];
}

function anomaly(said) {
  const most = Math.max(said.score, said.threshold) * 1.2 || 1;
  const rows = [row("score", 0, said.score / most, short(said.score)), row("threshold", 0, said.threshold / most, short(said.threshold))];
  return [h("p", { class: "answer" }, said.anomalous ? "unusual" : "usual"), bars("Anomaly score", rows)];
}

function embedding(said) {
  const vectors = Array.isArray(said.embedding) ? { "": said.embedding } : said.embedding;
  return Object.entries(vectors).map(([part, vector]) => h("p", { class: "soft" },
    `${part ? `${part}: ` : ""}${vector.length} numbers: ${vector.slice(0, 4).map(short).join(", ")}, …`));
}

function other(said) {
  return [h("pre", {}, JSON.stringify(said, null, 1))];
}

// Signed bars round the middle: what each part added to the answer's number, or took from it.
export function contributions(explanation) {
  const parts = Object.entries(explanation.parts);
  const most = Math.max(1e-9, ...parts.map(([, part]) => Math.abs(part.value)));
  const rows = parts.map(([name, { value, without }]) => {
    const kind = value < 0 ? "against" : "for";
    return row(name, 0.5, 0.5 + value / most / 2, `${signed(value)} (without: ${short(without)})`, kind);
  });
  const scale = explanation.scale.replace("_", " ");
  const said = `From ${short(explanation.none)} with no part at all to ${short(explanation.all)}: ${scale} of ${explanation.target}`;
  const pairs = Object.entries(explanation.interactions || {}).map(([pair, value]) => `${pair.replaceAll("+", " and ")}: ${signed(value)}`);
  return h("section", { class: "box" },
    h("h3", {}, "What each part contributed"), bars(said, rows),
    pairs.length ? h("p", { class: "soft" }, `Together beyond each alone: ${pairs.join("; ")}`) : null);
}

export function timing(stages, milliseconds) {
  const most = Math.max(1e-9, ...stages.map(([, took]) => took));
  const inside = stages.reduce((sum, [, took]) => sum + took, 0);
  return h("details", {}, h("summary", {}, `${inside.toFixed(2)} ms in the server, ${milliseconds.toFixed(0)} ms with the way there and back`),
    bars("Milliseconds by stage", stages.map(([name, took]) => row(name, 0, took / most, took.toFixed(3)))));
}
