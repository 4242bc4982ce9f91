// A model card's Markdown to elements: headings, paragraphs, lists, tables, code; links and pictures as their text.

import { h } from "./dom.js";

const ENOUGH = 160; // characters of a summary

export function card(markdown) {
  const blocks = markdown.replaceAll("\r\n", "\n").replace(/^---\n[\s\S]*?\n---\n/, "").split(/\n{2,}|\n(?=#)/);
  return blocks.map((block) => block.trim()).filter(Boolean).map(element);
}

// The first sentence of the first paragraph that is prose, and the next while there is room.
export function summary(markdown) {
  const prose = card(markdown).map((block) => (block.tagName === "DIV" ? block.querySelector("p") : block)).find((block) => block && block.tagName === "P" && block.textContent.length > 20);
  const sentences = prose ? prose.textContent.match(/.+?[.!?](?=\s|$)|.+$/g) : [];
  let said = sentences[0] || "";
  for (const sentence of sentences.slice(1)) {
    if (said.length + sentence.length > ENOUGH) break;
    said += sentence;
  }
  return said;
}

function element(block) {
  const heading = /^#{1,6}\s+([^\n]*)\n?([\s\S]*)$/.exec(block);
  if (heading) return h("div", {}, h("h3", {}, plain(heading[1])), ...(heading[2].trim() ? [element(heading[2].trim())] : []));
  const lines = block.split("\n");
  if (block.startsWith("```")) return h("pre", {}, lines.slice(1).filter((line) => !line.startsWith("```")).join("\n"));
  if (lines.length > 1 && /^\|?[\s:|-]+\|?$/.test(lines[1]) && lines[0].includes("|")) return table(lines);
  if (/^([-*+]|\d+\.)\s/.test(block)) {
    const items = block.split(/\n(?=(?:[-*+]|\d+\.)\s)/).map((item) => h("li", {}, plain(item.replace(/^([-*+]|\d+\.)\s+/, ""))));
    return h(/^\d/.test(block) ? "ol" : "ul", {}, ...items);
  }
  return h("p", {}, plain(block));
}

function table([head, , ...rest]) {
  const cells = (line) => line.replace(/^\||\|$/g, "").split("|").map((cell) => plain(cell.trim()));
  const row = (line, tag) => h("tr", {}, ...cells(line).map((cell) => h(tag, {}, cell)));
  return h("table", {}, h("thead", {}, row(head, "th")), h("tbody", {}, ...rest.map((line) => row(line, "td"))));
}

function plain(text) {
  return text.replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/(\*\*|__|`)(.+?)\1/g, "$2").replace(/\s*\n\s*/g, " ");
}
