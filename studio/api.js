// The client of the public HTTP API. The page uses nothing else of the server.

/** An error of the API, with its `code` and `detail`; `offline` when the server could not be reached. */
export class Problem extends Error {
  constructor(code, detail, status = 0, retryAfterS = 0) {
    super(detail);
    Object.assign(this, { code, detail, status, retryAfterS });
  }
}

const VERSION_HEADER = "x-packshot-version";

let onVersion = () => {};
let version = null; // of the server that first answered, which is also the page's own
let askForKey = () => Promise.reject(new Problem("unauthorized", "A key is needed.", 401));
let signingIn = null;
const SIGNED_IN = "packshot.signed-in"; // a remark for this page: scripts cannot see the session itself
let signedIn = remarked();
let served = false; // whether a request has succeeded

/** `ask(again)` shows the sign-in dialog and resolves when a session is open; `again`: an earlier one has ended. */
export function onUnauthorized(ask) {
  askForKey = ask;
}

/** `changed(now)` is called when an answer comes from a server of another version than the first one. */
export function onOtherVersion(changed) {
  onVersion = changed;
}

function remarked() {
  try {
    return localStorage.getItem(SIGNED_IN) !== null;
  } catch {
    return false; // no storage: it is known until the page is closed
  }
}

function remark(now) {
  signedIn = now;
  try {
    if (now) localStorage.setItem(SIGNED_IN, "yes");
    else localStorage.removeItem(SIGNED_IN);
  } catch {
    // no storage
  }
}

/** Whether this server needs keys. */
export const withKeys = () => signedIn;

/** Send a request and return the Response. Throws Problem, or the AbortError of `signal`. A 401 signs in and retries. */
export async function call(method, path, { json, body, headers = {}, signal, cache, progress } = {}) {
  const options = { method, signal, cache, progress, headers: { ...headers }, credentials: "same-origin", body };
  if (json !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(json);
  }
  let answer = await request(path, options);
  if (answer.status === 401 && path !== "/v1/session") {
    signingIn ??= askForKey(served).finally(() => (signingIn = null));
    await signingIn;
    answer = await request(path, options);
  }
  if (!answer.ok) throw await problemOf(answer);
  served = true;
  return answer;
}

async function request(path, options) {
  let answer;
  try {
    answer = await (options.progress ? posted(path, options) : fetch(path, options));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("offline", "The server did not answer.");
  }
  const now = answer.headers.get(VERSION_HEADER);
  if (version && now && now !== version) onVersion(now);
  version ??= now;
  return answer;
}

/** As fetch, with `progress(share)` while the body is sent, which fetch cannot tell. */
function posted(path, { method, headers, body, signal, progress }) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open(method, path);
    sending.responseType = "blob";
    for (const [name, value] of Object.entries(headers)) sending.setRequestHeader(name, value);
    sending.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 0);
    sending.onload = () => {
      const lines = sending.getAllResponseHeaders().trim().split(/[\r\n]+/);
      const named = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
      resolve(new Response(sending.response, { status: sending.status, headers: named }));
    };
    sending.onerror = () => reject(new TypeError("The connection was lost."));
    sending.onabort = () => reject(new DOMException("The upload was cancelled.", "AbortError"));
    if (signal?.aborted) return sending.onabort();
    signal?.addEventListener("abort", () => sending.abort(), { once: true });
    sending.send(body);
  });
}

async function problemOf(answer) {
  const retryAfterS = Number(answer.headers.get("retry-after")) || 0;
  const body = await answer.json().catch(() => null);
  if (body?.code) return new Problem(body.code, body.detail, answer.status, retryAfterS);
  const down = answer.status >= 502 && answer.status <= 504; // from a proxy, or during a restart
  return new Problem(down ? "not_ready" : "internal", `The server answered ${answer.status}.`, answer.status, retryAfterS);
}

export const json = async (answer) => (await answer).json();

export async function openSession(key) {
  await call("POST", "/v1/session", { json: { key } });
  remark(true);
}

