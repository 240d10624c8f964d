"""From words to masks: what the detector finds in a photo, each cut by the segmenter. Requests and catalogues share it.

Words ──Graph.find──> Detections ──in the boxes, under the points──> Graph.segment, box by box ──> masks, best first
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from packshot.api.graph import Graph, Segmented
from packshot.api.services import in_thread
from packshot.contract.answers import FoundAnswer, FoundBox, NoteAnswer, WordsAnswer
from packshot.errors import BadInput
from packshot.store.records import MaskRecord, NewMask, PhotoRecord
from packshot.store.store import Store
from packshot.types import BoxXYXY, Detection, Found, Prompts, Words

__all__ = ["NOT_SERVED", "Named", "named", "reading_notes"]

NOT_SERVED = (
    "words can mark a product only where the pack has the role detector, and it has none; mark the product with points "
    "or a box"
)
INSIDE = 0.8
"""The share of a detection that lies in a request's box, if the detection counts as inside."""
OWN_IOU = 0.5
"""A detection that overlaps the box of the upload's own alpha more is cut by it."""
SHOWN_CHARS, WORDS_NAMED = 80, 8
"""How many characters of a request's words a sentence repeats, and how many ignored words it names."""


@dataclass(frozen=True)
class Named:
    """What words name in a photo. Each product has its detection and its mask, best first.

    A mask is new, or it is the record of the upload's own alpha. `notes` say what was ignored, and why nothing was
    found. `timing_ms` has the milliseconds of `find` and of the segmenter's parts.
    """

    words: Words
    found: Found
    products: tuple[tuple[Detection, NewMask | MaskRecord], ...]
    notes: tuple[NoteAnswer, ...]
    timing_ms: dict[str, float]

    def answer(self, masks: Sequence[MaskRecord]) -> FoundAnswer:
        """What the API says about it. `masks` are the stored masks of the products, in order."""
        boxes = tuple(
            FoundBox(box=one.box_xyxy, score=one.score, mask_id=mask.id)
            for (one, _), mask in zip(self.products, masks, strict=True)
        )
        return FoundAnswer(boxes=boxes, words=WordsAnswer(**_words_of(self.found)), notes=self.notes)

    async def stored(self, store: Store, photo: PhotoRecord) -> list[MaskRecord]:
        """The masks of the products, in order, the new ones stored."""
        new = [mask for _, mask in self.products if isinstance(mask, NewMask)]
        added = iter(await in_thread(store.masks.add, photo.tenant, photo.id, new) if new else [])
        return [next(added) if isinstance(mask, NewMask) else mask for _, mask in self.products]


def _words_of(found: Found) -> dict[str, tuple[str, ...]]:
    return {"known": found.known, "unknown": found.unknown}


async def named(store: Store, graph: Graph, photo: PhotoRecord, words: Words, prompts: Prompts) -> Named:
    """Find what the words name and cut it.

    `prompts.boxes` say where to look, and the product's points lie on it; both are optional. Without
    `prompts.multimask` only the likeliest product is cut. Raises BadInput `not_served` when no detector is served.
    """
    if not graph.finds_words:
        raise BadInput("not_served", NOT_SERVED)
    started_at = time.perf_counter()
    found = await graph.find(photo, words)
    timing_ms = {"find": (time.perf_counter() - started_at) * 1000}
    fit = [one for one in found.detections if _is_where(one, prompts)]
    own = await in_thread(store.masks.own_alpha, photo.tenant, photo.id)

    async def cut(one: Detection) -> NewMask | MaskRecord | None:
        if own is not None and _iou(one.box_xyxy, own.bbox_xyxy) > OWN_IOU:
            return own
        at = Prompts(points=prompts.points, boxes=(one.box_xyxy,), multimask=False)
        made: Segmented = await graph.segment(photo, at, None)
        timing_ms.update({part: max(ms, timing_ms.get(part, 0.0)) for part, ms in made.timing_ms.items()})
        best = made.masks[0] if made.masks else None
        return replace(best, source="text") if best is not None and best.area_px else None

    wanted = fit if prompts.multimask else fit[:1]
    masks = await asyncio.gather(*map(cut, wanted))
    products = [(one, mask) for one, mask in zip(wanted, masks, strict=True) if mask is not None]
    kept = tuple(pair for nth, pair in enumerate(products) if pair[1] is not own or _first(products, own) == nth)
    count = len(fit) - len(wanted) + len(kept)
    return Named(words, found, kept, tuple(_notes(words, found, count)), timing_ms)


def _first(products: Sequence[tuple[Detection, NewMask | MaskRecord]], mask: MaskRecord | None) -> int:
    return next(nth for nth, (_, other) in enumerate(products) if other is mask)


def _is_where(one: Detection, prompts: Prompts) -> bool:
    """Whether a detection lies in one of the boxes, if there are any, and around the product's points."""
    x0, y0, x1, y1 = one.box_xyxy
    area = (x1 - x0) * (y1 - y0)
    if prompts.boxes and max(_both(one.box_xyxy, box) for box in prompts.boxes) < INSIDE * area:
        return False
    return all(x0 <= x < x1 and y0 <= y < y1 for x, y, label in prompts.points if label == 1)


def reading_notes(text: str, known: Sequence[str], unknown: Sequence[str]) -> list[NoteAnswer]:
    """What a person should know about how a search's words are read: one note, or none when all are known."""
    if not known:
        rule = f"the words must name a product that the detector knows, got {_shown(text)!r}"
        detail = f"{rule}; name its kind in English, such as mug or bottle"
        return [NoteAnswer(code="no_known_word", detail=detail)]
    if not unknown:
        return []
    ignored = ", ".join(word[:24] for word in unknown[:WORDS_NAMED])
    more = "" if len(unknown) <= WORDS_NAMED else f" and {len(unknown) - WORDS_NAMED} more"
    return [NoteAnswer(code="words_ignored", detail=f"unknown words were ignored: {ignored}{more}")]


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"


def _notes(words: Words, found: Found, count: int) -> list[NoteAnswer]:
    """What a person should know about a search with `count` answers."""
    notes = reading_notes(words.text, found.known, found.unknown)
    if not found.known:
        return notes
    if count == 0:
        where = " where the box or the points say" if found.detections else ""
        unlike = f" and not {words.not_text[:SHOWN_CHARS]!r}" if words.not_text else ""
        rule = f"nothing in the photo is {_shown(words.text)!r}{unlike}{where}"
        detail = f"{rule}; use other words, or mark it with a click or a box"
        notes.append(NoteAnswer(code="not_found", detail=detail))
    if count > 1:
        detail = f"{count} products fit the words, the likeliest first; say more, or choose one by a click or a box"
        notes.append(NoteAnswer(code="several_found", detail=detail))
    return notes


def _both(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    return width * height


def _iou(a: Sequence[float], b: BoxXYXY) -> float:
    both = _both(a, b)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return both / max(areas - both, 1e-9)
