"""The options of `packshot shoot` that describe the picture, and the shot request that they make.

An option that is not given is left out of the request, so that the server's default holds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, Required, TypedDict

from packshot.cli.poses import read_people
from packshot.errors import BadInput

if TYPE_CHECKING:
    from packshot.delivery.presets import Preset

__all__ = [
    "Layout",
    "Marks",
    "given",
    "layout_for",
    "read_adapters",
    "read_conditions",
    "read_layout",
    "read_marks",
    "read_proof",
    "read_reflection",
    "read_relight",
    "read_retry",
    "read_shadow",
    "read_size",
    "read_style",
    "shadow_for",
]


@dataclass(frozen=True)
class Marks:
    """What marks the product in a photo: words, points (x, y, label), boxes XYXY, or a mask's path. Photo pixels.

    `find` names the product, and `find_not` what it is not; then boxes and points say where it is. `mask` is a PNG, or
    a folder that holds one PNG with each photo's name.
    """

    points: tuple[tuple[float, float, int], ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    mask: Path | None = None
    find: str | None = None
    find_not: str | None = None


@dataclass(frozen=True)
class LayoutLayer:
    """A layer of a layout file. `place` is what the API takes: x, y, scale, rotation_deg, flip.

    Its product is the mask `mask_id` of the server, the photo `photo` with its `marks`, or the photo of the command
    line.
    """

    place: dict[str, Any]
    mask_id: str | None = None
    photo: Path | None = None
    marks: Marks = field(default_factory=Marks)

    @property
    def of_the_photo(self) -> bool:
        """Whether the layer's product is the photo that the command line names."""
        return self.mask_id is None and self.photo is None


@dataclass(frozen=True)
class Layout:
    """The layers of a shot, in painting order. `canvas` is the pictures' size; None leaves it to `--canvas`."""

    layers: tuple[LayoutLayer, ...] = (LayoutLayer({}),)
    canvas: dict[str, Any] | None = None

    @property
    def needs_photo(self) -> bool:
        """Whether a layer's product is the photo that the command line names."""
        return any(layer.of_the_photo for layer in self.layers)


def layout_for(presets: Sequence[str], canvas: Mapping[str, int] | None) -> Layout:
    """The layout without `--layout`: one product, large enough for the channels that demand a share of the frame.

    On a canvas that is not square the server's default scale holds, because a larger product might be cut.
    """
    from packshot.delivery.presets import fill_for

    fill = max((fill_for(one) for one in _known(presets)), default=0.0)
    square = canvas is None or canvas["width"] == canvas["height"]
    return Layout((LayoutLayer({"scale": fill}),)) if fill and square else Layout()


def shadow_for(presets: Sequence[str], background: str) -> str | None:
    """The shadow without `--shadow`: none on a white background that a channel wants exactly white."""
    from packshot.delivery.presets import demands_white

    return "none" if background == "white" and any(map(demands_white, _known(presets))) else None


def _known(presets: Sequence[str]) -> list[Preset]:
    """The presets of these names. Names that only the server may know are left out."""
    from packshot.delivery import presets as channels

    return [one for one in channels.presets() if one.name in presets]


def read_layout(text: str) -> Layout:
    """Read `--layout`: a JSON file's path, `-` for stdin, or the JSON itself, as the studio writes it.

    The JSON has `layers`, and may have `canvas` {width, height}. A layer has the API's fields x, y, scale,
    rotation_deg and flip. Its product is `mask_id`, or `photo` (a path beside the file) with `mask`, `find`, `boxes`
    or `points`, or without both the photo of the command line. Raises BadInput `bad_usage`.
    """
    folder = Path()
    if text.lstrip().startswith("{"):
        raw = text
    elif text == "-":
        raw = sys.stdin.read()
    else:
        path = Path(text)
        try:
            raw, folder = path.read_text("utf-8"), path.parent
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput("bad_usage", f"--layout must be a JSON file, got {text!r}: {error}") from error
    try:
        read = json.loads(raw)
        layers = tuple(_layer(layer, folder) for layer in read["layers"])
    except json.JSONDecodeError as error:
        raise BadInput(
            "bad_usage", f"--layout must be JSON, got an error at line {error.lineno}: {error.msg}"
        ) from error
    except (TypeError, KeyError, ValueError) as error:
        rule = "--layout must be an object with a list `layers` of objects, as docs/operator.md shows"
        raise BadInput("bad_usage", f"{rule}; got {type(error).__name__}: {error}") from error
    if not layers:
        raise BadInput("bad_usage", "--layout must have at least one layer, got none")
    return Layout(layers, read.get("canvas"))


