// A sound by file, drop or microphone; to listen to, as waveform and spectrogram, with what was explained over them.

import { button, h } from "./dom.js";
import { files } from "./files.js";
import * as sound from "./sound.js";

export function recording(part, spec, limits) {
  let file = null;
  let decoded = null;
  let found = null;
  let strength = 0;
  let stop = null; // of the recording that is being made
  let stopping = false;
  const player = h("audio", { controls: true, hidden: true, "aria-label": `The recording sent as ${part.name}` });
  const wave = h("canvas", { class: "wide", width: 600, height: 80, role: "img", "aria-label": "Waveform" });
  const spectrum = h("canvas", { class: "wide tall", role: "img", "aria-label": "Spectrogram: time to the right, pitch upwards" });
  const head = h("div", { class: "head", "aria-hidden": "true" });
  const axes = h("p", { class: "axes" });
  const stage = h("div", { class: "heard", hidden: true }, wave, spectrum, head, axes);
  const note = h("p", { class: "hint" });
  const longest = Math.min(spec.max_seconds || limits.audio_seconds || 60, limits.audio_seconds || 60);

  const say = (sentence) => {
    note.textContent = sentence || `Drop, choose or record a sound${spec.max_seconds ? ` of up to ${spec.max_seconds} s` : ""}.`;
  };
  const paint = () => {
    if (!decoded) return;
    sound.waveform(wave, decoded, found, strength);
    sound.spectrogram(spectrum, decoded, found, strength);
    axes.replaceChildren(h("span", {}, "0 s"), h("span", {}, `up to ${decoded.rate / 2000} kHz`), h("span", {}, `${decoded.seconds.toFixed(2)} s`));
  };
  const take = async (given) => {
    file = given;
    remove.hidden = !file;
    found = null;
    part.stale();
    part.changed();
    if (player.src) URL.revokeObjectURL(player.src);
    const read = given && await sound.decoded(given, spec.sample_rate);
    if (given !== file) return;
    decoded = read;
    player.hidden = stage.hidden = !decoded;
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
  const follow = () => {
    head.style.left = `${decoded ? (100 * player.currentTime) / decoded.seconds : 0}%`;
    if (!player.paused) requestAnimationFrame(follow);
  };
  for (const event of ["play", "seeked"]) player.addEventListener(event, follow);

  const remove = button("Remove", () => take(null), { hidden: true });

  say();
  part.body.append(h("div", { class: "tools" }, ...files(part, "audio/*", take), microphone, remove), note, player, stage);
  return Object.assign(part, {
    content: () => (part.on ? file : null),
    set: take,
    clear: () => take(null),
    show(places, given, sentence) {
      [found, strength] = [places, given];
      part.say(sentence);
      paint();
    },
  });
}
