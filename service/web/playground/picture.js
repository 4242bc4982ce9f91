// A picture by file, drop, paste, camera or drawing; with what was found and what was explained over it.

import { colour } from "./answers.js";
import { button, h, heat, strongest } from "./dom.js";
import { sheet } from "./draw.js";
import { files } from "./files.js";

const WIDEST = 480; // pixels of a preview
const SMALLEST = 224;
const LINE = 18; // pixels of a box's label

export function picture(part) {
  let file = null;
  let bitmap = null;
  let detections = [];
  let labels = [];
  let found = null;
  let strength = 0;
  const view = h("canvas", { role: "img", "aria-label": `The picture sent as ${part.name}` });
  const over = h("canvas", { "aria-hidden": "true" });
  const stage = h("div", { class: "stage", hidden: true }, view, over);
  const note = h("p", { class: "hint" });

  const paint = () => {
    const context = over.getContext("2d");
    context.clearRect(0, 0, over.width, over.height);
    if (!bitmap) return;
    const scale = over.width / bitmap.width;
    if (found) regions(context, found.regions, scale, strength);
    for (const one of [...detections].reverse()) outline(context, one, scale, colour(one.label, labels)); // the surest on top
  };
  const say = () => {
    note.textContent = "Drop, paste or choose a picture, or draw one.";
    if (file) note.textContent = `${file.name}${bitmap ? `, ${bitmap.width} × ${bitmap.height}` : ": no preview in this browser"}`;
  };
  const preview = async (drawn) => {
    const given = file;
    const read = given && await createImageBitmap(given).catch(() => null);
    if (given !== file) return; // another one came meanwhile
    bitmap = read;
    stage.hidden = !bitmap || (drawn && !found);
    say();
    if (!bitmap) return;
    const longer = Math.max(bitmap.width, bitmap.height);
    const fit = Math.min(WIDEST, Math.max(SMALLEST, longer)) / longer;
    view.width = over.width = Math.max(1, Math.round(bitmap.width * fit));
    view.height = over.height = Math.max(1, Math.round(bitmap.height * fit));
    const context = view.getContext("2d");
    context.imageSmoothingEnabled = fit < 1;
    context.drawImage(bitmap, 0, 0, view.width, view.height);
    paint();
  };
  const take = (given, drawn = false) => {
    if (!drawn) close();
    file = given;
    remove.hidden = !file;
    detections = [];
    found = null;
    part.stale();
    preview(drawn);
    part.changed();
  };

  let closing = () => {};
  const close = () => {
    closing();
    closing = () => {};
    pen.setAttribute("aria-pressed", "false");
    eye.setAttribute("aria-pressed", "false");
  };
  const toggle = (one, open) => async () => {
    const pressed = one.getAttribute("aria-pressed") === "true";
    close();
    if (pressed) return;
    one.setAttribute("aria-pressed", "true");
    await open();
  };
  const pen = button("Draw", () => {}, { "aria-pressed": "false" });
  pen.addEventListener("click", toggle(pen, () => {
    const paper = sheet((drawing) => take(drawing, true));
    note.before(paper.element); // what appears below it does not move it under the hand
    stage.hidden = true;
    closing = () => {
      paper.element.remove();
      preview(false);
    };
  }));
  const eye = button("Camera", () => {}, { "aria-pressed": "false" });
  eye.addEventListener("click", toggle(eye, () => camera(part, (snapshot) => take(snapshot)).then((end) => {
    if (end) closing = end;
    else close();
  })));

  const remove = button("Remove", () => take(null), { hidden: true });

  say();
  part.body.append(h("div", { class: "tools" }, ...files(part, "image/*", take), pen, eye, remove), note, stage);
  return Object.assign(part, {
    content: () => (part.on ? file : null),
    set: take,
    clear: () => take(null),
    show(places, given, sentence) {
      [found, strength] = [places, given];
      part.say(sentence);
      if (found && bitmap) stage.hidden = false;
      paint();
    },
    boxes(given, known) {
      [detections, labels] = [given, known];
      if (bitmap && given.length) stage.hidden = false;
      paint();
    },
  });
}

function regions(context, places, scale, strength) {
  const most = strongest(places);
  for (const { box: [left, top, right, bottom], value } of places) {
    context.fillStyle = heat(value / most, strength);
    context.fillRect(left * scale, top * scale, (right - left) * scale, (bottom - top) * scale);
  }
}

function outline(context, { label, score, box: [left, top, right, bottom] }, scale, ink) {
  context.lineWidth = 2;
  context.strokeStyle = context.fillStyle = ink;
  context.strokeRect(left * scale, top * scale, (right - left) * scale, (bottom - top) * scale);
  context.font = "600 13px system-ui, sans-serif";
  const said = `${label} ${score.toFixed(2)}`;
  const width = context.measureText(said).width + 8;
  const x = Math.max(0, Math.min(left * scale - 1, context.canvas.width - width)); // a label may not leave the picture
  const y = Math.max(LINE, top * scale);
  context.fillRect(x, y - LINE, width, LINE);
  context.fillStyle = "#fff";
  context.fillText(said, x + 4, y - 5);
}

// Opens the camera; the function that comes back closes it. Nothing comes back where there is none.
async function camera(part, take) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    part.complain("No camera may be used here. Browsers allow it over HTTPS or on localhost, and if you agree.");
    return null;
  }
  part.complain(null);
  const video = h("video", { autoplay: true, muted: true, playsInline: true, "aria-label": "What the camera sees" });
  video.srcObject = stream;
  const shoot = button("Take the picture", () => {
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => take(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
  }, { class: "main" });
  const element = h("div", {}, video, shoot);
  part.body.append(element);
  return () => {
    stream.getTracks().forEach((track) => track.stop());
    element.remove();
  };
}