def _layer(layer: Mapping[str, Any], folder: Path) -> LayoutLayer:
    place = dict(layer)
    mask_id, photo, mask = place.pop("mask_id", None), place.pop("photo", None), place.pop("mask", None)
    points = tuple((float(x), float(y), int(label[0]) if label else 1) for x, y, *label in place.pop("points", ()))
    boxes = tuple((float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in place.pop("boxes", ()))
    words = {name: str(place.pop(name)) for name in ("find", "find_not") if name in place}
    marks = Marks(points, boxes, None if mask is None else folder / mask, **words)
    return LayoutLayer(place, mask_id, None if photo is None else folder / photo, marks)


def read_marks(
    points: Sequence[str],
    boxes: Sequence[str],
    mask: Path | None,
    find: str | None = None,
    find_not: str | None = None,
) -> Marks:
    """Read `--point`, `--box`, `--mask`, `--find` and `--find-not`. Raises BadInput `bad_usage`."""
    if mask is not None and (boxes or points or find is not None):
        raise BadInput("bad_usage", "--mask PNG replaces --find, --box and --point, got both; leave one out")
    if find_not is not None and find is None:
        raise BadInput("bad_usage", "--find-not must come with --find, got --find-not alone; name what to look for")
    if mask is not None and not mask.exists():
        raise BadInput("bad_usage", f"--mask must be a PNG file or a folder of them, got {str(mask)!r}; check the path")
    read_points = tuple(
        (x, y, int(label[0]) if label else 1)
        for x, y, *label in (_numbers(text, (2, 3), "--point X,Y or X,Y,0") for text in points)
    )
    read_boxes = tuple(
        (x0, y0, x1, y1) for x0, y0, x1, y1 in (_numbers(text, (4,), "--box X0,Y0,X1,Y1") for text in boxes)
    )
    return Marks(read_points, read_boxes, mask, find, find_not)


def _numbers(text: str, counts: tuple[int, ...], form: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts:
        raise BadInput("bad_usage", f"{form} must be {counts[0]} numbers separated by commas, got {text!r}")
    return numbers


def read_size(text: str) -> dict[str, int]:
    """Read `--canvas`. Raises BadInput `bad_usage`."""
    width, _, height = text.lower().partition("x")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise BadInput("bad_usage", f"--canvas must be WIDTHxHEIGHT in pixels, such as 1024x1024, got {text!r}")
    return {"width": int(width), "height": int(height)}


class ConditionFields(TypedDict, total=False):
    """A condition of a request, as far as the option gives it. The server has the defaults."""

    kind: Required[str]
    scale: float
    start: float
    end: float
    people: list[list[list[float] | None]]


class AdapterFields(TypedDict):
    """An adapter of a request: its id, and its weight where the option gives one."""

    id: str
    scale: NotRequired[float]


def read_conditions(texts: Sequence[str], pose: Path | None = None) -> list[ConditionFields] | None:
    """Read `--condition`: KIND, KIND=SCALE or KIND=SCALE,START,END. The server knows which kinds there are.

    `pose` is the file of `--pose`, whose people are those of the condition pose. None without any. Raises BadInput
    `bad_usage`.
    """
    found = [_condition(text) for text in texts]
    if pose is not None:
        own = next((one for one in found if one["kind"] == "pose"), ConditionFields(kind="pose"))
        found = [*(one for one in found if one is not own), {**own, "people": read_people(pose)}]
    return found or None


def read_adapters(texts: Sequence[str]) -> list[AdapterFields] | None:
    """Read `--adapter`: ID or ID:SCALE. None without any. Raises BadInput `bad_usage`."""
    return [_adapter(text) for text in texts] or None


def _adapter(text: str) -> AdapterFields:
    name, colon, scale = text.partition(":")
    if not colon:
        return {"id": name}
    (read,) = _numbers(scale, (1,), "--adapter ID:SCALE: what follows the colon")
    return {"id": name, "scale": read}


def _condition(text: str) -> ConditionFields:
    kind, equals, numbers = text.partition("=")
    if not equals:
        return {"kind": kind}
    read = _numbers(numbers, (1, 3), "--condition KIND=SCALE or KIND=SCALE,START,END: what follows the =")
    if len(read) == 1:
        return {"kind": kind, "scale": read[0]}
    scale, start, end = read
    return {"kind": kind, "scale": scale, "start": start, "end": end}


def read_shadow(text: str | None, direction_deg: float | None) -> str | dict[str, Any] | None:
    """Read `--shadow` (a kind, or the API's JSON) and `--shadow-direction`, which asks for a cast shadow.

    Raises BadInput `bad_usage`.
    """
    if direction_deg is None:
        return _json_object(text, "--shadow") if text is not None and text.lstrip().startswith("{") else text
    if text not in (None, "cast"):
        raise BadInput("bad_usage", f"--shadow-direction needs --shadow cast, got {text!r}; leave one of them out")
    return {"mode": "cast", "direction_deg": direction_deg}


def read_reflection(text: str | None) -> dict[str, Any] | None:
    """Read `--reflection`: its strength 0 to 1, or the API's JSON. Raises BadInput `bad_usage`."""
    return _share_or_json(text, "--reflection", "strength")


def read_relight(text: str | None) -> dict[str, Any] | None:
    """Read `--relight`: its amount 0 to 1, or the API's JSON. Raises BadInput `bad_usage`."""
    return _share_or_json(text, "--relight", "amount")


def read_retry(text: str | None) -> dict[str, Any] | None:
    """Read `--retry`: how often, then the findings after a colon; or the API's JSON. Raises BadInput `bad_usage`."""
    if text is None:
        return None
    if text.lstrip().startswith("{"):
        return _json_object(text, "--retry")
    times, _, findings = text.partition(":")
    try:
        most = int(times)
    except ValueError as error:
        rule = f"--retry must be a number, and findings after a colon, got {text!r}"
        raise BadInput("bad_usage", f"{rule}; such as 2, or 2:floating,hallucination") from error
    named = [one.strip() for one in findings.split(",") if one.strip()]
    return given(max=most, on=named or None)


def read_proof(proven: bool, must_read: Sequence[str], master: str | None) -> dict[str, Any] | None:
    """Read `--prove-text`, `--must-read` and `--master`, each of which asks for the proof of text.

    `master` is the photo id of an artwork on the server. None without any of them.
    """
    if not proven and not must_read and master is None:
        return None
    return {"text": True, **({"must_read": list(must_read)} if must_read else {}), **given(master=master)}


def read_style(
    style: str | None, references: Sequence[str], palette: str | None, strength: float | None
) -> dict[str, Any] | None:
    """Read `--style` (an id, or the API's JSON), `--palette` (colours) and `--style-strength`.

    `references` are the pictures of `--reference`, which `packshot.cli.references` brings to the server. None without
    any of the four. Raises BadInput `bad_usage`.
    """
    if style is not None and style.lstrip().startswith("{"):
        if references or palette or strength is not None:
            raise BadInput("bad_usage", "--style with JSON says all, got another style option too; leave one out")
        return _json_object(style, "--style")
    if style is not None and references:
        raise BadInput("bad_usage", "--style has its own references, got --reference too; leave one out")
    if style is None and not references and palette is None:
        if strength is not None:
            raise BadInput("bad_usage", "--style-strength needs --style, --reference or --palette, got none; add one")
        return None
    colours = [colour.strip() for colour in palette.split(",")] if palette is not None else None
    return given(style_id=style, palette=colours, strength=strength)


def _share_or_json(text: str | None, option: str, field_name: str) -> dict[str, Any] | None:
    if text is None:
        return None
    if text.lstrip().startswith("{"):
        return _json_object(text, option)
    try:
        return {field_name: float(text)}
    except ValueError as error:
        raise BadInput("bad_usage", f"{option} must be a number 0 to 1, got {text!r}; such as 0.35") from error


def _json_object(text: str, option: str) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(
            "bad_usage", f"{option} must be JSON, got an error at column {error.colno}: {error.msg}"
        ) from error
    return read


def given(**fields: object) -> dict[str, Any]:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}
