"""`--condition` and `--pose` of `packshot shoot`."""

import json
from pathlib import Path
from typing import Any

import pytest

from packshot.cli.shot_options import read_conditions
from packshot.errors import BadInput


def test_a_condition_is_a_kind_with_a_weight_and_a_window() -> None:
    assert read_conditions([]) is None
    assert read_conditions(["depth", "normal=0.6", "canny=1,0.1,0.8"]) == [
        {"kind": "depth"},
        {"kind": "normal", "scale": 0.6},
        {"kind": "canny", "scale": 1.0, "start": 0.1, "end": 0.8},
    ]


@pytest.mark.parametrize("text", ["depth=", "depth=much", "depth=1,2", "depth=1,0,1,0"])
def test_numbers_that_do_not_fit_are_bad_usage(text: str) -> None:
    with pytest.raises(BadInput, match=r"KIND=SCALE,START,END.*1 or 3 numbers|KIND=SCALE") as refused:
        read_conditions([text])
    assert refused.value.code == "bad_usage"


def written(folder: Path, told: Any) -> Path:
    path = folder / "pose.json"
    path.write_text(json.dumps(told))
    return path


def test_a_pose_is_the_people_of_openposes_file(tmp_path: Path) -> None:
    """Pixels become fractions, and a point without confidence was not seen."""
    points = [64, 32, 1.0, 0, 0, 0.0] + [128, 256, 0.5] * 16
    told = {"people": [{"pose_keypoints_2d": points}], "canvas_width": 128, "canvas_height": 256}
    [depth, pose] = read_conditions(["pose=0.7", "depth"], written(tmp_path, told)) or []
    assert (depth, pose["kind"], pose["scale"]) == ({"kind": "depth"}, "pose", 0.7)
    assert pose["people"] == [[[0.5, 0.125], None, *[[1.0, 1.0]] * 16]]


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        ([], "OpenPose"),
        ({"people": []}, "OpenPose"),
        ({"people": [{"pose_keypoints_2d": [0] * 75}]}, "18 points .* got 75 numbers"),
        ({"people": [{"pose_keypoints_2d": ["a"] * 54}]}, "as numbers"),
        ({"people": [{}], "canvas_width": 0}, "above 0"),
    ],
)
def test_another_file_is_no_pose(tmp_path: Path, told: Any, rule: str) -> None:
    with pytest.raises(BadInput, match=rule) as refused:
        read_conditions([], written(tmp_path, told))
    assert refused.value.code == "bad_usage"