/** End the session on the server: its cookie then opens nothing, here or in any copy. */
export async function closeSession() {
  await call("DELETE", "/v1/session");
  remark(false);
}

export const engines = () => json(call("GET", "/v1/engines"));
export const readWords = (text) => json(call("GET", `/v1/words?text=${encodeURIComponent(text)}`));
/** How an engine (null = the first) would read a prompt. `adapters` are the ids of those that the shot uses. */
export function readPrompt(text, engine, adapters) {
  const asked = new URLSearchParams({ text, use: "prompt", ...(engine ? { engine } : {}) });
  adapters.forEach((id) => asked.append("adapter", id));
  return json(call("GET", `/v1/words?${asked}`));
}
export const presets = async () => (await json(call("GET", "/v1/presets"))).presets;

const TRIES = 6;
export const pause = (s) => new Promise((resolve) => setTimeout(resolve, s * 1000));

/** Upload a file into a project, if given; retries while the server is busy. `progress(share)` tells what was sent. */
export async function upload(file, { project, signal, progress }) {
  for (let attempt = 1; ; attempt += 1) {
    const body = new FormData();
    if (project) body.append("project_id", project);
    body.append("file", file, file.name || "photo");
    try {
      return await json(call("POST", "/v1/photos", { body, signal, progress }));
    } catch (problem) {
      if (problem.code !== "busy" || attempt === TRIES) throw problem;
      await pause(problem.retryAfterS || 1);
    }
  }
}

export const photoUrl = (id) => `/v1/photos/${id}`;
export const maskUrl = (id, longest) => `/v1/masks/${id}?longest_px=${longest}`;
export const cutoutUrl = (id) => `/v1/masks/${id}/cutout`;

/** The candidate masks for points and boxes, or the mask after strokes, best first. */
export async function masks(photoId, body, signal) {
  return (await json(call("POST", `/v1/photos/${photoId}/masks`, { json: body, signal }))).masks;
}

/** Send a mask file (PNG) of the photo. */
export const putMask = (photoId, body) => json(call("PUT", `/v1/photos/${photoId}/masks`, { body, headers: { "content-type": "image/png" } }));

/** Load a picture, scaled to at most `longest` px: {bitmap, width, height}, with the size of the original. */
export async function bitmap(url, longest, options = {}) {
  const blob = await (await call("GET", url, options)).blob();
  const whole = await createImageBitmap(blob);
  const { width, height } = whole;
  const factor = longest / Math.max(width, height);
  if (factor >= 1) return { bitmap: whole, width, height };
  const small = { resizeWidth: Math.max(1, Math.round(width * factor)), resizeHeight: Math.max(1, Math.round(height * factor)) };
  const bitmap = await createImageBitmap(whole, { ...small, resizeQuality: "high" });
  whole.close();
  return { bitmap, width, height };
}

export const submit = (request, key) => json(call("POST", "/v1/shots", { json: request, headers: { "idempotency-key": key } }));
export const shot = (id) => json(call("GET", `/v1/shots/${id}`));
export const film = (imageId, body) => json(call("POST", `/v1/images/${imageId}/clips`, { json: body }));
export const cancel = (id) => json(call("DELETE", `/v1/shots/${id}`));
export const previewUrl = (id, image, version) => `/v1/shots/${id}/preview?image=${image}&at=${version}`;
export const thumbnailUrl = (image) => `${image.url}/thumbnail`;
export const eventsUrl = (ids) => `/v1/events?shots=${ids.join(",")}`;
export const review = (imageId, review) => json(call("PATCH", `/v1/images/${imageId}`, { json: { review } }));

/** Download an image as a file: {blob, extension, notes}. `preset` is a preset's name, or "" for the unchanged PNG. */
export async function delivered(image, preset) {
  const answer = await call("GET", preset ? `${image.url}?preset=${encodeURIComponent(preset)}` : image.url);
  const extension = /filename="[^"]*\.(\w+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "png";
  return { blob: await answer.blob(), extension, notes: answer.headers.get("x-packshot-notes") ?? "" };
}
