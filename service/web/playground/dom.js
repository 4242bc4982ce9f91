// The few lines that make elements, so that no markup is ever built from strings.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function button(text, onclick, more = {}) {
  return h("button", { type: "button", onclick, ...more }, text);
}

// A row of a table of bars: a name, a bar from `from` to `to` (0 to 1), a number in words.
export function row(name, from, to, number, kind = "") {
  const fill = h("div", { class: `fill ${kind}` });
  fill.style.left = `${100 * Math.min(from, to)}%`;
  fill.style.width = `${100 * Math.abs(to - from)}%`;
  return h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, h("div", { class: "track" }, fill)), h("td", { class: "number" }, number));
}

export function bars(caption, rows) {
  return h("table", { class: "bars" }, h("caption", {}, caption), h("tbody", {}, ...rows));
}

export function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}

// Four digits that count, whatever the size.
export function short(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "–";
}

export function signed(value) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);
}

// Red speaks for the answer, blue against it; `value` from -1 to 1.
export function heat(value, strength) {
  const alpha = Math.min(1, Math.abs(value)) * strength;
  return value >= 0 ? `rgba(220, 30, 30, ${alpha})` : `rgba(30, 80, 220, ${alpha})`;
}

export function strongest(found) {
  return Math.max(1e-12, ...found.map((place) => Math.abs(place.value)));
}
