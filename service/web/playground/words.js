// Numbers of the API in sentences that need no manual.

import { percent, short, signed } from "./dom.js";

export const TITLES = { text: "Text", image: "Picture", audio: "Sound" };
const THINGS = { text: "a text", image: "a picture", audio: "a sound" };
const ALIKE = 0.1; // of shares, and of a number: less is no difference worth a word
const FEW = 12; // labels that are listed

export function list(words, last = "and") {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} ${last} ${words.at(-1)}`;
}

// What goes in, from the manifest.
export function takes(inputs) {
  const entries = Object.entries(inputs);
  const things = entries.map(([name, { kind }]) => (kind === name || entries.filter(([, other]) => other.kind === kind).length < 2 ? THINGS[kind] || name : `${THINGS[kind] || ""} (${name})`));
  const all = entries.every(([, { required }]) => required);
  if (things.length === 1) return things[0];
  return all ? `${list(things)}, all of them` : `${list(things, "or")}, or any of them together`;
}

// What comes out, one sentence an output.
export function gives(spec) {
  const labels = spec.labels || [];
  const which = labels.length > FEW ? `${labels.length} labels, such as ${list(labels.slice(0, 4))}` : list(labels, "or");
  const unit = spec.unit ? `, in ${spec.unit}` : "";
  return {
    classification: `one of ${which}`,
    zero_shot: "one of the candidates that you name",
    multilabel: `any of ${which}`,
    regression: spec.names && spec.names.length ? `numbers: ${list(spec.names)}${unit}` : `a number${unit}`,
    detection: `boxes around ${which}`,
    embedding: "a vector of numbers: what is alike has vectors that are near",
    anomaly: "how unusual it is",
  }[spec.kind] || spec.kind;
}

// What is explained: a label, one of several numbers, or the only one of its output.
export function subject({ output, target, scale }) {
  if (scale !== "value") return target;
  return { value: `the ${output}`, score: "the score" }[target] || target;
}

export const number = (value, scale) => (scale === "probability" ? percent(value) : short(value));

// What the parts added up to: why the answer is what it is.
export function reason({ parts, all, target, scale }) {
  const named = Object.entries(parts).sort(([, a], [, b]) => Math.abs(b.value) - Math.abs(a.value));
  const [[first, strongest]] = named;
  const what = scale === "value" ? "moves the number" : `speaks for ${target}`;
  if (named.length === 1) return scale === "value" ? `All there was to go by: the ${first}.` : `All there was to go by: the ${first}, which ${strongest.value < 0 ? `speaks against ${target}` : what}.`;
  const against = named.filter(([, { value, share }]) => value < 0 && share > ALIKE / 2).map(([name]) => name);
  const even = named.every(([, { share }]) => Math.abs(share - strongest.share) < ALIKE) && !against.length;
  const both = named.length === 2 ? "Both parts" : "All parts";
  const sentences = [];
  if (named.every(([, { value }]) => Math.abs(value) < 1e-9)) sentences.push("No part changes anything.");
  else if (even) sentences.push(scale === "value" ? `${both} move the number about equally.` : `${both} speak for ${target}, about equally.`);
  else if (strongest.value < 0 && scale !== "value") sentences.push(`Mostly the ${first} speaks, and it speaks against ${target}.`);
  else if (strongest.share > 0.995) sentences.push(`Only the ${first} ${what}.`);
  else sentences.push(`Mostly the ${first} ${what} (${percent(strongest.share)} of what the parts say).`);
  const others = against.filter((name) => name !== first || even);
  if (others.length && scale !== "value") sentences.push(`The ${list(others)} ${others.length > 1 ? "speak" : "speaks"} against it.`);
  return `${sentences.join(" ")} ${missed(named, all, scale)}`;
}

function missed(named, all, scale) {
  const size = scale === "probability" ? 1 : Math.max(1e-9, Math.abs(all));
  const [name, { without }] = [...named].sort(([, a], [, b]) => Math.abs(all - b.without) - Math.abs(all - a.without))[0];
  if (Math.abs(all - without) < ALIKE * size) return "Any one of them could be missing: the answer would be nearly the same.";
  return `Without the ${name} it would be ${number(without, scale)} instead of ${number(all, scale)}.`;
}

export function together(pair, value) {
  const said = list(pair.split("+"));
  if (Math.abs(value) < 0.005) return `${said} act independently.`;
  return value < 0 ? `${said} overlap or contradict: together they add less than each alone (${signed(value)}).` : `${said} need each other: together they add more than each alone (${signed(value)}).`;
}

// The strongest places of a part, for those who do not see colours.
export function places(found, spoken) {
  const best = (all) => (all || []).reduce((a, b) => (Math.abs(b.value) > Math.abs(a ? a.value : 0) ? b : a), null);
  const how = ({ value }) => {
    if (spoken.scale === "value") return `${value < 0 ? "lowers" : "raises"} ${subject(spoken)} most`;
    return value < 0 ? `speaks most against ${subject(spoken)}` : `matters most for ${subject(spoken)}`;
  };
  const word = best(found.words);
  if (word && alike(found.words, word)) return "All words matter alike.";
  if (word) return `“${word.text}” ${how(word)}.`;
  const region = best(found.regions);
  if (region) return `The ${corner(region.box, found.size)} ${how(region)}.`;
  const [time, band] = [best(found.times), best(found.bands)];
  if (time && band) return `${time.start.toFixed(2)} to ${time.end.toFixed(2)} s ${how(time)}, and of all pitches those from ${hertz(band.low)} to ${hertz(band.high)}.`;
  return "Nothing in it changes the answer.";
}

function alike(all, best) {
  return all.length > 1 && all.every(({ value }) => Math.abs(value - best.value) < ALIKE * Math.abs(best.value));
}

const hertz = (value) => (value >= 1000 ? `${(value / 1000).toFixed(1)} kHz` : `${Math.round(value)} Hz`);

function corner([left, top, right, bottom], [width, height]) {
  const third = (middle) => Math.min(2, Math.floor(3 * middle));
  const x = ["left", "middle", "right"][third((left + right) / 2 / width)];
  const y = ["upper", "middle", "lower"][third((top + bottom) / 2 / height)];
  if (x === "middle" && y === "middle") return "middle";
  return y === "middle" ? `${x} side` : `${y} ${x === "middle" ? "middle" : `${x} part`}`;
}
