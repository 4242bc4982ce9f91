// What goes in: one panel a part, made from the model's manifest.
//
// A panel has `name`, `element`, `content()` (a string, a File or null), `set(File)`, `clear()`, `complain(sentence or
// null)`, `show(places or null, strength)` for what was explained, and pictures have `boxes(detections)`.

import { button, h, heat, strongest } from "./dom.js";
import { sheet } from "./draw.js";
import * as sound from "./sound.js";

const TITLES = { text: "Text", image: "Picture", audio: "Sound" };
const WIDEST = 480; // pixels of a preview

export function panel(name, spec, limits, changed) {
  const make = { text, image: picture, audio: recording }[spec.kind] || upload;
  return make(frame(name, spec, changed), spec, limits);
}

function frame(name, spec, changed) {
  const title = TITLES[spec.kind] || name;
  const on = h("input", { type: "checkbox", checked: true, "aria-label": `Send ${name}` });
  const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
  const heading = h("h3", {}, title.toLowerCase() === name ? title : `${title}: ${name}`, spec.required ? " (required)" : "");
  const body = h("div", {});
  const element = h("section", { class: "box", "aria-label": `Part ${name}` },
    h("div", { class: "bar" }, heading, h("label", { class: "switch" }, on, " send")), body, trouble);
  on.addEventListener("change", () => {
    element.classList.toggle("off", !on.checked);
    changed();
  });
  return {
    name,
    kind: spec.kind,
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
    boxes() {},
  };
}

