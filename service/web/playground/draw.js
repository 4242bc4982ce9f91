// A sheet to draw on: brush, eraser, undo. An empty one is no picture: `changed` is told a File or null.

import { button, h } from "./dom.js";

const SIDE = 280; // pixels
const STEPS = 30; // that can be undone
const OFTEN = 250; // milliseconds between answers while a line is drawn

let resting = Promise.resolve(); // until no line is being drawn

// What comes in may move the sheet: not under the hand.
export const settled = () => resting;

export function sheet(changed) {
  const canvas = h("canvas", { class: "draw", width: SIDE, height: SIDE, role: "img", "aria-label": "Sheet to draw on with mouse, pen or finger" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const size = h("input", { type: "range", min: "2", max: "40", value: "18", "aria-label": "Thickness of the brush" });
  const undone = [];
  let erasing = false;
  let last = null;
  let told = 0;

  const blank = () => {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SIDE, SIDE);
  };
  const keep = () => {
    undone.push(context.getImageData(0, 0, SIDE, SIDE));
    if (undone.length > STEPS) undone.shift();
  };
  const tell = () => {
    told = performance.now();
    canvas.toBlob((blob) => changed(new File([blob], "drawing.png", { type: "image/png" })), "image/png");
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  };
  const line = (to) => {
    context.strokeStyle = erasing ? "#fff" : "#000";
    context.lineWidth = Number(size.value) * (erasing ? 1.5 : 1);
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
    last = to;
    if (performance.now() - told > OFTEN) tell();
  };
  let rest = () => {};
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    resting = new Promise((done) => (rest = done));
    keep();
    last = place(event);
    line(last);
  });
  canvas.addEventListener("pointermove", (event) => last && line(place(event)));
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      if (last) tell();
      last = null;
      rest();
    });
  }

  const eraser = button("Eraser", () => {
    erasing = !erasing;
    eraser.setAttribute("aria-pressed", String(erasing));
  }, { "aria-pressed": "false" });
  const undo = button("Undo", () => {
    const before = undone.pop();
    if (!before) return;
    context.putImageData(before, 0, 0);
    if (undone.length) tell();
    else changed(null);
  });
  const wipe = button("Wipe", () => {
    undone.length = 0;
    blank();
    changed(null);
  });
  blank();
  return { canvas, element: h("div", {}, canvas, h("div", { class: "tools" }, h("label", {}, "Brush ", size), eraser, undo, wipe)) };
}
