// What goes in: one panel a part, made from the model's manifest.
//
// A panel has `name`, `kind`, `element`, `content()` (a string, a File or null), `set(File)`, `clear()`, `complain(sentence
// or null)`, `show(places or null, strength, sentence)` for what was explained, and pictures have `boxes(detections, labels)`.

import { h, heat, strongest } from "./dom.js";
import { files } from "./files.js";
import { picture } from "./picture.js";
import { recording } from "./recording.js";
import { TITLES } from "./words.js";

export function panel(name, spec, limits, changed) {
  const make = { text, image: picture, audio: recording }[spec.kind] || upload;
  return make(frame(name, spec, changed), spec, limits);
}

function frame(name, spec, changed) {
  const on = h("input", { type: "checkbox", checked: true, "aria-label": `Send ${name}` });
  const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
  const where = h("p", { class: "soft found", hidden: true });
  const more = [name === spec.kind ? null : name, spec.required ? "needed" : null].filter(Boolean).join(", ");
  const heading = h("h3", {}, TITLES[spec.kind] || name, " ", h("small", {}, more));
  const body = h("div", {});
  const element = h("section", { class: "box", "aria-label": `Part ${name}` },
    h("div", { class: "bar" }, heading, h("label", { class: "switch", hidden: Boolean(spec.required) }, on, " send")), body, where, trouble);
  on.addEventListener("change", () => {
    element.classList.toggle("off", !on.checked);
    changed();
  });
  return {
    name,
    kind: spec.kind,
    title: heading.textContent.trim(),
    element,
    body,
    changed,
    get on() {
      return on.checked;
    },
    complain(sentence) {
      trouble.hidden = !sentence;
      trouble.textContent = sentence || "";
      element.classList.toggle("bad", Boolean(sentence));
    },
    say(sentence) {
      where.hidden = !sentence;
      where.textContent = sentence || "";
      where.classList.remove("stale");
    },
    stale() {
      where.classList.add("stale"); // it keeps its place, so that nothing jumps
    },
    boxes() {},
  };
}

function text(part, spec) {
  const area = h("textarea", { "aria-label": part.name, placeholder: "Write here", maxLength: spec.max_characters });
  const words = h("p", { class: "words", hidden: true });
  area.addEventListener("input", () => {
    part.stale();
    words.classList.add("stale");
    part.changed();
  });
  part.body.append(area, words);
  return Object.assign(part, {
    content: () => (part.on && area.value ? area.value : null),
    async set(file) {
      area.value = (await file.text()).replace(/\n$/, ""); // which ends a file, and is not meant
      part.changed();
    },
    clear() {
      area.value = "";
    },
    show(found, strength, sentence) {
      part.say(sentence);
      words.classList.remove("stale");
      words.hidden = !found;
      words.replaceChildren();
      if (!found) return;
      const most = strongest(found.words);
      const letters = [...area.value]; // offsets count characters, not UTF-16 units
      let at = 0;
      for (const { start, end, value } of found.words) {
        const word = h("span", { title: value.toFixed(4) }, letters.slice(start, end).join(""));
        word.style.backgroundColor = heat(value / most, strength);
        words.append(letters.slice(at, start).join(""), word);
        at = end;
      }
      words.append(letters.slice(at).join(""));
    },
  });
}

function upload(part) {
  let file = null;
  const named = h("p", { class: "soft" }, "No file yet");
  const take = (given) => {
    file = given;
    named.textContent = given ? given.name : "No file yet";
    part.changed();
  };
  part.body.append(h("div", { class: "tools" }, ...files(part, "*/*", take)), named);
  return Object.assign(part, { content: () => (part.on ? file : null), set: take, clear: () => take(null), show() {} });
}
