#!/usr/bin/env bash
# A new user's first walk with the shell: a picture, a channel's file from the mask that was saved, a folder with a
# wrong file in it, and a recipe repeated to the byte.
#   [HOST=http://127.0.0.1:8000 [KEY=…]] tests/walks/shell.sh PHOTO OUT
# Without HOST each command runs in its own process, and PACKSHOT_HOME names its store.
set -euo pipefail
photo=$1 out=$2
export PACKSHOT_KEY=${KEY:-}
command -v packshot > /dev/null || PATH=$(dirname "$0")/../../.venv/bin:$PATH
mkdir -p "$out/photos"

shoot() { # ARGUMENTS: packshot shoot, here or at HOST
  if [ -n "${HOST:-}" ]; then packshot shoot "$@" --host "$HOST"; else packshot shoot "$@" --in-process; fi
}

packshot --version
shoot "$photo" --box 78,14,480,387 --prompt "on a marble table" --canvas 512x512 --seed 7 --out "$out/first"
name=$(basename "${photo%.*}")
shoot "$photo" --mask "$out/first/$name-mask.png" --background white --preset shopify --out "$out/white"
[ -s "$out/white/$name-01-seed0-shopify.jpg" ]

cp "$photo" "$out/photos/one.png"
echo "no photo" > "$out/photos/wrong.jpg"
code=0
shoot "$out/photos" --background white --canvas 512x512 --out "$out/batch" --json > "$out/batch.json" || code=$?
[ "$code" = 1 ] && [ -s "$out/batch/one-01-seed0.png" ] && grep -q '"code": "photo_format"' "$out/batch.json"

cat > "$out/layout.json" << END
{"canvas": {"width": 512, "height": 512}, "layers": [{"x": 0.5, "y": 0.5, "scale": 0.6}]}
END
shoot "$photo" --box 78,14,480,387 --layout "$out/layout.json" --prompt "on a marble table" --seed 7 \
  --out "$out/again" --json > "$out/again.json"
cmp "$out/first/$name-01-seed7.png" "$out/again/$name-01-seed7.png"
verdict=$(grep -o '"level": "[a-z]*"' "$out/again.json" | head -n 1 | cut -d '"' -f 4)
echo "{\"verdict\": \"$verdict\", \"out\": \"$out\"}"
