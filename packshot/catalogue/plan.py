"""What a catalogue makes of its rows: shots, pictures and deliveries, their names, and what they cost.

    Manifest ──scenes──> combinations of axis values ─┐
    deliver[].scene/canvas/shadow/fill ───────────────┴─> Variants ──x rows──> shots ──x deliver──> files

The variants are the same for all rows but for the rows' own `scenes`, so a plan of 50,000 rows is small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from packshot.catalogue.manifest import Read
from packshot.catalogue.places import archive_folder
from packshot.catalogue.proving import proof_of_item
from packshot.catalogue.sheet import problem, refused
from packshot.contract.catalogue import MAX_COMBINATIONS, Axis, Deliver, Item, Look, Manifest, RowProblem
from packshot.contract.engines import EngineInfo
from packshot.contract.requests import MAX_SEED, ShadowIn
from packshot.contract.shot_spec import rows_per_step
from packshot.delivery.naming import NameTemplate, collision_key, parse_template
from packshot.delivery.presets import demands_white, fill_for, preset_named
from packshot.errors import BadInput
from packshot.models.packs.framing import window_steps

TEXT_S = 0.7
"""Seconds of a processor that the proof of a picture's text takes: half for the picture, and the photo's for each mask
(docs/measurements.md)."""

LATE_VALUES: Mapping[str, str | int] = {
    "seed": MAX_SEED,
    "image_id": "im_0123456789abcdefghij",
    "width": 10_000,
    "height": 10_000,
}
"""Fields of a name that are known only when the picture is, with the longest value of each.

Only `image_id` distinguishes two files for certain, so names may not differ by one of the others alone.
"""

_GTIN_COLUMNS = ("gtin", "gtin14", "gtin13", "ean", "upc")


@dataclass(frozen=True)
class Scene:
    """One scene of the catalogue: the chosen value of each axis, and the words that they give. Plain has no axes."""

    values: tuple[tuple[str, str], ...]
    words: str

    @property
    def name(self) -> str:
        """The scene's name for people and file names: the values of the axes, joined by a dash."""
        return "-".join(value for _, value in self.values)


@dataclass(frozen=True)
class Variant:
    """What every row is painted on: a scene or a plain background, on one canvas.

    `background` is `generate`, `white`, `transparent` or `#rrggbb`. `canvas` is (width, height) in pixels, and `fill`
    the share of its longer side that the largest product spans.
    """

    scene: Scene
    background: str
    canvas: tuple[int, int]
    shadow: ShadowIn
    fill: float

    @property
    def generated(self) -> bool:
        """Whether an engine paints it."""
        return self.background == "generate"


@dataclass(frozen=True)
class Costs:
    """What pictures cost on one device, in seconds: the same numbers as the autoscaling policy's.

    `row_step_s` is one batch row of one denoising step, `picture_s` what a painted picture needs besides, and
    `composed_s` a picture on a plain background. A picture of an engine whose vendor is paid costs its price. `text_s`
    is what the proof of a picture's text adds.
    """

    engine: EngineInfo
    row_step_s: float
    picture_s: float
    composed_s: float
    text_s: float = TEXT_S

    def of(self, variant: Variant, look: Look, *, proven: bool = False) -> float:
        """Seconds of one picture of a variant. `proven` says that its text is read."""
        return self._made(variant, look) + (self.text_s if proven else 0.0)

    def _made(self, variant: Variant, look: Look) -> float:
        if not variant.generated:
            return self.composed_s
        if self.engine.price_device_s:
            return self.engine.price_device_s
        return self.picture_s + self.row_steps(variant, look) * self.row_step_s

    def row_steps(self, variant: Variant, look: Look) -> int:
        """The row-steps of one picture of a variant; 0 on a plain background."""
        if not variant.generated:
            return 0
        defaults = self.engine.defaults
        steps = defaults.steps if look.steps is None else look.steps
        guidance = defaults.guidance_scale if look.guidance_scale is None else look.guidance_scale
        return rows_per_step(guidance) * window_steps(variant.canvas, steps, self.engine)


