"""`--condition` of `packshot shoot`."""

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
