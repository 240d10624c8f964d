"""Write out the styles and adapters of a manifest: found once, when it is planned, so that all its rows keep them.

Read ──defaults, axes, items──> styles with palette and light, adapters with the hash of their file, or problems
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from packshot.api.adapting import found_adapters
from packshot.api.services import Services
from packshot.api.styling import styled_look
from packshot.catalogue.looks import adapters_of_scene
from packshot.catalogue.manifest import Read
from packshot.catalogue.plan import combinations
from packshot.catalogue.sheet import problem, refused
from packshot.contract.adapters import AdapterIn, each_adapter_once
from packshot.contract.catalogue import Axis, Item, Look, Manifest, RowProblem
from packshot.contract.engines import EngineInfo
from packshot.contract.shot_style import ShotStyleIn
from packshot.errors import BadInput, NotFound, PackshotError

__all__ = ["written_looks"]


@dataclass
class _Found:
    """What was found for each style and list of adapters, by their text, because rows often share them."""

    services: Services
    tenant_id: str
    engine: EngineInfo
    prompts: Sequence[str]
    look: Look
    known: dict[str, tuple[ShotStyleIn | None, list[AdapterIn]] | PackshotError] = field(default_factory=dict)

    async def of(
        self, style: ShotStyleIn | None, adapters: Sequence[AdapterIn] | None
    ) -> tuple[ShotStyleIn | None, list[AdapterIn]]:
        """The style and the adapters, written out. A stored style gives its adapters where none are named.

        Raises NotFound and BadInput as `styled_look` and `found_adapters` do.
        """
        key = f"{style.model_dump_json() if style else ''} {adapters and [one.model_dump_json() for one in adapters]}"
        if key not in self.known:
            try:
                self.known[key] = await self._find(style, adapters)
            except (BadInput, NotFound) as error:
                self.known[key] = error
        found = self.known[key]
        if isinstance(found, PackshotError):
            raise found
        return found

    async def _find(
        self, style: ShotStyleIn | None, adapters: Sequence[AdapterIn] | None
    ) -> tuple[ShotStyleIn | None, list[AdapterIn]]:
        asked = list(adapters or ())
        if style is not None:
            own = Look(style=style, light=self.look.light)
            styled = await styled_look(self.services, self.tenant_id, own, self.engine, self.prompts)
            if styled.style is None:
                rule = "a style must have a part that can be served here, got none"
                raise BadInput("style_refused", f"{rule}; give it a palette, or leave it out")
            style, asked = styled.style, asked if adapters is not None else styled.adapters
        return style, await found_adapters(self.services, self.tenant_id, asked, self.engine)


async def written_looks(
    services: Services, tenant_id: str, read: Read, engine: EngineInfo, prompts: Sequence[str]
) -> Read:
    """The manifest with the styles and adapters of its defaults, axes and items written out.

    What is refused is a problem, and is left out. `prompts` are those of all scenes.
    """
    if read.manifest is None:
        return read
    manifest, problems = read.manifest, list(read.problems)
    defaults = await _defaults(services, tenant_id, manifest.defaults, engine, prompts, problems)
    found = _Found(services, tenant_id, engine, prompts, defaults)
    axes = [await _axis(found, axis, problems) for axis in manifest.axes]
    manifest = manifest.model_copy(update={"defaults": defaults, "axes": axes})
    problems += _crowded(manifest, engine)
    if any(item.style is not None or item.adapters for item in manifest.items):
        pairs = zip(manifest.items, read.rows, strict=True)
        items = [await _item(found, item, row, problems) for item, row in pairs]
        manifest = manifest.model_copy(update={"items": items})
    return replace(read, manifest=manifest, problems=sorted(problems, key=lambda one: one.row or 0))


async def _defaults(
    services: Services,
    tenant_id: str,
    look: Look,
    engine: EngineInfo,
    prompts: Sequence[str],
    problems: list[RowProblem],
) -> Look:
    """The defaults, for which a stored style also gives its words and its shadow."""
    if look.style is not None:
        try:
            look = await styled_look(services, tenant_id, look, engine, prompts)
        except (BadInput, NotFound) as error:
            problems.append(refused(error, None, None, "defaults.style", (look.style and look.style.style_id) or ""))
            look = look.model_copy(update={"style": None})
    if look.adapters:
        try:
            adapters = await found_adapters(services, tenant_id, look.adapters, engine)
        except (BadInput, NotFound) as error:
            adapters = []
            problems.append(refused(error, None, None, "defaults.adapters", _ids(look.adapters)))
        look = look.model_copy(update={"adapters": adapters})
    return look


async def _axis(found: _Found, axis: Axis, problems: list[RowProblem]) -> Axis:
    """The axis with the styles and adapters of its values. A style's adapters become those of its value."""
    styles, adapters = dict(axis.styles), dict(axis.adapters)
    for value in dict.fromkeys((*styles, *adapters)):
        note = _note_of(problems, f"axes.{axis.name}", value)
        style, used = await _either(found, styles.get(value), adapters.get(value), note)
        styles.pop(value, None)
        adapters.pop(value, None)
        if style is not None:
            styles[value] = style
        if used or value in axis.adapters:
            adapters[value] = used
    return axis.model_copy(update={"styles": styles, "adapters": adapters})


