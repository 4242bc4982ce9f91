// Posts a text and a picture through the generated types, and prints the label.
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [url, picture] = process.argv.slice(2) as [string, string];
const bytes = await readFile(picture);
const braid = createClient<paths>({ baseUrl: url });
const { data, error } = await braid.POST("/v1/models/senses/predict", {
  params: { query: { top_k: 1 } },
  body: { text: "a b", image: "" },
  bodySerializer: () => {
    const form = new FormData();
    form.append("text", "a b");
    form.append("image", new Blob([bytes]), "picture.png");
    return form;
  },
});
if (error) throw new Error(error.detail);
const label: string = data.outputs.sense.label;
console.log(JSON.stringify({ label, image: data.parts.image.used, audio: data.parts.audio.used }));
