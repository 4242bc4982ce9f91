// The OpenAPI document of this server as a page: each call, what it takes, what it answers, and a command to try it.

import { byId, h } from "./dom.js";

let key = "";

const typed = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const kinds = schema.oneOf || schema.anyOf;
  if (kinds) return kinds.map(typed).join(" | ");
  if (schema.type === "array") return `array of ${typed(schema.items) || "anything"}`;
  return [schema.type, schema.format].filter(Boolean).join(", ") || "anything";
};

function table(caption, heads, rows) {
  if (!rows.length) return null;
  const cells = (row) => h("tr", {}, ...row.map((cell) => h("td", {}, cell)));
  const head = h("tr", {}, ...heads.map((name) => h("th", { scope: "col" }, name)));
  return h("table", {}, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, ...rows.map(cells)));
}

function fields(schema) {
  const required = schema.required || [];
  return Object.entries(schema.properties || {}).map(([name, field]) => [
    h("code", {}, name), typed(field), required.includes(name) ? "required" : "", field.description || "",
  ]);
}

function bodies(body) {
  return Object.entries((body && body.content) || {}).map(([kind, { schema }]) =>
    table(`Body: ${kind}`, ["Field", "Type", "", "Meaning"], fields(schema || {})));
}

function answers(responses) {
  const rows = Object.entries(responses).map(([status, { description, content }]) =>
    [h("code", {}, status), description || "", Object.keys(content || {}).join(", ")]);
  return table("Answers", ["Status", "Meaning", "Form"], rows);
}

function command(method, path, operation) {
  const words = ["curl", "-s"];
  if (key) words.push(`-H "Authorization: Bearer $BRAID_KEY"`);
  if (method !== "get") words.push("-X", method.toUpperCase());
  const form = operation.requestBody && operation.requestBody.content["multipart/form-data"];
  if (form) {
    for (const [name, encoding] of Object.entries(form.encoding || {})) {
      words.push(encoding.contentType === "text/plain" ? `-F ${name}="..."` : `-F ${name}=@FILE`);
    }
  }
  return [...words, `"${location.origin}${path}"`].join(" ");
}

function shown(path, method, operation) {
  const parameters = (operation.parameters || []).map((parameter) => [
    h("code", {}, parameter.name), parameter.in, typed(parameter.schema), parameter.required ? "required" : "", parameter.description || "",
  ]);
  const summary = h("summary", {}, h("strong", {}, method.toUpperCase()), " ", h("code", {}, path), ` ${operation.summary || ""}`);
  return h("details", { class: "box", id: `${method}${path}` }, summary,
    operation.description ? h("p", {}, operation.description) : null,
    table("Parameters", ["Name", "In", "Type", "", "Meaning"], parameters),
    ...bodies(operation.requestBody),
    answers(operation.responses || {}),
    h("pre", { tabindex: "0" }, command(method, path, operation)));
}

function show(spec) {
  byId("title").textContent = `${spec.info.title} ${spec.info.version}`;
  const families = new Map();
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["other"])[0];
      families.set(tag, [...(families.get(tag) || []), shown(path, method, operation)]);
    }
  }
  const sections = [...families].map(([tag, operations]) => h("section", { "aria-label": tag }, h("h2", {}, tag), ...operations));
  byId("operations").replaceChildren(...sections);
}

async function load() {
  const trouble = byId("trouble");
  try {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const answer = await fetch("/openapi.json", { headers, cache: "no-store", credentials: "omit" });
    byId("locked").hidden = answer.status !== 401;
    trouble.hidden = answer.ok;
    if (answer.ok) show(await answer.json());
    else trouble.textContent = (await answer.json().catch(() => ({}))).detail || `The server answered with status ${answer.status}.`;
  } catch {
    trouble.hidden = false;
    trouble.textContent = "Braid does not answer. Is it still running?";
  }
}

byId("key").addEventListener("change", () => {
  key = byId("key").value;
  load();
});
load();
