"""The integrators' page and the client agree with the code."""

import re
from pathlib import Path

from packshot.api.events import MAX_FOLLOWED
from packshot.api.limits import MAX_JSON_BYTES
from packshot.api.problems import STATUSES, code_rows, status_of
from packshot.api.shots import MAX_WAIT_S
from packshot.client import error_of
from packshot.contract.requests import MAX_SEED, ShotRequest
from packshot.errors import KINDS, EngineFailed, PackshotError
from packshot.settings import Settings
from tests.api_graph import Api, code_of

PAGE = Path(__file__).parents[3] / "docs/integrator.md"


def code_table() -> str:
    lines = ["| code | status | what it means |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{code}` | {status} | {sentence} |" for code, status, sentence in code_rows())])


def test_every_kind_of_error_has_a_status_and_no_other_has() -> None:
    assert set(STATUSES) == set(KINDS)


def test_a_code_belongs_to_one_kind() -> None:
    codes = [code for kind in KINDS for code in kind.codes]
    assert len(codes) == len(set(codes))


def test_a_kind_below_another_has_its_status() -> None:
    class Worse(EngineFailed):
        pass

    assert status_of(Worse("engine_crash", "x")) == 500


def test_the_integrators_page_lists_every_code() -> None:
    assert code_table() in PAGE.read_text(), f"docs/integrator.md must hold this table:\n{code_table()}"


def test_the_integrators_page_lists_every_field_of_a_shot() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE.read_text()))
    assert set(ShotRequest.model_fields) <= named


def test_the_integrators_page_tells_the_limits_in_force() -> None:
    page, settings = PAGE.read_text(), Settings.model_fields
    told = {
        "max_body_bytes": (f"over {settings['max_body_bytes'].default // 2**20} MiB", f"{MAX_JSON_BYTES // 1024} KiB"),
        "max_queued_shots": (f"{settings['max_queued_shots'].default:,} waiting shots",),
        "max_prompt_chars": (f"at most {settings['max_prompt_chars'].default:,} characters",),
        "max_images": (f"1 to {settings['max_images'].default}, each with the next seed",),
        "max_layers": (f"1 to {settings['max_layers'].default} of",),
        "waits": (f"(at most {MAX_WAIT_S:g})", f"up to {MAX_FOLLOWED} shots and trainings", f"0 to {MAX_SEED} "),
    }
    for name, phrases in told.items():
        for phrase in phrases:
            assert phrase in page, (name, phrase)


def test_the_client_raises_what_the_server_raised(api: Api) -> None:
    answer = api.http.get("/v1/shots/sh_unknown")
    assert code_of(answer) == (404, "not_found")
    error = error_of(answer)
    assert isinstance(error, PackshotError)
    assert (type(error).__name__, error.code, error.detail) == ("NotFound", "not_found", answer.json()["detail"])
