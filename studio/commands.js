// A shot as shell commands.

/** POSIX shell quoting of any text as one word. */
export function quoted(text) {
  return /^[A-Za-z0-9_./:=,@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The request as curl. `withKey`: the server needs a key, which the command reads from PACKSHOT_KEY. */
export function asCurl(request, origin, withKey) {
  const lines = [`curl ${quoted(`${origin}/v1/shots`)}`, "-H 'content-type: application/json'"];
  if (withKey) lines.push('-H "Authorization: Bearer $PACKSHOT_KEY"');
  lines.push(`-d ${quoted(JSON.stringify(request, null, 1).replace(/\n\s*/g, " "))}`);
  return lines.join(" \\\n  ");
}

const worded = (value) => (value && typeof value === "object" ? JSON.stringify(value) : value);

/** The request as `packshot shoot`, with every option that it has. The layers are the masks that the server keeps. */
export function asShoot(request, origin, withKey) {
  if (request.product) return "# packshot angle paints such a product from the files of its photos; the request above paints it again";
  const words = [withKey ? "# PACKSHOT_KEY must hold a key\npackshot shoot" : "packshot shoot"];
  const option = (name, value) => value !== undefined && value !== null && value !== "" && words.push(`${name}=${quoted(String(value))}`);
  option("--layout", JSON.stringify({ canvas: request.canvas, layers: request.layers }));
  option("--prompt", request.prompt);
  option("--negative", request.negative_prompt);
  option("--background", request.background);
  option("--shadow", worded(request.shadow));
  option("--reflection", worded(request.reflection));
  option("--relight", worded(request.relight));
  option("--style", worded(request.style));
  if (request.images) words.push(`-n ${request.images}`);
  for (const name of ["seed", "steps", "engine", "priority"]) option(`--${name}`, request[name]);
  option("--guidance", request.guidance_scale);
  option("--sampler", request.sampler);
  option("--control", request.control_scale);
  option("--control-start", request.control_start);
  option("--control-end", request.control_end);
  for (const { kind, scale, start = 0, end = 1 } of request.conditions ?? []) option("--condition", `${kind}=${scale},${start},${end}`);
  for (const { id, scale } of request.adapters ?? []) option("--adapter", `${id}:${scale}`);
  option("--host", origin);
  return words.join(" ");
}
