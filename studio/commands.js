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

/**
 * The request as `packshot shoot`, which places one product in the middle. `source`: {name, points, boxes, mask} of the
 * first layer's cut; `mask` is the id of a mask that a person made, which is downloaded first.
 */
export function asShoot(request, source, origin, withKey) {
  const file = /^[-~]/.test(source.name) ? `./${source.name}` : source.name;
  const words = ["packshot shoot", quoted(file)];
  if (source.mask) {
    const mask = quoted(`${file.replace(/\.[a-z0-9]+$/i, "")}-own-mask.png`);
    const key = withKey ? ' -H "Authorization: Bearer $PACKSHOT_KEY"' : "";
    words.unshift(`curl -s ${quoted(`${origin}/v1/masks/${source.mask}`)}${key} -o ${mask} &&`);
    words.push(`--mask ${mask}`);
    source = { points: [], boxes: [] };
  }
  if (source.boxes.length) words.push(`--box ${source.boxes[0].join(",")}`);
  for (const point of source.points) if (point.label === 1) words.push(`--point ${point.x},${point.y}`);
  words.push(`--prompt=${quoted(request.prompt)}`);
  words.push(`--canvas ${request.canvas.width}x${request.canvas.height}`, `-n ${request.images}`, `--seed ${request.seed}`);
  words.push(`--background ${quoted(request.background)}`, `--host ${quoted(origin)}`);
  return words.join(" ");
}
