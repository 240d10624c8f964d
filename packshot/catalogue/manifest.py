"""Read a manifest: YAML, JSON or CSV to the typed `Manifest`, with every problem by row and column.

Items that break a rule are left out of the result, so that the plan can be made from the others.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import to_json

from packshot.catalogue.places import Allowed, path_rule, route_rule
from packshot.catalogue.plain_yaml import read_yaml
from packshot.catalogue.sheet import FORMULA, SCIENTIFIC, adapter_of, problem, read_sheet, refused, skus
from packshot.contract.catalogue import Axis, Item, Manifest, RowProblem
from packshot.contract.requests import ProofIn
from packshot.delivery.naming import check_gtin
from packshot.delivery.presets import demands_white, fill_for, preset_named
from packshot.errors import BadInput

MediaType = Literal["application/json", "application/yaml", "text/csv"]

_GTIN_NAMES = re.compile(r"(?i)^(gtin(-?(8|12|13|14))?|ean(13)?|upc)$")


@dataclass(frozen=True)
class Read:
    """A manifest as it could be read. `manifest` is None when its frame, without the items, is broken.

    `rows` has the row of each of its items: as a spreadsheet numbers it for CSV, else the item's place, from 1.
    """

    manifest: Manifest | None
    rows: tuple[int, ...]
    items_total: int
    problems: list[RowProblem] = field(default_factory=list)


def read_manifest(
    data: bytes,
    media_type: MediaType,
    *,
    frame: Mapping[str, Any] | None = None,
    allowed: Allowed | None = None,
) -> Read:
    """Read the bytes of a manifest.

    `frame` is everything but the items; a sheet has none of its own. `allowed` has the prefixes under which URLs of
    photos, masks and routes may lie; None allows none. Raises BadInput `manifest_unreadable` when the bytes have
    another form.
    """
    if media_type == "text/csv":
        sheet = read_sheet(data)
        raw: dict[str, Any] = {"name": "catalogue", **(frame or {}), "items": sheet.items}
        numbers, problems = sheet.rows, list(sheet.problems)
    else:
        raw = _object_of(data, media_type)
        items = raw.get("items")
        numbers, problems = list(range(1, len(items) + 1)) if isinstance(items, list) else [], []
    return _checked(raw, numbers, problems, allowed or Allowed())


Frame = dict[str, Any]
"""A manifest as it was sent, without its items. It is checked as a `Manifest`, together with them."""


def read_frame_bytes(data: bytes, media_type: MediaType) -> dict[str, Any]:
    """Everything but the items of a manifest, for a sheet that has the items. Raises BadInput when it has items."""
    frame = _object_of(data, media_type)
    if "items" in frame:
        raise BadInput("bad_usage", "a look must have no items, because the sheet has them; remove them")
    return frame


def frame_of(
    scenes: Sequence[str],
    presets: Sequence[str],
    style: str = "",
    adapters: Sequence[str] = (),
    base: Frame | None = None,
) -> dict[str, Any]:
    """The axes and deliveries of a sheet: scenes as NAME=TEXT, presets as NAME, or NAME=white for a plain picture.

    A channel that demands a share of the frame gets it: these deliveries have a `fill` of their own. A white picture
    for a channel that demands pure white has no shadow. `style` is an id, and each adapter an id or ID:SCALE; they join
    the defaults of `base`, to which the result is added.

    Raises BadInput `bad_usage` for another form.
    """
    frame: dict[str, Any] = dict(base or {})
    if style or adapters:
        try:
            given = {"adapters": [adapter_of(one) for one in adapters]} if adapters else {}
        except ValueError as error:
            raise BadInput("bad_usage", f"{error}, got {', '.join(adapters)[:60]!r}; correct it") from None
        own = frame.get("defaults")
        shared = dict(own) if isinstance(own, Mapping) else {}
        frame["defaults"] = shared | given | ({"style": {"style_id": style}} if style else {})
    if scenes:
        pairs = [one.partition("=") for one in scenes]
        for name, equals, _ in pairs:
            if not name or not equals:
                rule = f"a scene must be NAME=TEXT, got {name[:60]!r}"
                raise BadInput("bad_usage", f"{rule}; write marble='on a marble table'")
        if len({name for name, _, _ in pairs}) < len(pairs):
            raise BadInput("bad_usage", f"a scene may be named once, got {[name[:60] for name, _, _ in pairs]}; rename")
        frame["axes"] = [{"name": "scene", "values": {name: text for name, _, text in pairs}}]
    if presets:
        frame["deliver"] = [_delivery(one, len(presets)) for one in presets]
    return frame


def _delivery(text: str, of: int) -> dict[str, Any]:
    name, _, plain = text.partition("=")
    template = "{sku}-{n:02}.{ext}" if of == 1 else "{sku}-{preset}-{n:02}.{ext}"
    delivery: dict[str, Any] = {"preset": name, "name": template, **({"scene": plain} if plain else {})}
    with suppress(BadInput):  # the plan reports a preset that does not exist
        preset = preset_named(name)
        if fill := fill_for(preset):
            delivery["fill"] = fill
        if plain.lower() == "white" and demands_white(preset):
            delivery["shadow"] = {"mode": "none"}
    return delivery


def _object_of(data: bytes, media_type: MediaType) -> dict[str, Any]:
    value = read_yaml(data) if media_type == "application/yaml" else _read_json(data)
    if not isinstance(value, dict):
        raise BadInput("manifest_unreadable", "The manifest must be a mapping with the fields name and items.")
    return value


def _read_json(data: bytes) -> Any:
    def once(members: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(members)
        if len(found) < len(members):
            name = next(name for name, count in Counter(name for name, _ in members).items() if count > 1)
            rule = f"an object may name a field once, got {name[:60]!r} twice; keep one"
            raise BadInput("manifest_unreadable", f"The manifest cannot be read: {rule}.")
        return found

    try:
        return json.loads(data, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise BadInput("manifest_unreadable", f"The manifest must be JSON: {str(error)[:200]}.") from None


def _checked(raw: dict[str, Any], numbers: list[int], problems: list[RowProblem], allowed: Allowed) -> Read:
    items = [item if isinstance(item, dict) else {} for item in raw["items"]] if numbers else []
    names = skus(items)
    reported = {(one.row, one.column) for one in problems}
    broken: set[int] = set()
    frame_ok = True
    manifest = None
    try:
        manifest = Manifest.model_validate_json(to_json(raw))
    except ValidationError as error:
        for found in error.errors(include_url=False, include_context=False):
            path = found["loc"]
            if len(path) > 1 and path[0] == "items" and isinstance(path[1], int):
                at = path[1]
                broken.add(at)
                column = ".".join(map(str, path[2:])) or "item"
                if (numbers[at], column) not in reported:
                    problems.append(_of_pydantic(found, numbers[at], names[at], column))
            else:
                frame_ok = False
                problems.append(_of_pydantic(found, None, None, ".".join(map(str, path)) or "manifest"))
    if manifest is None and frame_ok and len(broken) < len(items):
        rest = {**raw, "items": [item for at, item in enumerate(raw["items"]) if at not in broken]}
        manifest = Manifest.model_validate_json(to_json(rest))
    kept = [at for at in range(len(items)) if at not in broken]
    problems += _twice(names, numbers)
    if manifest is not None:
        problems += _frame_problems(manifest, allowed.routes)
        for at, item in zip(kept, manifest.items, strict=True):
            problems += _item_problems(item, numbers[at], manifest, allowed.photos)
    problems.sort(key=lambda one: one.row or 0)
    rows = () if manifest is None else tuple(numbers[at] for at in kept)
    return Read(manifest, rows, len(numbers), problems)


def _of_pydantic(found: Any, row: int | None, sku: str | None, column: str) -> RowProblem:
    value = found.get("input")
    shown = value if isinstance(value, str | int | float) else "" if value is None else json.dumps(value, default=str)
    rule = found["msg"].removeprefix("Value error, ")
    return problem(row, sku, column, shown, rule, "See docs/agency.md for the field's form.")


def _twice(names: Sequence[str | None], numbers: Sequence[int]) -> Iterator[RowProblem]:
    """SKUs that occur twice. Case does not distinguish them, because it does not in every folder."""
    first: dict[str, int] = {}
    for name, row in zip(names, numbers, strict=True):
        if name is None:
            continue
        before = first.setdefault(name.casefold(), row)
        if before != row:
            rule = f"a SKU may occur once, row {before} has it too"
            yield problem(row, name, "sku", name, rule, "Remove one row, or list several photos in `photos`.")


def _frame_problems(manifest: Manifest, route_prefixes: Sequence[str]) -> Iterator[RowProblem]:
    """Problems of everything but the items."""
    light, shadows = manifest.defaults.light, [manifest.defaults.shadow, *(one.shadow for one in manifest.deliver)]
    if light is not None and not any(shadow and shadow.mode == "cast" for shadow in shadows):
        rule = "a light turns cast shadows, and no shadow of this manifest is cast"
        yield problem(None, None, "defaults.light", f"{light.direction_deg:g}", rule, "Set shadow: {mode: cast}.")
    yield from _master_problems(manifest.defaults.proof, "defaults.proof.master", None, None)
    for at, one in enumerate(manifest.deliver):
        if one.to is not None and (broken := route_rule(one.to, route_prefixes)):
            remedy = "Use a folder of the archive, or ask the operator for a prefix."
            yield problem(None, None, f"deliver.{at}.to", one.to, broken, remedy)
    for name, count in Counter(axis.name for axis in manifest.axes).items():
        if count > 1:
            yield problem(None, None, "axes", name, "an axis's name may occur once", "Rename one of the axes.")
    zipped = [axis for axis in manifest.axes if axis.combine == "zip"]
    if len({len(axis.values) for axis in zipped}) > 1:
        lengths = ", ".join(f"{axis.name}: {len(axis.values)}" for axis in zipped)
        rule = "axes that are zipped must have equally many values"
        yield problem(None, None, "axes", lengths, rule, "Add values, or combine them as a product.")


def _item_problems(item: Item, row: int, manifest: Manifest, allowed_prefixes: Sequence[str]) -> Iterator[RowProblem]:
    if item.sku[0] in FORMULA:
        rule = f"a SKU may not begin with {' '.join(FORMULA)}, because a spreadsheet would run it"
        yield problem(row, item.sku, "sku", item.sku, rule, "Put a letter before it.")
    if SCIENTIFIC.fullmatch(item.sku):
        rule = "a number may not be in scientific notation"
        yield problem(row, item.sku, "sku", item.sku, rule, "Quote it, and enter all digits again.")
    for name, value in item.meta.items():
        if _GTIN_NAMES.match(name):
            try:
                check_gtin(value)
            except BadInput as error:
                yield refused(error, row, item.sku, f"meta.{name}", value)
    if item.find is not None and item.mask is not None:
        rule = "a mask may not come with find, because it says where the product is"
        yield problem(row, item.sku, "find", item.find, rule, "Send one of them.")
    for view, photo in item.views():
        column = "photo" if item.photo else f"photos.{view}"
        if broken := path_rule(photo, "ph_", allowed_prefixes):
            yield problem(row, item.sku, column, photo, broken, "Use a path below the manifest, or upload the photo.")
    if item.mask is not None and (broken := path_rule(item.mask, "mk_", allowed_prefixes)):
        yield problem(row, item.sku, "mask", item.mask, broken, "Use a path below the manifest, or upload the mask.")
    yield from _master_problems(item.proof, "proof.master", row, item.sku)
    if item.mask is not None and (item.box or item.points):
        rule = "a mask may not come with a box or points"
        yield problem(row, item.sku, "mask", item.mask, rule, "Send one of them.")
    if item.box is not None and not (item.box[0] < item.box[2] and item.box[1] < item.box[3]):
        rule = "a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1"
        yield problem(row, item.sku, "box", list(item.box), rule, "Swap its corners.")
    if not manifest.axes:
        for column, given in (("adapters", item.adapters), ("style", item.style)):
            if given:
                rule = f"a row's {column} needs painted scenes, and this manifest has none"
                yield problem(row, item.sku, column, "", rule, "Add an axis of scenes, or leave it out.")
    known = scene_names(manifest.axes)
    for name in item.scenes:
        if name not in known:
            rule = f"a scene must be a value of the axis `scene`: {', '.join(known) or 'there is none'}"
            yield problem(row, item.sku, "scenes", name, rule, "Correct the name, or add the value to the axis.")


def _master_problems(proof: ProofIn | None, column: str, row: int | None, sku: str | None) -> Iterator[RowProblem]:
    """A master that is a URL, or a path that leads out of the manifest's folder."""
    if proof is not None and proof.master is not None and (broken := path_rule(proof.master, "ph_", ())):
        yield problem(row, sku, column, proof.master, broken, "Use a path below the manifest, or an id ph_….")


def scene_names(axes: Sequence[Axis]) -> tuple[str, ...]:
    """The names of the scenes: the values of the axis `scene`."""
    return tuple(name for axis in axes if axis.name == "scene" for name in axis.values)


def not_served(column: str, value: str, role: str, row: int | None = None, sku: str | None = None) -> RowProblem:
    """The problem of a field whose role is not served."""
    rule = f"the role {role} is not served"
    return problem(row, sku, column, value, rule, "Leave the field out until a release serves it.", "not_served")