async def _item(found: _Found, item: Item, row: int, problems: list[RowProblem]) -> Item:
    """The item with its style and its adapters. A style's adapters become the item's, unless it names its own."""
    if item.style is None and not item.adapters:
        return item

    def note(column: str, value: str, error: PackshotError) -> None:
        problems.append(refused(error, row, item.sku, column, value))

    style, adapters = await _either(found, item.style, item.adapters, note)
    own = adapters if adapters or item.adapters is not None else None
    return item.model_copy(update={"style": style, "adapters": own})


def _note_of(problems: list[RowProblem], axis: str, value: str) -> Callable[[str, str, PackshotError], None]:
    """What notes the refusal of an axis's value among the problems."""

    def note(column: str, text: str, error: PackshotError) -> None:
        name = "styles" if column == "style" else column
        problems.append(refused(error, None, None, f"{axis}.{name}.{value}", text))

    return note


async def _either(
    found: _Found,
    style: ShotStyleIn | None,
    adapters: list[AdapterIn] | None,
    note: Callable[[str, str, PackshotError], None],
) -> tuple[ShotStyleIn | None, list[AdapterIn]]:
    """The style and the adapters, each found alone, so that a refusal names the one that it is about."""
    used: list[AdapterIn] = []
    if adapters:
        try:
            used = (await found.of(None, adapters))[1]
        except (BadInput, NotFound) as error:
            note("adapters", _ids(adapters), error)
    if style is not None:
        try:
            style, of_style = await found.of(style, [] if adapters is not None else None)
            used = used or of_style
        except (BadInput, NotFound) as error:
            note("style", style.style_id or "" if style else "", error)
            style = None
    return style, used


def _crowded(manifest: Manifest, engine: EngineInfo) -> list[RowProblem]:
    """Scenes whose axes have more adapters together than the engine takes, or one adapter twice."""
    try:
        scenes = combinations(manifest.axes)
    except BadInput:  # the plan has it as a problem
        return []
    problems, seen = [], set[str]()
    for scene in scenes:
        adapters = adapters_of_scene(manifest.axes, scene) or []
        rule = ""
        if len(adapters) > engine.capabilities.adapters:
            rule = f"a scene may have at most {engine.capabilities.adapters} adapters over all its axes"
        try:
            each_adapter_once(adapters)
        except ValueError:
            rule = "a scene may have an adapter once over all its axes"
        if rule and rule not in seen:
            seen.add(rule)
            column, remedy = f"axes.{scene.name}", "Name fewer, or name them for one axis alone."
            problems.append(problem(None, None, column, _ids(adapters), rule, remedy))
    return problems


def _ids(adapters: Sequence[AdapterIn]) -> str:
    return ", ".join(one.id for one in adapters)
