"""`/openapi.json` describes the requests and responses of every route."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from packshot.api.problems import STATUSES, code_rows
from packshot.contract import problem
from packshot.contract.catalogue_examples import MANIFEST
from packshot.errors import (
    BadInput,
    BudgetSpent,
    Conflict,
    Forbidden,
    NotFound,
    Overloaded,
    PackshotError,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unavailable,
)
from tests.api_graph import Api

BODY = {"408", "413", "415", "422", "429"}
"""The statuses of every route with a body."""

OPEN = {"/healthz", "/readyz", "/v1/session"}
OPERATIONS = {
    "upload_photo": ("post", "/v1/photos", BODY | {"201", "404", "507"}),
    "offer_upload": ("post", "/v1/uploads", BODY | {"201", "507"}),
    "list_photos": ("get", "/v1/photos", {"200"}),
    "describe_photo": ("get", "/v1/photos/{photo_id}.json", {"200", "404"}),
    "get_photo": ("get", "/v1/photos/{photo_id}", {"200", "304", "307", "404"}),
    "delete_photo": ("delete", "/v1/photos/{photo_id}", {"204", "404", "409"}),
    "click": ("post", "/v1/photos/{photo_id}/masks", BODY | {"200", "404", "503", "507"}),
    "put_mask": ("put", "/v1/photos/{photo_id}/masks", BODY | {"201", "404", "507"}),
    "describe_mask": ("get", "/v1/masks/{mask_id}.json", {"200", "404"}),
    "get_mask": ("get", "/v1/masks/{mask_id}", {"200", "304", "404"}),
    "get_cutout": ("get", "/v1/masks/{mask_id}/cutout", {"200", "304", "404"}),
    "delete_mask": ("delete", "/v1/masks/{mask_id}", {"204", "404", "409"}),
    "create_shot": ("post", "/v1/shots", BODY | {"200", "202", "402", "404"}),
    "list_shots": ("get", "/v1/shots", {"200", "422"}),
    "get_shot": ("get", "/v1/shots/{shot_id}", {"200", "404"}),
    "cancel_shot": ("delete", "/v1/shots/{shot_id}", {"202", "404", "409"}),
    "get_preview": ("get", "/v1/shots/{shot_id}/preview", {"200", "304", "404"}),
    "watch_shot": ("get", "/v1/shots/{shot_id}/events", {"200", "204", "404", "429"}),
    "watch_shots": ("get", "/v1/events", {"200", "204", "404", "422", "429"}),
    "describe_image": ("get", "/v1/images/{image_id}.json", {"200", "404"}),
    "get_image": ("get", "/v1/images/{image_id}", {"200", "304", "307", "404", "409", "422", "507"}),
    "deliver_image": (
        "post",
        "/v1/images/{image_id}/deliveries",
        BODY | {"200", "202", "402", "404", "409", "503", "507"},
    ),
    "get_delivery": ("get", "/v1/deliveries/{delivery_id}/{name}", {"200", "304", "307", "404", "409", "422"}),
    "create_clip": ("post", "/v1/images/{image_id}/clips", BODY | {"200", "202", "402", "404", "409"}),
    "get_clip": ("get", "/v1/clips/{clip_id}", {"200", "304", "307", "404", "409", "422"}),
    "describe_clip": ("get", "/v1/clips/{clip_id}.json", {"200", "404"}),
    "get_set_report": ("get", "/v1/catalogues/{catalogue_id}/report.json", {"200", "404"}),
    "get_set_report_picture": ("get", "/v1/catalogues/{catalogue_id}/report.png", {"200", "304", "404"}),
    "get_set_report_page": ("get", "/v1/catalogues/{catalogue_id}/report", {"200", "404"}),
    "get_image_thumbnail": ("get", "/v1/images/{image_id}/thumbnail", {"200", "304", "404"}),
    "get_image_gain": ("get", "/v1/images/{image_id}/gain", {"200", "304", "404", "409"}),
    "create_catalogue": ("post", "/v1/catalogues", BODY | {"200", "201"}),
    "list_catalogues": ("get", "/v1/catalogues", {"200"}),
    "get_catalogue": ("get", "/v1/catalogues/{catalogue_id}", {"200", "404"}),
    "list_rows": ("get", "/v1/catalogues/{catalogue_id}/rows", {"200", "404"}),
    "put_catalogue_photo": ("put", "/v1/catalogues/{catalogue_id}/photos", BODY | {"200", "404", "507"}),
    "put_catalogue_photos": ("post", "/v1/catalogues/{catalogue_id}/photos.zip", BODY | {"200", "404", "507"}),
    **{
        f"{change}_catalogue": ("post", f"/v1/catalogues/{{catalogue_id}}/{change}", {"202", "404", "409", "412"})
        for change in ("start", "pause", "resume", "cancel", "retry")
    },
    "get_catalogue_manifest": ("get", "/v1/catalogues/{catalogue_id}/manifest.csv", {"200", "404"}),
    "get_catalogue_archive": ("get", "/v1/catalogues/{catalogue_id}/archive.zip", {"200", "404", "409", "429"}),
    "get_catalogue_feed": ("get", "/v1/catalogues/{catalogue_id}/feeds/{kind}", {"200", "404", "409"}),
    "review_image": ("patch", "/v1/images/{image_id}", BODY | {"200", "404", "412"}),
    "list_reviews": ("get", "/v1/images/{image_id}/reviews", {"200", "404"}),
    "decide_image": ("post", "/v1/images/{image_id}/reviews", BODY | {"201", "404", "412"}),
    "redo_image": ("post", "/v1/images/{image_id}/redo", BODY | {"202", "404", "409"}),
    "touch_up_image": (
        "post",
        "/v1/images/{image_id}/touchups",
        BODY | {"200", "202", "402", "404", "409", "503", "507"},
    ),
    "enhance_photo": (
        "post",
        "/v1/photos/{photo_id}/enhancements",
        BODY | {"200", "202", "402", "404", "409", "503", "507"},
    ),
    "list_versions": ("get", "/v1/images/{image_id}/versions", {"200", "404"}),
    "restore_image": ("post", "/v1/images/{image_id}/restore", {"200", "404"}),
    "create_share": ("post", "/v1/shares", BODY | {"201", "404", "409"}),
    "list_shares": ("get", "/v1/shares", {"200", "422"}),
    "revoke_share": ("delete", "/v1/shares/{share_id}", {"204", "404"}),
    "visit_share": ("get", "/v1/share", {"200"}),
    "get_shared_image": ("get", "/v1/share/images/{image_id}", {"200", "304", "404"}),
    "comment_shared_image": ("post", "/v1/share/images/{image_id}/comments", BODY | {"201", "404", "409"}),
    "create_project": ("post", "/v1/projects", BODY | {"201", "409"}),
    "list_projects": ("get", "/v1/projects", {"200", "422"}),
    "get_project": ("get", "/v1/projects/{project_id}", {"200", "404"}),
    "rename_project": ("patch", "/v1/projects/{project_id}", BODY | {"200", "404", "409"}),
    "delete_project": ("delete", "/v1/projects/{project_id}", {"204", "404"}),
    "create_style": ("post", "/v1/styles", BODY | {"201", "404", "409", "507"}),
    "list_styles": ("get", "/v1/styles", {"200", "422"}),
    "get_style": ("get", "/v1/styles/{style_id}", {"200", "404"}),
    "get_style_thumbnail": ("get", "/v1/styles/{style_id}/thumbnail", {"200", "304", "404"}),
    "change_style": ("patch", "/v1/styles/{style_id}", BODY | {"200", "404", "409", "507"}),
    "find_palette": ("post", "/v1/palettes", BODY | {"200", "404"}),
    "verify_file": ("post", "/v1/verify", BODY | {"200"}),
    "delete_style": ("delete", "/v1/styles/{style_id}", {"204", "404"}),
    "upload_adapter": ("post", "/v1/adapters", BODY | {"201", "409", "507"}),
    "list_adapters": ("get", "/v1/adapters", {"200", "422"}),
    "get_adapter": ("get", "/v1/adapters/{adapter_id}", {"200", "404"}),
    "change_adapter": ("patch", "/v1/adapters/{adapter_id}", BODY | {"200", "404", "409"}),
    "delete_adapter": ("delete", "/v1/adapters/{adapter_id}", {"204", "404", "409"}),
    "create_training": ("post", "/v1/trainings", BODY | {"202", "402", "404", "409"}),
    "list_trainings": ("get", "/v1/trainings", {"200", "422"}),
    "get_training": ("get", "/v1/trainings/{training_id}", {"200", "404"}),
    "cancel_training": ("post", "/v1/trainings/{training_id}/cancel", {"202", "404", "409"}),
    "delete_training": ("delete", "/v1/trainings/{training_id}", {"204", "404", "409"}),
    "get_training_sheet": ("get", "/v1/trainings/{training_id}/sheet", {"200", "304", "404"}),
    "get_training_loss": ("get", "/v1/trainings/{training_id}/loss", {"200", "304", "404"}),
    "create_webhook": ("post", "/v1/webhooks", BODY | {"201", "409"}),
    "list_webhooks": ("get", "/v1/webhooks", {"200", "422"}),
    "get_webhook": ("get", "/v1/webhooks/{webhook_id}", {"200", "404"}),
    "delete_webhook": ("delete", "/v1/webhooks/{webhook_id}", {"204", "404"}),
    "rotate_webhook_secret": ("post", "/v1/webhooks/{webhook_id}/rotate", {"200", "404"}),
    "list_webhook_attempts": ("get", "/v1/webhooks/{webhook_id}/attempts", {"200", "404", "422"}),
    "resend_webhook_event": ("post", "/v1/webhooks/{webhook_id}/attempts/{n}/resend", {"202", "404", "409"}),
    "export_audit": ("get", "/v1/audit", {"200", "404", "422", "429"}),
    "hold_tenant": ("put", "/v1/tenants/{tenant_id}/hold", BODY | {"200", "404"}),
    "release_tenant": ("delete", "/v1/tenants/{tenant_id}/hold", {"204", "404"}),
    "list_deletions": ("get", "/v1/deletions", {"200", "422"}),
    "change_tenant": ("patch", "/v1/tenants/{tenant_id}", BODY | {"200", "404"}),
    "get_usage": ("get", "/v1/usage", {"200", "422"}),
    "get_tenant_budget": ("get", "/v1/tenants/{tenant_id}/budget", {"200", "404"}),
    "set_tenant_budget": ("put", "/v1/tenants/{tenant_id}/budget", BODY | {"200", "404"}),
    "get_key_budget": ("get", "/v1/keys/{key_id}/budget", {"200", "404"}),
    "set_key_budget": ("put", "/v1/keys/{key_id}/budget", BODY | {"200", "404"}),
    "delete_tenant": ("delete", "/v1/tenants/{tenant_id}", {"200", "404", "409", "503"}),
    "list_presets": ("get", "/v1/presets", {"200"}),
    "read_words": ("get", "/v1/words", {"200", "404", "422"}),
    "list_engines": ("get", "/v1/engines", {"200"}),
    "open_session": ("post", "/v1/session", BODY | {"200", "401", "403"}),
    "close_session": ("delete", "/v1/session", {"204", "403", "422"}),
    "check_health": ("get", "/healthz", {"200"}),
    "check_ready": ("get", "/readyz", {"200", "503"}),
    "get_metrics": ("get", "/metrics", {"200"}),
}
"""Every operation: its id, which names a method of generated clients and never changes; where it is; its statuses.

