// The playground: what is put in goes to Braid at once, and what comes back is shown.

import { answer, contributions, timing } from "./answers.js";
import * as api from "./api.js";
import { card, summary } from "./card.js";
import { bars, byId, h, row } from "./dom.js";
import { panel } from "./parts.js";
import { snippets } from "./snippets.js";

const PAUSE = 120; // milliseconds after the last change
const CHEAP = 1; // seconds that places may cost without being asked for
const ROWS = 150; // of the graph that they cost about

let model = null;
let panels = [];
let controls = {};
let chosen = null; // the output and label to explain, if not the best one
let pending = null; // of the request on its way
let timer = 0;
let found = null; // places

async function start() {
  const listed = await api.models();
  if (!listed.length) throw new api.Problem(0, { title: "No model", detail: "Braid serves no model yet." });
  byId("model").replaceChildren(...listed.map(({ id }) => h("option", { value: id }, id)));
  byId("choice").hidden = listed.length < 2;
  const asked = new URLSearchParams(location.search).get("model");
  byId("model").value = listed.some(({ id }) => id === asked) ? asked : listed[0].id;
  await choose(byId("model").value);
}

async function choose(name) {
  model = await api.model(name);
  byId("name").textContent = `${model.id} ${model.version}`;
  const takes = Object.entries(model.inputs).map(([part, { kind }]) => ({ image: "a picture", audio: "a sound", text: "a text" })[kind] || part);
  const all = Object.values(model.inputs).every(({ required }) => required);
  const which = takes.length === 1 ? takes[0] : `${all ? "" : "any of "}${takes.slice(0, -1).join(", ")} ${all ? "and" : "or"} ${takes.at(-1)}`;
  byId("summary").textContent = `Takes ${which}; gives ${Object.keys(model.outputs).filter((output) => model.outputs[output].kind !== "weights").join(", ")}. ${summary(model.card || "")}`;
  byId("card").hidden = !model.card;
  byId("text").replaceChildren(...card(model.card || ""));
  panels = Object.entries(model.inputs).map(([part, spec]) => panel(part, spec, model.limits, changed));
  byId("parts").replaceChildren(...panels.map(({ element }) => element));
  fields();
  const where = model.explains.outputs.length > 0;
  byId("where").hidden = !where;
  byId("alone").hidden = !model.explains.parts || panels.length < 2;
  byId("places").checked = where && ROWS * Number(model.calibration.run_seconds["1"] || 0) < CHEAP;
  chosen = null;
  changed();
}

// Fields for what the model's outputs can be asked for.
function fields() {
  const texts = Object.entries(model.inputs).find(([, { kind }]) => kind === "text");
  const compare = Object.values(model.outputs).some(({ kind }) => kind === "embedding") && texts;
  const make = {
    labels: () => h("textarea", { placeholder: "One candidate a line" }),
    template: () => h("input", { placeholder: "This is a photo of {}." }),
    threshold: () => h("input", { type: "number", min: "0", step: "0.05" }),
  };
  const titles = { labels: "Candidates", template: "Template", threshold: "Threshold" };
  controls = Object.fromEntries((model.controls || []).filter((name) => name in make).map((name) => [name, make[name]()]));
  if (compare) controls.compare = h("textarea", { placeholder: "One text a line" });
  titles.compare = "Which of these texts is nearest?";
  byId("controls").replaceChildren(...Object.entries(controls).map(([name, field]) => {
    field.addEventListener("input", changed);
    return h("section", { class: "box" }, h("label", {}, h("h3", {}, titles[name]), field));
  }));
}

const lines = (field) => field.value.split("\n").map((line) => line.trim()).filter(Boolean);

function asked() {
  const query = new URLSearchParams();
  if (controls.labels && lines(controls.labels).length) query.set("labels", JSON.stringify(lines(controls.labels)));
  for (const name of ["template", "threshold"]) if (controls[name] && controls[name].value) query.set(name, controls[name].value);
  return query;
}

function contents() {
  return Object.fromEntries(panels.map((part) => [part.name, part.content()]).filter(([, content]) => content !== null));
}

