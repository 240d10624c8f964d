"""A field that an engine cannot honour is refused, and null and absent ones never are."""

import pytest

from packshot.api.accept import resolved
from packshot.contract.engines import EngineCapabilities
from packshot.contract.requests import ShotRequest
from packshot.contract.shot_spec import ShotSpec
from packshot.errors import BadInput
from packshot.settings import Settings
from packshot.shots.flow import brief_of
from tests.api_graph import ENGINES

BODY = {"layers": [{"mask_id": "ma_1"}], "prompt": "on a table"}
ENGINE = ENGINES[0]
FULL = ENGINE.model_copy(update={"capabilities": EngineCapabilities(samplers=("ddim", "euler"))})
BARE = ENGINE.model_copy(
    update={"capabilities": EngineCapabilities(controls=(), negative_prompt=False, guidance=False)}
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("negative_prompt", "blurry"),
        ("guidance_scale", 4.0),
        ("control_scale", 0.5),
        ("control_end", 0.6),
        ("sampler", "euler"),
    ],
)
def test_a_field_that_the_engine_cannot_honour_is_refused(field: str, value: object) -> None:
    body = ShotRequest.model_validate(BODY | {field: value})
    with pytest.raises(BadInput, match=rf"{field} needs .* engine 'mini' lacks, got .*GET /v1/engines") as refused:
        resolved(body, [BARE], Settings())
    assert refused.value.code == "engine_cannot"
    assert refused.value.errors is not None
    assert refused.value.errors[0]["loc"] == [field]
    assert resolved(body, [FULL], Settings())


def test_null_absent_and_idle_fields_are_allowed() -> None:
    idle = {"negative_prompt": "", "guidance_scale": None, "control_scale": 0.0, "control_end": 1.0, "sampler": None}
    for body in (BODY, BODY | idle):
        spec = resolved(ShotRequest.model_validate(body), [BARE], Settings())
        assert spec.conditions == ()
        assert spec.canny.scale == 0


def test_a_sampler_is_stored_and_read_again_and_an_older_row_has_none() -> None:
    spec = resolved(ShotRequest.model_validate(BODY | {"sampler": "euler"}), [FULL], Settings())
    assert ShotSpec.from_json(spec.to_json()).sampler == brief_of(spec, 1).sampler == "euler"
    plain = resolved(ShotRequest.model_validate(BODY), [FULL], Settings())
    assert "sampler" not in plain.to_json()
    assert ShotSpec.from_json(plain.to_json()).sampler is None
    with pytest.raises(BadInput, match=r"samplers \(ddim, euler\)"):
        resolved(ShotRequest.model_validate(BODY | {"sampler": "lcm"}), [FULL], Settings())
