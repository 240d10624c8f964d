"""The verdict of an image's inspection, and its findings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from packshot.contract.product import ProductSource

Level = Literal["ok", "warning", "failed"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "failed")
"""The levels, best first."""

MAX_ENLARGEMENT = 2.0
"""Pixels that are enlarged by more than this factor look soft. Inspection warns, and delivery enlarges no further."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    `check` is the check's name, and `detail` is a sentence that describes the result. `value` is the number that the
    check measured, or None. `box` is the place in the picture, XYXY as shares of its width and height; None = the
    whole picture.
    """

    check: str
    level: Level
    detail: str
    value: float | None = None
    box: tuple[float, float, float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON. `box` is left out where there is none."""
        return {key: value for key, value in asdict(self).items() if key != "box" or value is not None}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Finding:
        """The finding of `to_json`'s form."""
        box = stored.get("box")
        return cls(**{**stored, "box": box and (box[0], box[1], box[2], box[3])})


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What was measured in an image, to compare the images of a set.

    `box` is the product's box, XYXY as shares of the width and height, so `box[3]` is the height on which it stands.
    `background_lab` is the mean colour of the background in CIE L*a*b*; None = there is none, or it is transparent.
    `sharpness` is that of a generated scene (`packshot.verdict.measures`). `shadow_deg` is where the shadow falls on
    the canvas, degrees clockwise from up; None = no shadow that has a direction.
    """

    box: tuple[float, float, float, float]
    background_lab: tuple[float, float, float] | None = None
    sharpness: float | None = None
    shadow_deg: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The measures as JSON, rounded to what can be seen."""
        return {
            "box": [round(side, 5) for side in self.box],
            "background_lab": self.background_lab and [round(value, 2) for value in self.background_lab],
            "sharpness": self.sharpness and round(self.sharpness, 4),
            "shadow_deg": self.shadow_deg and round(self.shadow_deg, 1),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Measures:
        """The measures of `to_json`'s form."""
        x0, y0, x1, y1 = stored["box"]
        colour = stored["background_lab"]
        return cls(
            box=(x0, y0, x1, y1),
            background_lab=colour and (colour[0], colour[1], colour[2]),
            sharpness=stored["sharpness"],
            shadow_deg=stored["shadow_deg"],
        )


@dataclass(frozen=True)
class Verdict:
    """All findings about an image. `level` is the worst level of all findings, or `ok` without findings.

    `measures` is None without a visible product, and for an image that was made before they were measured. `product`
    says whose product the image shows; the lock does not apply to a generated one.
    """

    findings: tuple[Finding, ...] = ()
    measures: Measures | None = None
    product: ProductSource = "locked"

    @property
    def level(self) -> Level:
        return max((finding.level for finding in self.findings), key=LEVELS.index, default="ok")

    @property
    def worth(self) -> tuple[int, int, float]:
        """What to compare with another picture's of the shot; the better one is greater.

        First the level counts, then how few findings have it, then the scene's sharpness.
        """
        level = self.level
        as_bad = sum(finding.level == level for finding in self.findings) if level != "ok" else 0
        sharpness = self.measures.sharpness if self.measures else None
        return -LEVELS.index(level), -as_bad, sharpness or 0.0

    def level_of(self, check: str) -> Level | None:
        """The worst level of the findings of one check; None when it has none."""
        return max((one.level for one in self.findings if one.check == check), key=LEVELS.index, default=None)

    def with_findings(self, *more: Finding) -> Verdict:
        """The verdict with further findings, which come last."""
        return replace(self, findings=(*self.findings, *more))

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON, in the form that the store keeps and the API returns."""
        measured = {"measures": self.measures.to_json()} if self.measures else {}
        generated = {"product": self.product} if self.product == "generated" else {}
        findings = [finding.to_json() for finding in self.findings]
        return {"level": self.level, "findings": findings, **measured, **generated}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Verdict:
        """The verdict of `to_json`'s form.

        Earlier versions wrote no `product`. They said by a lock that only warns that it does not apply.
        """
        measured = stored.get("measures")
        findings = tuple(Finding.from_json(finding) for finding in stored.get("findings", ()))
        unproven = any(one.check == "lock" and one.level == "warning" for one in findings)
        return cls(
            findings,
            Measures.from_json(measured) if measured else None,
            stored.get("product", "generated" if unproven else "locked"),
        )
