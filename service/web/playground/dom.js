// The few lines that make elements, so that no markup is ever built from strings; and numbers as people read them.

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

// A row of a table of bars: a name, a bar from `from` to `to` (0 to 1), numbers in words.
export function row(name, from, to, numbers, kind = "") {
  const fill = h("div", { class: `fill ${kind}` });
  fill.style.left = `${100 * Math.min(from, to)}%`;
  fill.style.width = `${100 * Math.abs(to - from)}%`;
  return h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, h("div", { class: "track" }, fill)),
    ...[numbers].flat().map((one) => h("td", { class: "number" }, one)));
}

export function bars(caption, rows, heads) {
  const head = heads && h("thead", {}, h("tr", {}, ...heads.map((one) => h("th", { scope: "col" }, one))));
  return h("table", { class: "bars" }, h("caption", {}, caption), head, h("tbody", {}, ...rows));
}

// Never 0 % or 100 % of what is neither.
export function percent(value) {
  if (value > 0 && value < 0.0005) return "< 0.1 %";
  if (value < 1 && value >= 0.9995) return "> 99.9 %";
  return `${(100 * value).toFixed(1)} %`;
}

// Four digits that count, whatever the size.
export function short(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "–";
}

export function signed(value) {
  return (value < 0 ? "−" : "+") + short(Math.abs(Number(value.toFixed(6))));
}

// Red speaks for the answer, blue against it; `value` from -1 to 1.
export function heat(value, strength) {
  const alpha = Math.min(1, Math.abs(value)) * strength;
  return value >= 0 ? `rgba(220, 30, 30, ${alpha})` : `rgba(30, 80, 220, ${alpha})`;
}

export function strongest(found) {
  return Math.max(1e-12, ...found.map((place) => Math.abs(place.value)));
}