function text(part, spec) {
  const area = h("textarea", { "aria-label": part.name, placeholder: "Write here", maxLength: spec.max_characters });
  const words = h("p", { class: "words", hidden: true });
  area.addEventListener("input", () => part.changed());
  part.body.append(area, words);
  return Object.assign(part, {
    content: () => (part.on && area.value ? area.value : null),
    async set(file) {
      area.value = await file.text();
      part.changed();
    },
    clear() {
      area.value = "";
    },
    show(found, strength) {
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

// A file by button or by drop; `take(File or null)` is told.
function files(part, accept, take) {
  const input = h("input", { type: "file", accept, hidden: true, tabIndex: -1, "aria-label": `File for ${part.name}` });
  input.addEventListener("change", () => input.files[0] && take(input.files[0]));
  part.element.addEventListener("dragover", (event) => {
    event.preventDefault();
    part.element.classList.add("over");
  });
  part.element.addEventListener("dragleave", () => part.element.classList.remove("over"));
  part.element.addEventListener("drop", (event) => {
    event.preventDefault();
    part.element.classList.remove("over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  return [button("Choose file", () => input.click()), input];
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

function picture(part) {
  let file = null;
  let bitmap = null;
  let detections = [];
  let found = null;
  let strength = 0.6;
  const view = h("canvas", { role: "img", "aria-label": `The picture sent as ${part.name}` });
  const over = h("canvas", { "aria-hidden": "true" });
  const stage = h("div", { class: "stage", hidden: true }, view, over);
  const note = h("p", { class: "hint" }, "Drop, paste or choose a picture, or draw one.");

  const paint = () => {
    const context = over.getContext("2d");
    context.clearRect(0, 0, over.width, over.height);
    if (!bitmap) return;
    const scale = over.width / bitmap.width;
    if (found) {
      const most = strongest(found.regions);
      for (const { box: [left, top, right, bottom], value } of found.regions) {
        context.fillStyle = heat(value / most, strength);
        context.fillRect(left * scale, top * scale, (right - left) * scale, (bottom - top) * scale);
      }
    }
    context.lineWidth = 2;
    context.font = "14px system-ui, sans-serif";
    for (const { label, score, box: [left, top, right, bottom] } of detections) {
      context.strokeStyle = "#e11d48";
      context.strokeRect(left * scale, top * scale, (right - left) * scale, (bottom - top) * scale);
      const said = `${label} ${score.toFixed(2)}`;
      const width = context.measureText(said).width + 6;
      const y = Math.max(16, top * scale);
      context.fillStyle = "#e11d48";
      context.fillRect(left * scale, y - 16, width, 16);
      context.fillStyle = "#fff";
      context.fillText(said, left * scale + 3, y - 3);
    }
  };
  const preview = async (drawn) => {
    const given = file;
    const read = given && await createImageBitmap(given).catch(() => null);
    if (given !== file) return; // another one came meanwhile
    bitmap = read;
    stage.hidden = !bitmap || (drawn && !found);
    note.textContent = file ? `${file.name}${bitmap ? `, ${bitmap.width} × ${bitmap.height}` : ": no preview in this browser"}` : "Drop, paste or choose a picture, or draw one.";
    if (!bitmap) return;
    const scale = Math.max(1, Math.min(WIDEST, Math.max(224, bitmap.width)) / bitmap.width);
    const fit = bitmap.width > WIDEST ? WIDEST / bitmap.width : scale;
    view.width = over.width = Math.round(bitmap.width * fit);
    view.height = over.height = Math.round(bitmap.height * fit);
    const context = view.getContext("2d");
    context.imageSmoothingEnabled = fit < 1;
    context.drawImage(bitmap, 0, 0, view.width, view.height);
    paint();
  };
  const take = (given, drawn = false) => {
    if (!drawn) close();
    file = given;
    detections = [];
    found = null;
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
    closing = end;
  })));

  const tools = [...files(part, "image/*", take), pen, eye, button("Remove", () => take(null))];
  part.body.append(h("div", { class: "tools" }, ...tools), note, stage);
  return Object.assign(part, {
    content: () => (part.on ? file : null),
    set: take,
    clear: () => take(null),
    show(places, given) {
      [found, strength] = [places, given];
      if (found && bitmap) stage.hidden = false;
      paint();
    },
    boxes(given) {
      detections = given;
      if (bitmap && given.length) stage.hidden = false;
      paint();
    },
  });
}

// Opens the camera; the function that comes back closes it.
async function camera(part, take) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    part.complain("No camera may be used here. Browsers allow it over HTTPS or on localhost, and if you agree.");
    return () => {};
  }
  const video = h("video", { autoplay: true, muted: true, playsInline: true, "aria-label": "What the camera sees" });
  video.srcObject = stream;
  const shoot = button("Take the picture", () => {
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => take(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
  });
  const element = h("div", {}, video, shoot);
  part.body.append(element);
  return () => {
    stream.getTracks().forEach((track) => track.stop());
    element.remove();
  };
}

function recording(part, spec, limits) {
  let file = null;
  let decoded = null;
  let found = null;
  let strength = 0.6;
  let stop = null;
  let stopping = false;
  const player = h("audio", { controls: true, hidden: true, "aria-label": `The recording sent as ${part.name}` });
  const wave = h("canvas", { class: "wide", width: 600, height: 80, hidden: true, role: "img", "aria-label": "Waveform" });
  const spectrum = h("canvas", { class: "wide", hidden: true, role: "img", "aria-label": "Spectrogram: time to the right, hertz upwards" });
  const note = h("p", { class: "hint" });
  const say = (sentence) => {
    note.textContent = sentence || `Drop, choose or record a sound${spec.max_seconds ? ` of up to ${spec.max_seconds} s` : ""}.`;
  };
  const paint = () => {
    if (!decoded) return;
    sound.waveform(wave, decoded, found, strength);
    sound.spectrogram(spectrum, decoded, found, strength);
    spectrum.style.height = "6rem";
  };
  const take = async (given) => {
    file = given;
    found = null;
    part.changed();
    if (player.src) URL.revokeObjectURL(player.src);
    const read = given && await sound.decoded(given);
    if (given !== file) return;
    decoded = read;
    player.hidden = !file;
    wave.hidden = spectrum.hidden = !decoded;
    if (file) player.src = URL.createObjectURL(file);
    else player.removeAttribute("src");
    say(file && `${file.name}${decoded ? `, ${decoded.seconds.toFixed(2)} s` : ": no preview in this browser"}`);
    paint();
  };
  const finish = async () => {
    if (!stop || stopping) return;
    stopping = true;
    const given = await stop();
    stop = null;
    stopping = false;
    microphone.setAttribute("aria-pressed", "false");
    microphone.textContent = "Record";
    await take(given);
  };
  const longest = Math.min(spec.max_seconds || limits.seconds || 60, limits.seconds || 60);
  const microphone = button("Record", async () => {
    if (stop) {
      await finish();
      return;
    }
    try {
      stop = await sound.record((seconds) => {
        say(`Recording: ${seconds.toFixed(1)} s`);
        if (seconds >= longest) finish();
      });
    } catch {
      part.complain("No microphone may be used here. Browsers allow it over HTTPS or on localhost, and if you agree.");
      return;
    }
    part.complain(null);
    microphone.setAttribute("aria-pressed", "true");
    microphone.textContent = "Stop";
  }, { "aria-pressed": "false" });
  say();
  part.body.append(
    h("div", { class: "tools" }, ...files(part, "audio/*", take), microphone, button("Remove", () => take(null))),
    note, player, wave, spectrum,
  );
  return Object.assign(part, {
    content: () => (part.on ? file : null),
    set: take,
    clear: () => take(null),
    show(places, given) {
      [found, strength] = [places, given];
      paint();
    },
  });
}
