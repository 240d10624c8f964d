#!/usr/bin/env bash
# A new user's first walk with curl and jq: a photo becomes a painted picture and a channel's file, and both are found
# again by their SKU.
#   HOST=http://127.0.0.1:8000 [KEY=…] tests/walks/curl.sh PHOTO OUT
set -euo pipefail
photo=$1 out=$2
mkdir -p "$out"

ask() { # METHOD PATH [curl's options]: the answer's body; a refusal is shown and ends the walk
  curl --silent --show-error --fail-with-body --request "$1" ${KEY:+--header "authorization: Bearer $KEY"} \
    "${@:3}" "$HOST$2"
}

shoot() { # FIELDS: the finished shot of the mask with these further fields; a repeat with the key waits on
  local body shot
  body=$(jq -nc --arg mask "$mask" \
    "{layers: [{mask_id: \$mask, scale: 0.9}], sku: \"WALK-1\", meta: {walk: \"curl\"}} + $1")
  while true; do
    shot=$(ask POST /v1/shots --header 'content-type: application/json' --header 'prefer: wait=120' \
      --header "idempotency-key: $mask $(md5sum <<<"$body")" --data "$body") || return 1
    if jq -e .images <<<"$shot" >/dev/null; then break; fi
  done
  printf '%s\n' "$shot"
}

ask GET /readyz --retry 60 --retry-delay 1 --retry-all-errors --output /dev/null
photo_id=$(ask POST /v1/photos --form "file=@$photo" | jq -r .id)
mask=$(ask POST "/v1/photos/$photo_id/masks" --header 'content-type: application/json' \
  --data '{"boxes": [[78, 14, 480, 387]]}' | jq -r '.masks[0].id')

painted=$(shoot '{prompt: "on a marble table, soft morning light", canvas: {width: 512, height: 512}, seed: 7}')
ask GET "$(jq -r '.images[0].url' <<<"$painted")" --output "$out/painted.png"

white=$(shoot '{background: "white", shadow: "none", canvas: {width: 800, height: 800}}')  # the product's pixels x 1.8
image=$(jq -r '.images[0].url' <<<"$white")
ask GET "$image?preset=amazon-main" --output "$out/amazon.png"
ask PATCH "$image" --header 'content-type: application/json' --data '{"review": "approved"}' --output /dev/null

found=$(ask GET "/v1/shots?sku=WALK-1&meta=walk:curl" | jq '.shots | length')
approved=$(ask GET "/v1/shots?sku=WALK-1&review=approved" | jq -r '.shots[0].id')
[ "$found" -ge 2 ] && [ "$approved" = "$(jq -r .id <<<"$white")" ]
jq -nc --argjson painted "$painted" --arg out "$out" '{verdict: $painted.images[0].verdict.level, out: $out}'
