// The playground: what is put in goes to Braid at once, and what comes back is shown.

import { answer, brief, contributions, timing } from "./answers.js";
import * as api from "./api.js";
import { card, summary } from "./card.js";
import { bars, byId, h, row } from "./dom.js";
import { settled } from "./draw.js";
import { panel } from "./parts.js";
import { snippets } from "./snippets.js";
import { gives, places as sentence, subject, takes } from "./words.js";

const PAUSE = 120; // milliseconds after the last change
const CHEAP = 1; // seconds that places may cost without being asked for
const ROWS = 150; // of the graph that they cost about
const AGAIN = 1000; // milliseconds, while a model is loading

let model = null;
let panels = [];
let controls = {};
let chosen = null; // the output and label to explain, if not the best one
let pending = null; // of the request on its way
let timer = 0;
let found = null; // places: part -> where in it
let spoken = { target: "", scale: "" }; // what they speak for

async function start() {
  const listed = await api.models();
  if (!listed.length) {
    byId("state").textContent = "The models are still loading …";
    setTimeout(() => start().catch(trouble), AGAIN);
    return;
  }
  byId("state").textContent = "";
  byId("model").replaceChildren(...listed.map(({ id }) => h("option", { value: id }, id)));
  byId("choice").hidden = listed.length < 2;
  const asked = new URLSearchParams(location.search).get("model");
  byId("model").value = listed.some(({ id }) => id === asked) ? asked : listed[0].id;
  await choose(byId("model").value);
}

async function choose(name) {
  byId("example").disabled = true; // until it is that model's
  model = await api.model(name);
  document.title = `Braid: ${model.id}`;
  byId("name").textContent = model.id;
  byId("version").textContent = `version ${model.version}`;
  byId("summary").textContent = summary(model.card || "");
  byId("takes").replaceChildren(...about());
  byId("card").hidden = !model.card;
  byId("text").replaceChildren(...card(model.card || ""));
  panels = Object.entries(model.inputs).filter(([part]) => !candidates().includes(part)).map(([part, spec]) => panel(part, spec, model.limits, changed));
  byId("example").disabled = false;
  byId("parts").replaceChildren(...panels.map(({ element }) => element));
  fields();
  const where = model.explains.outputs.length > 0;
  byId("where").hidden = true;
  byId("alone").hidden = !model.explains.parts || panels.length < 2;
  byId("places").checked = where && ROWS * Number(model.calibration.run_seconds["1"] || 0) < CHEAP;
  byId("shown").hidden = true;
  chosen = null;
  changed();
}

// Text parts that only stand for the labels that a request names.
function candidates() {
  return Object.values(model.outputs).filter(({ kind }) => kind === "zero_shot").map((output) => output.candidates);
}

function about() {
  const outputs = Object.entries(model.outputs).filter(([, { kind }]) => kind !== "weights");
  const inputs = Object.fromEntries(Object.entries(model.inputs).filter(([part]) => !candidates().includes(part)));
  return [["Give it", takes(inputs)], ...outputs.map(([name, spec]) => [`It says “${name}”`, gives(spec)])].flatMap(([term, said]) => [h("dt", {}, term), h("dd", {}, said)]);
}

// Fields for what the model's outputs can be asked for.
function fields() {
  const specs = Object.values(model.outputs);
  const texts = Object.values(model.inputs).some(({ kind }) => kind === "text");
  const template = specs.map((spec) => spec.template).find(Boolean) || "This is a photo of {}.";
  const threshold = specs.map((spec) => spec.threshold).find((value) => value !== undefined);
  const unusual = specs.some(({ kind }) => kind === "anomaly");
  const make = {
    labels: ["Candidates: which of these is it?", () => h("textarea", { rows: 3, placeholder: "One candidate a line, such as\na cat\na dog" })],
    template: ["Sentence, with {} where a candidate goes", () => h("input", { placeholder: template })],
    threshold: [unusual ? "Threshold: from which score on it is unusual" : "Threshold: how sure it must be", () => h("input", { type: "number", step: "any", placeholder: threshold ?? "" })],
    compare: ["Which of these texts is nearest?", () => h("textarea", { placeholder: "One text a line, to be compared with what is above" })],
  };
  const known = [...(model.controls || []), ...(specs.some(({ kind }) => kind === "embedding") && texts ? ["compare"] : [])].filter((name) => name in make);
  controls = Object.fromEntries(known.map((name) => [name, make[name][1]()]));
  byId("controls").replaceChildren(...known.map((name) => {
    controls[name].addEventListener("input", changed);
    return h("section", { class: "box" }, h("label", {}, h("h3", {}, make[name][0]), controls[name]));
  }));
}

