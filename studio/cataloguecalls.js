// The calls for catalogues. They are apart from api.js, because the first load of the studio needs none of them.

import { call, json, pause } from "./api.js";

export const list = (cursor = "") => json(call("GET", `/v1/catalogues?limit=50${cursor && `&cursor=${encodeURIComponent(cursor)}`}`));

const etagged = async (answer) => {
  const got = await answer;
  return { ...(await got.json()), etag: got.headers.get("etag") };
};

/** A catalogue with its `etag`. */
export const get = (id) => etagged(call("GET", `/v1/catalogues/${id}`));

/** start, pause, resume, cancel or retry. Throws the Problem `precondition_failed` when its state has changed since. */
export const change = ({ id, etag }, what) => etagged(call("POST", `/v1/catalogues/${id}/${what}`, { headers: etag ? { "if-match": etag } : {} }));

export function rows(id, { state = "", cursor = "", limit = 60 } = {}) {
  const given = Object.entries({ state, cursor, limit }).filter(([, value]) => value);
  return json(call("GET", `/v1/catalogues/${id}/rows?${new URLSearchParams(given)}`));
}

/** `sent`: {body, type, query}, as cataloguesheet.js makes it. */
function posted({ body, type, query = [] }, more, signal) {
  const asked = new URLSearchParams([...query, ...Object.entries(more)]);
  return json(call("POST", `/v1/catalogues?${asked}`, { body, headers: type ? { "content-type": type } : {}, signal }));
}

export const dryRun = (sent, signal) => posted(sent, { dry_run: "1" }, signal);
export const create = (sent, skip) => posted(sent, skip ? { on_problem: "skip" } : {});

const TRIES = 6;

/** Send a photo or a mask; retries while the server is busy. */
export async function putPhoto(id, path, file, signal) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await json(call("PUT", `/v1/catalogues/${id}/photos?path=${encodeURIComponent(path)}`, { body: file, signal }));
    } catch (problem) {
      if (problem.code !== "busy" || attempt === TRIES) throw problem;
      await pause(problem.retryAfterS || 1);
    }
  }
}

export const report = (id) => json(call("GET", `/v1/catalogues/${id}/report.json`));
export const file = async (path) => (await call("GET", path)).blob();