Routes that need a key also answer 401, 403 and 422, and every route `default`.
"""

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document(api_server: Api) -> Json:
    document: Json = api_server.http.get("/openapi.json").json()
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_operations_keep_their_ids_and_statuses(document: Json) -> None:
    found = {
        operation["operationId"]: (method, path, set(operation["responses"]))
        for method, path, operation in operations(document)
    }
    keyed = {"401", "403", "422"}
    assert found == {
        name: (method, path, statuses | {"default"} | (set() if path in OPEN else keyed))
        for name, (method, path, statuses) in OPERATIONS.items()
    }


def test_every_operation_documents_its_key_and_itself(document: Json) -> None:
    for method, path, operation in operations(document):
        wanted: list[Json] | None = None if path in OPEN else [{"key": []}, {"session": []}]
        if path.split("/")[2:3] == ["share"]:  # a link's visitors have no key
            wanted = [{"share": []}]
        assert operation.get("security") == wanted, (method, path)
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)


def test_every_success_has_a_schema_an_example_and_the_request_id(document: Json) -> None:
    for _, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                continue
            assert response["description"], (path, status)
            assert {"x-request-id", "x-packshot-version"} <= set(response["headers"]), (path, status)
            assert ("content" in response) is (status != "204"), (path, status)
            for media_type, content in response.get("content", {}).items():
                assert content["schema"], (path, status)
                assert "example" in content or media_type.startswith(("image/", "video/", "application/zip")), (
                    path,
                    status,
                    media_type,
                )


@pytest.mark.parametrize(
    "kind",
    [BadInput, BudgetSpent, Conflict, Forbidden, NotFound, Overloaded, TooLarge, TooSlow, Unauthorized, Unavailable],
)
def test_a_problem_has_a_name_a_schema_and_an_example(document: Json, kind: type[PackshotError]) -> None:
    named = document["components"]["responses"][kind.__name__]
    (media_type,) = named["content"]
    content = named["content"][media_type]
    assert media_type == problem.MEDIA_TYPE
    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert content["example"]["status"] == STATUSES[kind]
    assert content["example"]["code"] in kind.codes
    assert ("retry-after" in named["headers"]) is (kind in (BudgetSpent, Overloaded, Unavailable))


def test_a_problem_stands_under_the_status_of_its_kind(document: Json) -> None:
    statuses = {kind.__name__: str(status) for kind, status in STATUSES.items()}
    for _, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "4":
                name = response["$ref"].removeprefix("#/components/responses/")
                assert status in (statuses[name], "default"), (path, status)


def fits(document: Json, schema: Json, value: object) -> None:
    """Validate a value against a schema of the document. Raises ValidationError when it does not fit."""
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_examples_fit_their_schemas(document: Json) -> None:
    shown: list[str] = []
    for _, _, operation in operations(document):
        for place in (operation.get("requestBody", {}), *operation["responses"].values()):
            for media_type, content in place.get("content", {}).items():
                if media_type == "application/json":
                    fits(document, content["schema"], content["example"])
                    shown.append(operation["operationId"])
    for response in document["components"]["responses"].values():
        content = response["content"][problem.MEDIA_TYPE]
        fits(document, content["schema"], content["example"])
    assert len(shown) >= 40


def test_real_answers_fit_their_schemas(document: Json, api: Api) -> None:
    shot_id = api.shot(images=2, prompt="fits")
    image_id = api.finish(shot_id)["images"][0]["id"]
    plain_id = api.finish(api.shot(background="white"))["images"][0]["id"]
    waiting_id = api.shot(prompt="waits for nobody")
    photo_id = api.photo()["id"]
    calls: dict[str, tuple[str, Json | None]] = {
        "click": (f"/v1/photos/{photo_id}/masks", {}),
        "create_shot": ("/v1/shots", api.request()),
        "list_shots": ("/v1/shots", None),
        "get_shot": (f"/v1/shots/{shot_id}", None),
        "cancel_shot": (f"/v1/shots/{waiting_id}", None),
        "create_catalogue": ("/v1/catalogues", MANIFEST.model_dump(mode="json", exclude_unset=True)),
        "list_catalogues": ("/v1/catalogues", None),
        "list_photos": ("/v1/photos", None),
        "describe_photo": (f"/v1/photos/{photo_id}.json", None),
        "describe_mask": (f"{api.mask()['url']}.json", None),
        "describe_image": (f"/v1/images/{image_id}.json", None),
        "review_image": (f"/v1/images/{image_id}", {"review": "approved", "note": "good"}),
        "deliver_image": (f"/v1/images/{image_id}/deliveries", {"deliver": [{"preset": "etsy"}]}),
        "decide_image": (f"/v1/images/{image_id}/reviews", {"state": "changes_requested", "reason": "light"}),
        "list_reviews": (f"/v1/images/{image_id}/reviews", None),
        "redo_image": (f"/v1/images/{image_id}/redo", {}),
        "list_versions": (f"/v1/images/{image_id}/versions", None),
        "restore_image": (f"/v1/images/{image_id}/restore", {}),
        "create_share": ("/v1/shares", {"image_ids": [image_id], "name": "fits"}),
        "list_shares": ("/v1/shares", None),
        "create_project": ("/v1/projects", {"name": "fits"}),
        "list_projects": ("/v1/projects", None),
        "create_style": ("/v1/styles", {"name": "fits", "image_id": image_id}),
        "list_styles": ("/v1/styles", None),
        "list_adapters": ("/v1/adapters", None),
        "list_trainings": ("/v1/trainings", None),
        "find_palette": ("/v1/palettes", {"references": [{"photo_id": photo_id}]}),
        "list_presets": ("/v1/presets", None),
        "read_words": ("/v1/words?text=white%20mug", None),
        "list_engines": ("/v1/engines", None),
        "open_session": ("/v1/session", {"key": api.key}),
        "check_health": ("/healthz", None),
        "check_ready": ("/readyz", None),
    }
    by_id = {operation["operationId"]: (method, operation) for method, _, operation in operations(document)}
    for name, (url, body) in calls.items():
        method, operation = by_id[name]
        answer = api.http.request(method.upper(), url, json=body)
        response = operation["responses"][str(answer.status_code)]
        fits(document, response["content"]["application/json"]["schema"], answer.json())
    plain = api.http.patch(f"/v1/images/{plain_id}", json={"review": None}).json()
    fits(document, {"$ref": "#/components/schemas/WholeImageAnswer"}, plain)
    fits(document, {"$ref": "#/components/schemas/PhotoAnswer"}, api.photo())
    found = api.http.post("/v1/verify", files={"file": api.http.get(f"/v1/images/{plain_id}").content}).json()
    assert found["recipe"]
    fits(document, {"$ref": "#/components/schemas/VerifyAnswer"}, found)
    refused = api.http.post("/v1/shots", json={"layers": []}).json()
    fits(document, {"$ref": "#/components/schemas/Problem"}, refused)


def test_bodies_that_routes_read_themselves_are_documented(document: Json) -> None:
    bodies = {
        operation["operationId"]: operation["requestBody"]
        for _, _, operation in operations(document)
        if "requestBody" in operation
    }
    optional = {name for name, body in bodies.items() if not body["required"]}
    assert optional == {"open_session", "put_catalogue_photo"}  # or a Bearer header; or a hash of the file
    photo = bodies.pop("upload_photo")["content"]
    assert photo["application/json"]["schema"] == {"$ref": "#/components/schemas/PhotoOfUpload"}
    upload = photo["multipart/form-data"]["schema"]
    assert upload == {"$ref": "#/components/schemas/PhotoUpload"}
    part = document["components"]["schemas"]["PhotoUpload"]["properties"]["file"]
    assert (part["type"], part["format"]) == ("string", "binary")
    asked = bodies.pop("verify_file")["content"]
    assert asked == {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/VerifyRequest"}}}
    adapter = bodies.pop("upload_adapter")["content"]["multipart/form-data"]["schema"]
    assert adapter == {"$ref": "#/components/schemas/AdapterUpload"}
    mask = bodies.pop("put_mask")["content"]["image/png"]["schema"]
    assert (mask["type"], mask["format"]) == ("string", "binary")
    assert list(bodies.pop("put_catalogue_photo")["content"]) == ["application/octet-stream"]
    assert list(bodies.pop("put_catalogue_photos")["content"]) == ["application/zip"]
    assert {"application/yaml", "text/csv", "multipart/form-data"} < set(bodies["create_catalogue"]["content"])
    named = {name: body["content"]["application/json"]["schema"]["$ref"] for name, body in bodies.items()}
    assert named == {
        "offer_upload": "#/components/schemas/UploadRequest",
        "click": "#/components/schemas/MaskRequest",
        "create_shot": "#/components/schemas/ShotRequest",
        "create_catalogue": "#/components/schemas/Manifest",
        "review_image": "#/components/schemas/ReviewRequest",
        "deliver_image": "#/components/schemas/DeliveriesRequest",
        "create_clip": "#/components/schemas/ClipRequest",
        "decide_image": "#/components/schemas/ReviewIn",
        "redo_image": "#/components/schemas/RedoRequest",
        "touch_up_image": "#/components/schemas/TouchupRequest",
        "enhance_photo": "#/components/schemas/EnhancementRequest",
        "create_share": "#/components/schemas/ShareRequest",
        "comment_shared_image": "#/components/schemas/CommentIn",
        "create_project": "#/components/schemas/ProjectRequest",
        "rename_project": "#/components/schemas/ProjectRequest",
        "create_style": "#/components/schemas/StyleRequest",
        "change_style": "#/components/schemas/StyleChange",
        "find_palette": "#/components/schemas/PaletteRequest",
        "create_training": "#/components/schemas/TrainingRequest",
        "change_adapter": "#/components/schemas/AdapterChange",
        "create_webhook": "#/components/schemas/WebhookRequest",
        "hold_tenant": "#/components/schemas/HoldRequest",
        "change_tenant": "#/components/schemas/TenantChange",
        "set_tenant_budget": "#/components/schemas/BudgetRequest",
        "set_key_budget": "#/components/schemas/BudgetRequest",
        "open_session": "#/components/schemas/SessionRequest",
    }


def test_headers_that_routes_read_themselves_are_documented(document: Json) -> None:
    headers = {
        operation["operationId"]: {row["name"] for row in operation.get("parameters", []) if row["in"] == "header"}
        for _, _, operation in operations(document)
    }
    assert {name: found for name, found in headers.items() if found} == {
        "upload_photo": {"x-request-id"},
        "create_shot": {"Idempotency-Key", "Prefer"},
        "review_image": {"If-Match"},
        "decide_image": {"If-Match"},
        "redo_image": {"Idempotency-Key"},
        "touch_up_image": {"Idempotency-Key", "Prefer"},
        "enhance_photo": {"Idempotency-Key", "Prefer"},
        "create_clip": {"Idempotency-Key", "Prefer"},
        "create_training": {"Idempotency-Key"},
        "watch_shot": {"Last-Event-ID"},
        "watch_shots": {"Last-Event-ID"},
        **{f"{change}_catalogue": {"If-Match"} for change in ("start", "pause", "resume", "cancel", "retry")},
    }


def test_a_stream_names_the_schema_of_each_event(document: Json) -> None:
    of_shots = ["queued", "progress", "preview", "done", "failed", "cancelled"]
    for path, names in (("/v1/events", [*of_shots, "training"]), ("/v1/shots/{shot_id}/events", of_shots)):
        stream = document["paths"][path]["get"]["responses"]["200"]["content"]["text/event-stream"]
        assert list(stream["x-events"]) == names


def test_files_name_their_types(document: Json) -> None:
    files = {
        operation["operationId"]: list(operation["responses"]["200"]["content"])
        for _, _, operation in operations(document)
        if "304" in operation["responses"]
    }
    assert files == {
        "get_photo": ["image/png"],
        "get_mask": ["image/png"],
        "get_cutout": ["image/png"],
        "get_preview": ["image/png"],
        "get_image": ["image/png", "image/jpeg", "image/webp"],
        "get_delivery": ["image/png", "image/jpeg", "image/webp"],
        "get_clip": ["image/webp", "video/mp4"],
        "get_image_thumbnail": ["image/png"],
        "get_image_gain": ["image/png"],
        "get_set_report_picture": ["image/png"],
        "get_style_thumbnail": ["image/png"],
        "get_training_sheet": ["image/png"],
        "get_training_loss": ["image/png"],
        "get_shared_image": ["image/png"],
    }


def test_the_document_lists_every_code(document: Json) -> None:
    """Not as an `enum`: a generated client must not break on a code that a later version adds."""
    code = document["components"]["schemas"]["Problem"]["properties"]["code"]
    assert code["x-extensible-enum"] == [row[0] for row in code_rows()]
    assert "enum" not in code


def test_every_reference_of_the_document_leads_somewhere(document: Json) -> None:
    def references(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    found = set(references(document))
    assert "#/components/schemas/ShotRequest" in found
    for reference in found:
        room, _, name = reference.removeprefix("#/components/").partition("/")
        assert name in document["components"][room], reference


def test_no_schema_of_fastapis_own_is_left(document: Json) -> None:
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_every_field_of_every_body_is_described(document: Json) -> None:
    for name in ("ShotRequest", "LayerIn", "CanvasIn", "MaskRequest", "ReviewRequest", "SessionRequest"):
        schema = document["components"]["schemas"][name]
        assert schema["additionalProperties"] is False
        for field, described in schema["properties"].items():
            assert described.get("description"), (name, field)
            if name != "SessionRequest" and field not in ("layers", "mask_id", "review"):
                made = (
                    "canvas",
                    "points",
                    "boxes",
                    "strokes",
                    "conditions",
                    "adapters",
                    "meta",
                )  # their defaults are made for each request
                assert "default" in described or field in made, (name, field)