@dataclass(frozen=True)
class Plan:
    """A catalogue's work. `rows` are those without a problem, and `problems` those of the manifest and of the plan.

    `warnings` refuse nothing: they say which files a channel's rules will probably refuse. The server adds the words
    that its detector and its engine ignore. `searched` are the rows whose product words must find: one without it is
    skipped, so the other counts are the most that can come.
    """

    rows: int
    shots: int
    pictures: int
    painted: int
    deliveries: int
    device_s: float
    problems: tuple[RowProblem, ...]
    warnings: tuple[RowProblem, ...] = ()
    searched: int = 0

    def exceeds(self, manifest: Manifest) -> bool:
        """Whether the plan is larger than the manifest's budget."""
        budget = manifest.budget
        return (budget.images is not None and self.pictures > budget.images) or (
            budget.device_s is not None and self.device_s > budget.device_s
        )


def combinations(axes: Sequence[Axis], scenes: Sequence[str] = ()) -> list[Scene]:
    """Every combination of the axes' values; those that are zipped go side by side.

    `scenes` limits the axis `scene` to some of its values. Raises BadInput `axes_too_large` when there are more than
    `MAX_COMBINATIONS`, and `invalid_request` when zipped axes have different lengths.
    """
    if not axes:
        return []
    zipped = [axis for axis in axes if axis.combine == "zip"]
    groups = [
        [((axis.name, name, words),) for name, words in axis.values.items()] for axis in axes if axis not in zipped
    ]
    if zipped:
        columns = [[(axis.name, name, words) for name, words in axis.values.items()] for axis in zipped]
        if len({len(column) for column in columns}) > 1:
            raise BadInput("invalid_request", "axes that are zipped must have equally many values")
        groups.append([tuple(row) for row in zip(*columns, strict=True)])
    count = 1
    for group in groups:
        count *= len(group)
    if count > MAX_COMBINATIONS:
        sizes = " x ".join(str(len(group)) for group in groups)
        rule = f"axes may have at most {MAX_COMBINATIONS} combinations"
        raise BadInput("axes_too_large", f"{rule}, got {sizes} = {count}; zip axes, or split the catalogue")
    order = {axis.name: place for place, axis in enumerate(axes)}
    found = []
    for chosen in product(*groups):
        values = sorted((one for group in chosen for one in group), key=lambda one: order[one[0]])
        if not scenes or all(name in scenes for axis, name, _ in values if axis == "scene"):
            words = ", ".join(words for _, _, words in values if words)
            found.append(Scene(tuple((axis, name) for axis, name, _ in values), words))
    return found


def variants(manifest: Manifest, scenes: Sequence[Scene]) -> dict[Variant, list[int]]:
    """What each row is painted on, and for each the places of the `deliver` entries that it feeds."""
    look = manifest.defaults
    found: dict[Variant, list[int]] = {}
    for scene in scenes:
        found.setdefault(Variant(scene, "generate", look.canvas, _turned(look.shadow, look), look.fill), [])
    for at, entry in enumerate(manifest.deliver):
        canvas, fill = entry.canvas or look.canvas, entry.fill or look.fill
        shadow = _turned(entry.shadow or look.shadow, look)
        if entry.scene is None:
            wanted = [Variant(scene, "generate", canvas, shadow, fill) for scene in scenes]
        else:
            wanted = [Variant(Scene((), ""), entry.scene.lower(), canvas, shadow, fill)]
        for variant in wanted:
            found.setdefault(variant, []).append(at)
    return found


def _turned(shadow: ShadowIn, look: Look) -> ShadowIn:
    """The shadow under the look's light: a cast one without a direction falls away from it."""
    if look.light is None or shadow.mode != "cast" or shadow.direction_deg is not None:
        return shadow
    return shadow.model_copy(update={"direction_deg": (look.light.direction_deg + 180) % 360})