const lines = (field) => field.value.split("\n").map((line) => line.trim()).filter(Boolean);

const named = () => Boolean(controls.labels && lines(controls.labels).length);

function asked() {
  const query = new URLSearchParams();
  if (named()) query.set("labels", JSON.stringify(lines(controls.labels)));
  for (const name of ["template", "threshold"]) if (controls[name] && controls[name].value) query.set(name, controls[name].value);
  return query;
}

function contents() {
  return Object.fromEntries(panels.map((part) => [part.name, part.content()]).filter(([, content]) => content !== null));
}

function changed() {
  clearTimeout(timer);
  if (pending) pending.abort();
  timer = setTimeout(() => show().catch(trouble), PAUSE);
}

// Before there is anything to say.
function hint() {
  const missing = panels.filter(({ name }) => model.inputs[name].required).map(({ name }) => name);
  return h("ol", { class: "hint" },
    h("li", {}, missing.length > 1 ? `Give ${missing.join(" and ")}: this model needs them all. ` : "Give at least one part, ", missing.length > 1 ? "Or " : "or ", h("strong", {}, "try the example"), "."),
    h("li", {}, "The answer appears here at once, whenever something changes."),
    model.explains.outputs.length ? h("li", {}, "Below it: which part decided, and where in it.") : null);
}

async function show() {
  const sent = contents();
  calm();
  const short = panels.some(({ name }) => model.inputs[name].required && !(name in sent));
  if (!Object.keys(sent).length || (short && panels.length > 1)) {
    empty(hint());
    return;
  }
  const unnamed = controls.labels && !named() ? [h("p", { class: "hint" }, "Name candidates below what you send, one a line, to see which of them it is.")] : [];
  if (unnamed.length && Object.values(model.outputs).every(({ kind }) => ["zero_shot", "weights"].includes(kind))) {
    empty(unnamed[0]);
    return;
  }
  pending = new AbortController();
  const { signal } = pending;
  const query = asked();
  const plain = query.toString();
  const explain = model.explains.parts && explained(sent).length > 0;
  if (explain) query.set("explain", "parts");
  if (explain && chosen && explained(sent).includes(chosen.output)) for (const [name, value] of Object.entries(chosen)) query.set(name, value);
  byId("state").textContent = "Working …";
  const said = await api.predict(model.id, sent, query, signal);
  byId("state").textContent = "";
  const entries = Object.entries(said.outputs);
  const blocks = entries.map(([name, one]) => answer(name, model.outputs[name], one, chosen, choice));
  byId("answer").replaceChildren(...unnamed, ...blocks, ...(await nearest(said, signal)));
  byId("brief").textContent = entries.map(([name, one]) => brief(name, model.outputs[name], one)).join("; ");
  byId("brief").hidden = false;
  byId("where").hidden = !explained(sent).length;
  byId("why").replaceChildren(...(said.explanation ? [contributions(said.explanation)] : silence(sent)));
  byId("timing").replaceChildren(timing(said.stages, said.milliseconds));
  byId("code").replaceChildren(snippets(model.id, sent, plain, said.document));
  byId("code").hidden = false;
  const boxes = entries.flatMap(([, { detections }]) => detections || []);
  const labels = entries.flatMap(([name]) => model.outputs[name].labels || []);
  for (const part of panels) if (part.kind === "image") part.boxes(boxes, labels);
  if (byId("places").checked && !byId("where").hidden) await places(sent, said.explanation, signal);
  else heat(null);
}

// Why nothing is said of the parts, where there are several.
function silence(sent) {
  if (panels.length < 2 || model.explains.parts || !explained(sent).length) return [];
  return [h("section", { class: "box" }, h("h3", {}, "What each part contributed"), h("p", { class: "soft" }, `Cannot be said: ${model.explains.why}.`))];
}

function empty(message) {
  byId("answer").replaceChildren(message);
  heat(null);
  for (const id of ["why", "timing"]) byId(id).replaceChildren();
  for (const id of ["code", "brief", "where"]) byId(id).hidden = true;
  byId("state").textContent = "";
}

// The outputs with a number that these parts give.
function explained(sent) {
  const known = ({ kind }) => kind !== "zero_shot" || named();
  return model.explains.outputs.filter((output) => known(model.outputs[output]) && (!model.needs[output] || model.needs[output].some((part) => part in sent)));
}

