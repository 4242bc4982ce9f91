// The request that was just sent, as a command and as a program.

import { button, h } from "./dom.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const python = (text) => JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

export function snippets(model, contents, query, answer) {
  const url = `${location.origin}/v1/models/${encodeURIComponent(model)}/predict${query ? `?${query}` : ""}`;
  const made = Object.values(contents).filter((content) => typeof content !== "string");
  return h("details", {}, h("summary", {}, "As a command, as a program, as JSON"),
    ...downloads(made), block("curl", curl(url, contents)), block("Python", program(url, contents)), block("JSON", JSON.stringify(answer, null, 1)));
}

function curl(url, contents) {
  const parts = Object.entries(contents).map(([name, content]) => (typeof content === "string"
    ? `--form-string ${quoted(`${name}=${content}`)}` : `-F ${quoted(`${name}=@"${content.name.replace(/["\\]/g, "\\$&")}"`)}`));
  return ["curl", ...parts, quoted(url)].join(" \\\n  ");
}

function program(url, contents) {
  const entries = Object.entries(contents);
  const data = entries.filter(([, content]) => typeof content === "string").map(([name, content]) => `${python(name)}: ${python(content)}`);
  const files = entries.filter(([, content]) => typeof content !== "string").map(([name, content]) => `${python(name)}: open(${python(content.name)}, "rb")`);
  const text = data.length && !files.length ? `{${data.map((one) => one.replace(": ", ": (None, ")).join("), ")})}` : `{${files.join(", ")}}`;
  const fields = data.length && files.length ? `\n    data={${data.join(", ")}},` : "";
  return `import httpx\n\nanswer = httpx.post(\n    ${python(url)},${fields}\n    files=${text},\n)\nprint(answer.raise_for_status().json())`;
}

function downloads(files) {
  const links = files.filter(({ name }) => /^(drawing|camera|recording)\./.test(name)).map((file) => {
    const link = h("a", { href: "#", download: file.name }, file.name);
    link.addEventListener("click", () => {
      link.href = URL.createObjectURL(file);
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    return link;
  });
  return links.length ? [h("p", {}, "Made here, to save: ", ...links.flatMap((link) => [link, " "]))] : [];
}

function block(title, code) {
  const copy = button("Copy", async () => {
    await navigator.clipboard.writeText(code);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  }, { "aria-label": `Copy the ${title} lines` });
  return h("div", {}, h("div", { class: "bar" }, h("h3", {}, title), copy), h("pre", { tabIndex: 0, "data-language": title }, code));
}