def plan(read: Read, costs: Costs) -> Plan:
    """Plan a manifest that was read. What cannot be planned is a problem of the plan."""
    manifest = read.manifest
    if manifest is None:
        return Plan(0, 0, 0, 0, 0, 0.0, tuple(read.problems))
    try:
        all_scenes = combinations(manifest.axes)
    except BadInput as error:
        found = [] if error.code == "invalid_request" else [refused(error, None, None, "axes", "")]
        return Plan(0, 0, 0, 0, 0, 0.0, (*read.problems, *found))
    problems = list(_deliver_problems(manifest))
    templates = _templates(manifest, problems)
    if not all_scenes and not any(entry.scene for entry in manifest.deliver):
        rule = "a catalogue must paint something: an axis of scenes, or a delivery with scene: white"
        problems.append(problem(None, None, "axes", "", rule, "Add one of them."))
    by_choice: dict[tuple[str, ...], dict[Variant, list[int]]] = {}
    seconds: dict[Variant, float] = {}
    names: dict[tuple[str, str], int] = {}
    shots = pictures = painted = deliveries = 0
    device_s = 0.0
    for item, row in zip(manifest.items, read.rows, strict=True):
        choice, proven = tuple(item.scenes), proof_of_item(manifest.defaults, item) is not None
        if choice not in by_choice:
            by_choice[choice] = variants(manifest, combinations(manifest.axes, choice))
            seconds |= {variant: costs.of(variant, manifest.defaults) for variant in by_choice[choice]}
        for variant, entries in by_choice[choice].items():
            views = len(item.views())
            each = views * (manifest.paintings if variant.generated else 1)
            shots += views
            pictures += each
            painted += each * variant.generated
            device_s += each * (seconds[variant] + (costs.text_s if proven else 0.0))
            deliveries += views * len(entries)
        problems += _name_problems(manifest, templates, by_choice[choice], item, row, names)
    budget = manifest.budget
    made = Plan(len(manifest.items), shots, pictures, painted, deliveries, device_s, ())
    if made.exceeds(manifest) and budget.on_exceed == "refuse":
        got = f"{pictures} pictures, {device_s:.0f} s"
        rule = f"the plan must stay within the budget ({budget.images or 'any'} pictures, {budget.device_s or 'any'} s)"
        problems.append(problem(None, None, "budget", got, rule, "Raise it, drop rows, or pause on exceeding it."))
    every = (*read.problems, *sorted(problems, key=lambda one: one.row or 0))
    warned = tuple(_unmet(manifest))
    searched = sum(_searched(item, manifest.defaults.find) for item in manifest.items)
    return Plan(len(manifest.items), shots, pictures, painted, deliveries, device_s, every, warned, searched)


def _searched(item: Item, default_find: str | None) -> bool:
    """Whether words must find the product in a photo of the row (`Cutter.cut`)."""
    by_words = (index > 0 or item.mask is None for index, (view, _) in enumerate(item.views()) if view != "detail")
    return bool(item.find or default_find) and any(by_words)


def file_values(item: Item, variant: Variant, entry: Deliver, view: str, n: int) -> dict[str, str | int]:
    """The values of a file name's fields that are known before the picture is made."""
    gtin = next((item.meta[name] for name in _GTIN_COLUMNS if name in item.meta), "")
    return {
        "sku": item.sku,
        "scene": variant.scene.name or variant.background.lstrip("#"),
        "view": view,
        "n": n,
        "variant": variant.scene.name,
        "gtin": gtin,
        "asin": item.meta.get("asin", ""),
        "slot": item.meta.get("slot", "MAIN"),
        "preset": entry.preset,
        "ext": "jpg",
        **dict(variant.scene.values),
    }


