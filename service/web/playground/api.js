// Talks to Braid, and to nobody else.

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || `The server answered with status ${status}.`);
    this.status = status;
    this.title = document.title || "Something went wrong";
    this.part = document.part;
  }
}

let key = "";

export function unlock(given) {
  key = given;
}

export async function call(path, options = {}) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "Not reachable", detail: "Braid does not answer. Is it still running?" });
  }
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

export const models = async () => (await (await call("/v1/models")).json()).data;
export const model = async (name) => (await call(`/v1/models/${encodeURIComponent(name)}`)).json();

// The bundle's example: a File for each part.
export async function example(name, parts) {
  const files = {};
  for (const part of parts) {
    const path = `/v1/models/${encodeURIComponent(name)}/example/${encodeURIComponent(part)}`;
    const answer = await call(path).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    });
    if (!answer) continue;
    const [, file] = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition")) || ["", part];
    files[part] = new File([await answer.blob()], file, { type: answer.headers.get("content-type") });
  }
  return files;
}

function form(contents) {
  const body = new FormData();
  for (const [name, content] of Object.entries(contents)) {
    if (typeof content === "string") body.append(name, content);
    else body.append(name, content, content.name);
  }
  return body;
}

export async function predict(name, contents, query, signal) {
  const path = `/v1/models/${encodeURIComponent(name)}/predict?${query}`;
  const started = performance.now();
  const answer = await call(path, { method: "POST", body: form(contents), signal });
  const document = await answer.json();
  return { ...document, document, stages: stages(answer.headers.get("server-timing") || ""), milliseconds: performance.now() - started };
}

export async function explain(name, contents, query, signal) {
  const path = `/v1/models/${encodeURIComponent(name)}/explain?${query}`;
  return (await call(path, { method: "POST", body: form(contents), signal })).json();
}

// "run;dur=0.3, decode;dur=0.1" -> [["run", 0.3], ["decode", 0.1]], milliseconds.
function stages(header) {
  return [...header.matchAll(/([\w.-]+);dur=([\d.]+)/g)].map(([, name, milliseconds]) => [name, Number(milliseconds)]);
}
