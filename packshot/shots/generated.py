"""Finish a picture whose product the engine painted: there is no layout to composite, and none to compare with."""

from __future__ import annotations

import time
from dataclasses import replace

from packshot.contract.shot_spec import Canvas
from packshot.imaging.codec import encode_png
from packshot.imaging.composite import enlarge
from packshot.imaging.fingerprint import fingerprint_of
from packshot.shots.stages import Finished, Painted, Prepared
from packshot.shots.touchup import unlocked
from packshot.types import Framing
from packshot.verdict.inspect import framing_finding, inspect

__all__ = ["finish_generated"]

OF_THE_PICTURE = ("lock", "enlargement", "scene")
"""The checks that need no place of the product."""


def finish_generated(prepared: Prepared, painted: Painted) -> Finished:
    """Inspect and encode the engine's picture as it is. Its verdict says `product: generated`."""
    started_at = time.perf_counter()
    height, width = prepared.flat.alpha.shape
    render = painted.render.pixels
    framing = prepared.framing or Framing.of_whole(*render.shape[1::-1])
    picture = enlarge(render, Canvas(width, height), framing)
    scene_by = framing.enlargement((width, height))
    enlarged_by = scene_by * framing.size[0] / render.shape[1]
    verdict = inspect(prepared.flat, picture, enlarged_by=enlarged_by, generated=True, scene_by=scene_by)
    verdict = unlocked(verdict, locked=False)
    findings = [one for one in verdict.findings if one.check in OF_THE_PICTURE]
    findings += [framing_finding(framing, (width, height)), *painted.render.findings]
    png, found = encode_png(picture), fingerprint_of(picture)
    finish_ms = (time.perf_counter() - started_at) * 1000
    return Finished(png, width, height, replace(verdict, findings=tuple(findings)), finish_ms, fingerprint=found)