function changed() {
  clearTimeout(timer);
  if (pending) pending.abort();
  found = null;
  timer = setTimeout(() => show().catch(trouble), PAUSE);
}

async function show() {
  const sent = contents();
  calm();
  if (!Object.keys(sent).length) {
    byId("answer").replaceChildren(h("p", { class: "hint" }, "Give at least one part, and the answer appears here."));
    for (const id of ["why", "timing"]) byId(id).replaceChildren();
    byId("code").hidden = true;
    byId("state").textContent = "";
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
  const blocks = Object.entries(said.outputs).map(([name, one]) => answer(name, model.outputs[name], one, chosen, target));
  byId("answer").replaceChildren(...blocks, ...(await nearest(said, signal)));
  byId("why").replaceChildren(...(said.explanation ? [contributions(said.explanation)] : []));
  byId("timing").replaceChildren(timing(said.stages, said.milliseconds));
  byId("code").replaceChildren(snippets(model.id, sent, plain));
  byId("code").hidden = false;
  const boxes = Object.values(said.outputs).flatMap(({ detections }) => detections || []);
  for (const part of panels) if (part.kind === "image") part.boxes(boxes);
  if (byId("places").checked && !byId("where").hidden) await places(sent, said.explanation, signal);
}

// The outputs with a number that these parts give.
function explained(sent) {
  return model.explains.outputs.filter((output) => !model.needs[output] || model.needs[output].some((part) => part in sent));
}

// Parts that say the same leave nothing to see while they are together: taking a place away from one changes nothing.
async function places(sent, explanation, signal) {
  const query = asked();
  const { output, target: label } = explanation || chosen || {};
  if (output) query.set("output", output);
  if (label) query.set("target", label);
  byId("state").textContent = "Looking where …";
  const alone = !byId("alone").hidden && byId("how").value === "alone";
  const questions = (alone ? Object.entries(sent).map(([name, content]) => ({ [name]: content })) : [sent]).filter((parts) =>
    explained(parts).some((name) => !output || name === output),
  );
  const answers = await Promise.all(questions.map((question) => api.explain(model.id, question, query, signal)));
  found = Object.assign({}, ...answers.map(({ parts }) => parts));
  byId("state").textContent = "";
  heat();
}

function heat() {
  byId("fade").hidden = !found;
  for (const part of panels) part.show(found && found[part.name] ? found[part.name] : null, Number(byId("strength").value) / 100);
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
  return [h("section", { class: "box" }, bars("Nearest texts, by cosine", ranked.map(([text, near]) => row(text, 0, Math.max(0, near), near.toFixed(3)))))];
}

function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, index) => sum + value * y[index], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || 1);
}

function target(output, label) {
  chosen = chosen && chosen.output === output && chosen.target === label ? null : { output, target: label };
  changed();
}

function calm() {
  byId("trouble").hidden = true;
  for (const part of panels) part.complain(null);
  heat();
}

// Said at the part that caused it, else above the answer.
function trouble(error) {
  if (error.name === "AbortError") return;
  byId("state").textContent = "";
  if (!(error instanceof api.Problem)) throw error;
  const said = `${error.title}: ${error.message}`;
  const part = panels.find(({ name }) => name === error.part);
  if (part) part.complain(said);
  byId("trouble").hidden = Boolean(part);
  byId("trouble").textContent = part ? "" : said;
  if (error.status === 401) byId("locked").hidden = false;
  byId("answer").replaceChildren(h("p", { class: "hint" }, part ? `No answer: see ${part.name}.` : "No answer."));
  byId("why").replaceChildren();
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
byId("strength").addEventListener("input", heat);
byId("key").addEventListener("change", () => {
  api.unlock(byId("key").value);
  byId("locked").hidden = true;
  byId("trouble").hidden = true;
  (model ? Promise.resolve(changed()) : start()).catch(trouble);
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  const part = file && panels.find(({ kind }) => file.type.startsWith(`${kind}/`));
  if (!part) return;
  event.preventDefault();
  part.set(file);
});
start().catch(trouble);