// Parts that say the same leave nothing to see while they are together: taking a place away from one changes nothing.
async function places(sent, explanation, signal) {
  const query = asked();
  const { output, target: label } = explanation || chosen || {};
  if (output) query.set("output", output);
  if (label) query.set("target", label);
  byId("state").textContent = "Looking where …";
  const alone = !byId("alone").hidden && byId("how").value === "alone";
  const single = alone ? Object.entries(sent).map(([name, content]) => ({ [name]: content })) : [];
  const able = single.filter((parts) => explained(parts).some((name) => !output || name === output));
  const questions = able.length ? able : [sent];
  const answers = await Promise.all(questions.map((question) => api.explain(model.id, question, query, signal)));
  spoken = answers[0];
  byId("state").textContent = "";
  await settled();
  if (!signal.aborted) heat(Object.assign({}, ...answers.map(({ parts }) => parts)));
}

function heat(given) {
  found = given;
  byId("shown").hidden = !found;
  const [against, its] = spoken.scale === "value" ? ["lowers", "raises"] : ["against", "for"];
  byId("legend").replaceChildren(h("span", {}, `${against} ${subject(spoken)}`), h("span", { class: "ramp", "aria-hidden": "true" }), h("span", {}, `${its} ${subject(spoken)}`));
  for (const part of panels) {
    const mine = found && found[part.name] ? found[part.name] : null;
    part.show(mine, Number(byId("strength").value) / 100, mine ? sentence(mine, spoken) : "");
  }
}

// The pasted texts by cosine to what was sent.
async function nearest(said, signal) {
  const texts = controls.compare ? lines(controls.compare) : [];
  const [output] = Object.keys(said.outputs).filter((name) => model.outputs[name].kind === "embedding");
  if (!texts.length || !output) return [];
  const [part] = Object.entries(model.inputs).find(([, { kind }]) => kind === "text");
  const vector = (answered, wanted) => {
    const { embedding } = answered.outputs[output];
    return Array.isArray(embedding) ? embedding : embedding[wanted] || Object.values(embedding)[0];
  };
  const own = vector(said, Object.keys(contents()).find((name) => name !== part) || part);
  const others = await Promise.all(texts.map((text) => api.predict(model.id, { [part]: text }, "", signal)));
  const ranked = texts.map((text, index) => [text, cosine(own, vector(others[index], part))]).sort((a, b) => b[1] - a[1]);
  const rows = ranked.map(([text, near]) => row(text, 0, Math.max(0, near), near.toFixed(3)));
  return [h("section", { class: "box" }, h("h3", {}, "Nearest texts"), bars("Cosine of the vectors: 1 is the same, 0 has nothing to do with it", rows))];
}

function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, index) => sum + value * y[index], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || 1);
}

function choice(output, label) {
  chosen = chosen && chosen.output === output && chosen.target === label ? null : { output, target: label };
  changed();
}

function calm() {
  byId("trouble").hidden = true;
  for (const part of panels) part.complain(null);
}

// At its own place a part need not be named.
function atPart(message) {
  const said = message.replace(/^part '[^']*': /, "");
  return `${said[0].toUpperCase()}${said.slice(1)}.`;
}

// Said at the part that caused it, else above the answer.
function trouble(error) {
  if (error.name === "AbortError") return;
  byId("state").textContent = "";
  if (!(error instanceof api.Problem)) throw error;
  const part = panels.find(({ name }) => name === error.part);
  if (part) part.complain(atPart(error.message));
  empty(h("p", { class: "hint" }, part ? `No answer: see what is said at ${part.title}.` : "No answer."));
  byId("trouble").hidden = Boolean(part);
  byId("trouble").textContent = part ? "" : `${error.title}: ${error.message}`;
  if (error.status === 401) byId("locked").hidden = false;
}

byId("model").addEventListener("change", () => choose(byId("model").value).catch(trouble));
byId("example").addEventListener("click", async () => {
  try {
    const files = await api.example(model.id, Object.keys(model.inputs));
    for (const part of panels) if (files[part.name]) await part.set(files[part.name]);
  } catch (error) {
    trouble(error);
  }
});
byId("clear").addEventListener("click", () => {
  for (const part of panels) part.clear();
  changed();
});
for (const id of ["places", "how"]) byId(id).addEventListener("change", changed);
byId("strength").addEventListener("input", () => heat(found));
byId("locked").addEventListener("submit", (event) => {
  event.preventDefault();
  api.unlock(byId("key").value);
  byId("locked").hidden = true;
  byId("trouble").hidden = true;
  (model ? Promise.resolve(changed()) : start()).catch(trouble);
});
new IntersectionObserver(([{ isIntersecting }]) => byId("brief").classList.toggle("seen", isIntersecting)).observe(byId("answer"));
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  const part = file && panels.find(({ kind }) => file.type.startsWith(`${kind}/`));
  if (!part) return;
  event.preventDefault();
  part.set(file);
});
start().catch(trouble);
