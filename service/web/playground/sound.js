// Recordings in the page: from the microphone, as WAV, as waveform, as spectrogram.

import { heat, strongest } from "./dom.js";

const WINDOW = 512; // samples of a frame
const DECIBELS = 80; // shown
const COLUMNS = 400; // frames of the spectrogram at most

// Starts recording; the function that comes back stops it and gives a WAV file.
export async function record(tick) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  const context = new AudioContext();
  await context.audioWorklet.addModule("/playground/recorder.js");
  const recorder = new AudioWorkletNode(context, "recorder");
  const chunks = [];
  let samples = 0;
  recorder.port.onmessage = ({ data }) => {
    chunks.push(data);
    samples += data.length;
    tick(samples / context.sampleRate);
  };
  context.createMediaStreamSource(stream).connect(recorder);
  return async () => {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
    return wav(chunks, samples, context.sampleRate);
  };
}

function wav(chunks, samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples));
  const word = (at, text) => [...text].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, 2 * samples, true);
  let at = 44;
  for (const chunk of chunks) {
    for (const sample of chunk) {
      view.setInt16(at, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true);
      at += 2;
    }
  }
  return new File([view], "recording.wav", { type: "audio/wav" });
}

// The samples of the first channel at the model's rate, or null if the browser cannot read the file (Braid may well be able to).
export async function decoded(file, rate) {
  const context = new OfflineAudioContext(1, 1, Math.min(96000, Math.max(8000, rate || 16000)));
  try {
    const sound = await context.decodeAudioData(await file.arrayBuffer());
    return { samples: sound.getChannelData(0), rate: sound.sampleRate, seconds: sound.duration };
  } catch {
    return null;
  }
}

export function waveform(canvas, sound, found, strength) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.fillStyle = getComputedStyle(canvas).color;
  const step = sound.samples.length / width;
  for (let x = 0; x < width; x++) {
    let peak = 0;
    for (let at = Math.floor(x * step); at < (x + 1) * step; at++) peak = Math.max(peak, Math.abs(sound.samples[at] || 0));
    context.fillRect(x, (height * (1 - peak)) / 2, 1, Math.max(1, height * peak));
  }
  if (!found) return;
  const most = strongest(found.times);
  for (const { start, end, value } of found.times) {
    context.fillStyle = heat(value / most, strength);
    context.fillRect((width * start) / sound.seconds, 0, (width * (end - start)) / sound.seconds, height);
  }
}

// Time to the right, hertz upwards.
export function spectrogram(canvas, sound, found, strength) {
  const levels = sound.levels || (sound.levels = frames(sound.samples));
  const bins = WINDOW / 2;
  canvas.width = levels.length;
  canvas.height = bins;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, bins);
  const loudest = levels.reduce((most, frame) => frame.reduce((a, b) => Math.max(a, b), most), -Infinity);
  levels.forEach((frame, x) => frame.forEach((level, bin) => {
    const at = 4 * ((bins - 1 - bin) * canvas.width + x);
    picture.data.fill(255 * Math.max(0, 1 + (level - loudest) / DECIBELS), at, at + 3);
    picture.data[at + 3] = 255;
  }));
  context.putImageData(picture, 0, 0);
  if (!found) return;
  const paint = (places, box) => {
    const most = strongest(places);
    for (const place of places) {
      context.fillStyle = heat(place.value / most, strength * 0.7);
      context.fillRect(...box(place));
    }
  };
  const across = canvas.width / sound.seconds;
  const up = (2 * bins) / sound.rate;
  paint(found.times, ({ start, end }) => [start * across, 0, (end - start) * across, bins]);
  paint(found.bands, ({ low, high }) => [0, bins - high * up, canvas.width, (high - low) * up]);
}

function frames(samples) {
  const hop = Math.max(WINDOW / 4, Math.ceil((samples.length - WINDOW) / COLUMNS));
  const window = Float64Array.from({ length: WINDOW }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / WINDOW));
  const all = [];
  for (let start = 0; start === 0 || start + WINDOW <= samples.length; start += hop) {
    const real = Float64Array.from({ length: WINDOW }, (_, n) => window[n] * (samples[start + n] || 0));
    const imaginary = new Float64Array(WINDOW);
    transform(real, imaginary);
    all.push(Array.from({ length: WINDOW / 2 }, (_, k) => 10 * Math.log10(real[k] ** 2 + imaginary[k] ** 2 + 1e-12)));
  }
  return all;
}

// In place: the radix-2 fast Fourier transform of Cooley and Tukey (1965).
function transform(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let span = 2; span <= size; span <<= 1) {
    for (let k = 0; k < span / 2; k++) {
      const angle = (-2 * Math.PI * k) / span;
      const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
      for (let at = k; at < size; at += span) {
        const to = at + span / 2;
        const [re, im] = [real[to] * cosine - imaginary[to] * sine, real[to] * sine + imaginary[to] * cosine];
        [real[to], imaginary[to]] = [real[at] - re, imaginary[at] - im];
        [real[at], imaginary[at]] = [real[at] + re, imaginary[at] + im];
      }
    }
  }
}
