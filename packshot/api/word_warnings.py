"""Warnings of a dry run about words: those of `find` that the detector ignores, and of prompts that the engine lacks.

manifest ──find──> Graph.read_words ──┐
manifest ──prompts──> Graph.read_prompt ──┴──> warnings
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packshot.api.graph import Graph
from packshot.api.services import Services
from packshot.api.word_masks import reading_notes
from packshot.catalogue.looks import pictures_of
from packshot.catalogue.sheet import problem
from packshot.contract.answers import NoteAnswer
from packshot.contract.catalogue import Manifest, RowProblem
from packshot.models.engines.prompt_words import PromptReading
from packshot.store.adapters import AdapterRecord

__all__ = ["ignored_words", "prompt_reading"]

IDS_A_QUERY = 500
"""How many adapters one query names."""


def prompt_reading(graph: Graph, engine: str, prompt: str, adapters: Sequence[AdapterRecord] = ()) -> PromptReading:
    """How an engine with adapters would read a prompt."""
    triggers = {one.trigger for one in adapters if one.trigger}
    learned = {one.trigger for one in adapters if one.kind == "inversion"}
    return graph.read_prompt(engine, prompt, triggers, learned)


def ignored_words(
    services: Services,
    tenant_id: str,
    manifest: Manifest,
    rows: Sequence[int],
    engine: str,
    prompts: Sequence[tuple[str, str]],
) -> Iterator[RowProblem]:
    """A warning for each place whose words would be ignored. They refuse nothing.

    `prompts` are (column, text) of the scenes' whole prompts. The triggers of all the manifest's adapters count as
    known in each scene.
    """
    yield from _of_prompts(services, tenant_id, manifest, engine, prompts)
    if services.graph.finds_words:
        yield from _of_find(services.graph, manifest, rows)


def _of_prompts(
    services: Services, tenant_id: str, manifest: Manifest, engine: str, prompts: Sequence[tuple[str, str]]
) -> Iterator[RowProblem]:
    """Unknown words are reported once, where they are written; a note on a whole prompt, at its scene."""
    if not manifest.axes:
        return  # nothing is painted
    ids = [one for one in dict.fromkeys(pictures_of(manifest)) if one.startswith("ad_")]
    adapters: list[AdapterRecord] = []
    for begin in range(0, len(ids), IDS_A_QUERY):
        adapters += services.store.adapters.of_shot(tenant_id, ids[begin : begin + IDS_A_QUERY])
    look = manifest.defaults
    parts = [("defaults.prompt", look.prompt), ("defaults.negative_prompt", look.negative_prompt)]
    parts += [
        (f"axes.{axis.name}.values.{value}", words) for axis in manifest.axes for value, words in axis.values.items()
    ]
    for places, of_parts in ((parts, True), (prompts, False)):
        for column, text in places:
            for code, sentence in prompt_reading(services.graph, engine, text, adapters).notes:
                if (code == "words_ignored") is of_parts:
                    rule, _, remedy = sentence.partition("; ")
                    yield problem(None, None, column, text, rule, f"{remedy[:1].upper()}{remedy[1:]}.", code)


def _of_find(graph: Graph, manifest: Manifest, rows: Sequence[int]) -> Iterator[RowProblem]:
    """Words that the detector would ignore, or of which it knows none."""
    notes: dict[str, list[NoteAnswer]] = {}
    places: list[tuple[int | None, str | None, str, str | None]] = [
        (None, None, "defaults.find", manifest.defaults.find)
    ]
    places += [(row, item.sku, "find", item.find) for item, row in zip(manifest.items, rows, strict=True)]
    for row, sku, column, text in places:
        if text is None:
            continue
        if text not in notes:
            notes[text] = reading_notes(text.strip(), *graph.read_words(text))
        for note in notes[text]:
            remedy = "Name its kind in English, such as mug or bottle, or mark the product yourself."
            yield problem(row, sku, column, text, note.detail.partition(";")[0], remedy, note.code)