def _deliver_problems(manifest: Manifest) -> Iterator[RowProblem]:
    relit = manifest.defaults.relight is not None and manifest.defaults.relight.mode != "off"
    for at, entry in enumerate(manifest.deliver):
        try:
            preset = preset_named(entry.preset)
        except BadInput as error:
            yield refused(error, None, None, f"deliver.{at}.preset", entry.preset)
            continue
        if relit and entry.scene is None and not preset.generated:
            rule = f"{preset.title} shows the product in its photo's colours, and defaults.relight changes them"
            remedy = "Give the entry scene: white, or leave relight out."
            yield problem(None, None, f"deliver.{at}.preset", entry.preset, rule, remedy, "relight_refused")
    if manifest.defaults.style is not None and not manifest.axes:
        rule, remedy = "a style needs painted scenes, which it changes", "Add an axis of scenes, or leave it out."
        yield problem(None, None, "defaults.style", "", rule, remedy, "style_refused")
    if relit and not manifest.axes:
        rule, remedy = "relight needs painted scenes, whose light it takes", "Add an axis of scenes, or leave it out."
        yield problem(None, None, "defaults.relight", "match", rule, remedy, "relight_refused")


def _unmet(manifest: Manifest) -> Iterator[RowProblem]:
    """Entries whose channel refuses all their files: the products span too little of the frame, or have a shadow."""
    for at, entry in enumerate(manifest.deliver):
        try:
            preset = preset_named(entry.preset)
        except BadInput:  # the plan has it as a problem
            continue
        fill = entry.fill or manifest.defaults.fill
        if preset.fill_min is not None and fill < preset.fill_min:
            does = "refuses" if preset.severity_of("fill") == "refuse" else "warns of"
            rule = f"{entry.preset} {does} products that span less than {preset.fill_min:g} of the frame"
            remedy = f"Give this entry fill: {fill_for(preset):g}; it then has a picture of its own."
            yield problem(None, None, f"deliver.{at}.fill", fill, rule, remedy, "preset_unmet")
        shadow = (entry.shadow or manifest.defaults.shadow).mode
        if entry.scene is not None and demands_white(preset) and shadow != "none":
            rule = f"{entry.preset} refuses shadows, because the background must be exactly white"
            remedy = "Give this entry shadow: {mode: none}; it then has a picture of its own."
            yield problem(None, None, f"deliver.{at}.shadow", shadow, rule, remedy, "preset_unmet")


def _templates(manifest: Manifest, problems: list[RowProblem]) -> dict[int, NameTemplate]:
    """The templates of the entries, by place. One that is refused is a problem, and has no names to check."""
    found = {}
    for at, entry in enumerate(manifest.deliver):
        try:
            found[at] = parse_template(entry.name, [axis.name for axis in manifest.axes])
        except BadInput as error:
            problems.append(refused(error, None, None, f"deliver.{at}.name", entry.name))
    return found


def files_of(
    manifest: Manifest, wanted: Mapping[Variant, Sequence[int]], item: Item
) -> Iterator[tuple[int, Variant, dict[str, str | int]]]:
    """(place of the `deliver` entry, variant, values of its name) of every file of a row, in a fixed order."""
    for at, entry in enumerate(manifest.deliver):
        n = 0
        for variant, entries in wanted.items():
            if at in entries:
                for view, _ in item.views():
                    n += 1
                    yield at, variant, file_values(item, variant, entry, view, n)


def _name_problems(
    manifest: Manifest,
    templates: Mapping[int, NameTemplate],
    wanted: Mapping[Variant, Sequence[int]],
    item: Item,
    row: int,
    names: dict[tuple[str, str], int],
) -> Iterator[RowProblem]:
    """Names that cannot be made, and names that another file has in the same folder of the archive.

    `names` has the row of every name so far, by folder and collision key.
    """
    for at, _, values in files_of(manifest, wanted, item):
        template = templates.get(at)
        if template is None:
            continue
        column = f"deliver.{at}.name"
        try:
            name = template.render({**LATE_VALUES, **values})
        except BadInput as error:
            yield refused(error, row, item.sku, column, template.text)
            return
        if "image_id" in template.fields:
            continue
        place = (collision_key(archive_folder(manifest.deliver[at].to)), collision_key(name))
        if place in names:
            rule = f"two files may not have one name, row {names[place]} makes it too"
            yield problem(row, item.sku, column, name, rule, "Add fields, such as {sku}, {scene} or {n:02}.")
        else:
            names[place] = row
