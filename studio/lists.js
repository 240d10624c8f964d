// The calls for projects, styles and searches. They are apart from api.js, because the first load needs none of them.

import { call, json, pause, shot } from "./api.js";

export const projects = async () => (await json(call("GET", "/v1/projects?limit=100"))).projects;
export const addProject = (name) => json(call("POST", "/v1/projects", { json: { name } }));
export const renameProject = (id, name) => json(call("PATCH", `/v1/projects/${id}`, { json: { name } }));
export const deleteProject = (id) => call("DELETE", `/v1/projects/${id}`);

export const photosOf = async (project) => (await json(call("GET", `/v1/photos?limit=100&project_id=${project}`))).photos;

export const styles = async () => (await json(call("GET", "/v1/styles?limit=100"))).styles;
export const adapters = async () => (await json(call("GET", "/v1/adapters?limit=100"))).adapters;
export const addStyle = (fields) => json(call("POST", "/v1/styles", { json: fields }));
export const changeStyle = (id, fields) => json(call("PATCH", `/v1/styles/${id}`, { json: fields }));
export const deleteStyle = (id) => call("DELETE", `/v1/styles/${id}`);

/** A page of finished shots, newest first: {shots, next_cursor}. `words` are parts of the prompt. */
export function search({ words = "", project = "", cursor = "" }) {
  const filters = { status: "done", q: words, project_id: project, cursor };
  const given = Object.entries(filters).filter(([, value]) => value);
  return json(call("GET", `/v1/shots?${new URLSearchParams(given)}`));
}

export const maskFacts = (id) => json(call("GET", `/v1/masks/${id}.json`));
export const photoFacts = (id) => json(call("GET", `/v1/photos/${id}.json`));

/** Send a request and wait for its first picture; null when the shot failed or was cancelled. */
export async function painted(request) {
  const headers = { prefer: "wait=30" };
  let now = await json(call("POST", "/v1/shots", { json: request, headers }));
  while (["queued", "running"].includes(now.status)) {
    await pause(1);
    now = await shot(now.id);
  }
  return now.images?.[0] ?? null;
}
