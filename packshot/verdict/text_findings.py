"""The findings about a product's text: one for each line that differs or that nothing is proven of."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from packshot.contract.proof import TEXT_CHECK
from packshot.contract.verdict import Finding
from packshot.verdict.letters import compare, holds
from packshot.verdict.text import Fate, LineProof

__all__ = ["text_findings"]

MOST = 20
"""Findings of one level; the last one counts the others."""
SHOWN_CHARS = 60
REMEDY = "redo the picture, touch it up, or approve it after reading it"
FAILED: tuple[Fate, ...] = ("changed", "added", "mirrored")


def text_findings(
    proofs: Sequence[LineProof], size: tuple[int, int], must_read: Collection[str] = (), *, against: str = "photo"
) -> tuple[Finding, ...]:
    """The findings about the lines of a picture of `size` (width, height) pixels.

    `must_read` are words that one of its lines must show. `against` is what the lines were compared with: the photo or
    the master. A finding's value is the character error rate of a changed line, and else the height of the line in
    pixels.
    """
    failed = [_failed(proof, size, against) for proof in proofs if proof.fate in FAILED]
    failed += [_missing(word, against) for word in must_read if not any(_shows(proof, word) for proof in proofs)]
    unproven = [_unproven(proof, size) for proof in proofs if proof.fate in ("unreadable", "hidden")]
    same = sum(proof.fate == "same" for proof in proofs)
    if failed or unproven:
        return (*_at_most(failed), *_at_most(unproven))
    if not same:
        return (Finding(TEXT_CHECK, "ok", f"no text was found on the product, in the {against} or in the picture", 0),)
    lines = "the one line" if same == 1 else f"all {same} lines"
    return (Finding(TEXT_CHECK, "ok", f"{lines} of the product's text say the same as in the {against}", same),)


def _failed(proof: LineProof, size: tuple[int, int], against: str) -> Finding:
    box = _box(proof, size)
    expected, found = proof.expected[:SHOWN_CHARS], proof.found[:SHOWN_CHARS]
    if proof.fate == "mirrored":
        detail = f"the line {expected!r} is mirrored, because its layer is; remove the flip"
        return Finding(TEXT_CHECK, "failed", detail, round(proof.height_px, 1), box)
    deviation = compare(proof.expected, proof.found)
    if proof.fate == "added" or not expected:
        detail = f"the picture has a line that the {against} does not have: {found!r}; {REMEDY}"
    else:
        detail = f"the {against} says {expected!r} where the picture says {found!r}; {REMEDY}"
    return Finding(TEXT_CHECK, "failed", detail, round(deviation.cer, 3) if deviation else None, box)


def _missing(word: str, against: str) -> Finding:
    rule = f"must_read words must be readable in the picture, and {word[:SHOWN_CHARS]!r} is not"
    detail = f"{rule}; show it larger, or correct must_read if the {against} says something else"
    return Finding(TEXT_CHECK, "failed", detail)


def _unproven(proof: LineProof, size: tuple[int, int]) -> Finding:
    said = proof.expected or proof.found
    named = f"the line {said[:SHOWN_CHARS]!r}" if said else "a line"
    what = "is not proven" if proof.fate == "hidden" else "is unreadable"
    remedy = "show the product larger, or read it yourself"
    detail = f"{named} {what}, {proof.height_px:.0f} px high: {proof.why}; {remedy}"
    return Finding(TEXT_CHECK, "warning", detail, round(proof.height_px, 1), _box(proof, size))


def _shows(proof: LineProof, word: str) -> bool:
    """Whether a line that is in front and not mirrored shows a word."""
    return proof.fate in ("same", "changed", "added") and holds(proof.found, word)


def _at_most(findings: Sequence[Finding]) -> list[Finding]:
    if len(findings) <= MOST:
        return list(findings)
    rest = len(findings) - (MOST - 1)
    return [*findings[: MOST - 1], Finding(TEXT_CHECK, findings[0].level, f"{rest} more lines are like these", rest)]


def _box(proof: LineProof, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The line's box as shares of the picture's sides, clipped to it."""
    (x0, y0), (x1, y1) = proof.quad.min(axis=0), proof.quad.max(axis=0)
    shares = (x0 / size[0], y0 / size[1], x1 / size[0], y1 / size[1])
    left, top, right, bottom = (round(min(1.0, max(0.0, float(share))), 4) for share in shares)
    return left, top, right, bottom
