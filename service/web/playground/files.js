// A file by button or by drop, for any part.

import { button, h } from "./dom.js";

// The button and its input; `take(File)` is told.
export function files(part, accept, take) {
  const input = h("input", { type: "file", accept, hidden: true, tabIndex: -1, "aria-label": `File for ${part.name}` });
  input.addEventListener("change", () => {
    if (input.files[0]) take(input.files[0]);
    input.value = ""; // the same file may be chosen again
  });
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

