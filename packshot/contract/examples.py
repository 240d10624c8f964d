"""One example of every request and answer, for `/openapi.json`."""

from __future__ import annotations

from datetime import UTC, datetime

from packshot.contract.answers import (
    AcceptedAnswer,
    DeletionAnswer,
    DeletionPage,
    FindingAnswer,
    HealthAnswer,
    HoldAnswer,
    ImageAnswer,
    MaskAnswer,
    MasksAnswer,
    NoteAnswer,
    PhotoAnswer,
    PhotoPage,
    ReadWordsAnswer,
    SessionAnswer,
    ShotAnswer,
    ShotPage,
    TenantAnswer,
    UploadAnswer,
    VerdictAnswer,
    WholeImageAnswer,
    WordsAnswer,
)
from packshot.contract.engines import EngineInfo, EnginesAnswer, SamplingDefaults, SamplingLimits
from packshot.contract.events import ProgressEvent
from packshot.contract.projects import (
    ProjectAnswer,
    ProjectPage,
    ProjectRequest,
    StyleAnswer,
    StyleChange,
    StylePage,
    StyleRequest,
)
from packshot.contract.recipe_answers import CanvasAnswer, LayerAnswer, PaintedAnswer, RecipeAnswer, ResolvedRequest
from packshot.contract.requests import (
    CanvasIn,
    HoldRequest,
    LayerIn,
    MaskRequest,
    PhotoOfUpload,
    PointIn,
    ReviewRequest,
    SessionRequest,
    ShotRequest,
    TenantChange,
    UploadRequest,
)
from packshot.contract.reviews import (
    CommentAnswer,
    CommentIn,
    MarkAnswer,
    MarkIn,
    RedoRequest,
    ReviewEntry,
    ReviewIn,
    ReviewsAnswer,
    ShareAnswer,
    SharedAnswer,
    SharedImage,
    SharePage,
    ShareRequest,
)
from packshot.errors import (
    BadInput,
    BudgetSpent,
    Conflict,
    EngineFailed,
    Forbidden,
    NotFound,
    Overloaded,
    PackshotError,
    PreconditionFailed,
    StorageFull,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)

_PHOTO_ID, _MASK_ID = "ph_5b2d8c1f0e9a", "mk_0c7f3a9d1e52"
_SHOT_ID, _IMAGE_ID = "sh_8e1a4d7c2b60", "im_3f6b9e2d5a81"
_PROMPT = "on a marble table, soft morning light"

MASK_REQUEST = MaskRequest(points=[PointIn(x=610.0, y=480.0)], boxes=[(200.0, 120.0, 1340.0, 1010.0)])
SHOT_REQUEST = ShotRequest(
    canvas=CanvasIn(width=1024, height=1024),
    layers=[LayerIn(mask_id=_MASK_ID, x=0.5, y=0.62, scale=0.55)],
    prompt=_PROMPT,
    negative_prompt="text, watermark",
    images=2,
    seed=7,
    steps=20,
    guidance_scale=7.5,
    control_scale=0.8,
    sku="MUG-01-BLUE",
    meta={"season": "spring"},
)
REVIEW_REQUEST = ReviewRequest(review="rejected", note="The shadow falls the wrong way.")
SESSION_REQUEST = SessionRequest(key="pk_… as `packshot keys create` showed it")

HEALTH = HealthAnswer(status="ok")
SESSION = SessionAnswer(tenant="Brand & Co", expires_at=datetime(2026, 11, 26, 20, 0, tzinfo=UTC))
PHOTO = PhotoAnswer(
    id=_PHOTO_ID,
    width=1600,
    height=1200,
    format="jpeg",
    bytes=482113,
    sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    url=f"/v1/photos/{_PHOTO_ID}",
    notes=(NoteAnswer(code="type_by_bytes", detail="the file claims to be PNG, its bytes are JPEG: they count"),),
    created_at=datetime(2026, 11, 26, 7, 58, tzinfo=UTC),
)
UPLOAD_REQUEST = UploadRequest(bytes=PHOTO.bytes, sha256=PHOTO.sha256, content_type="image/jpeg")
PHOTO_OF_UPLOAD = PhotoOfUpload(upload_id="up_4Jq0Zy2mB7sVnW1xRkTd")
UPLOAD = UploadAnswer(
    id=PHOTO_OF_UPLOAD.upload_id,
    method="PUT",
    url=f"https://bucket.s3.eu-central-1.amazonaws.com/packshot/uploads/{PHOTO_OF_UPLOAD.upload_id}?X-Amz-Signature=…",
    headers={"content-type": "image/jpeg", "x-amz-checksum-sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="},
    expires_at=datetime(2026, 11, 26, 8, 58, tzinfo=UTC),
)
TENANT = TenantAnswer(id="tn_Qb7Xk2mWc0Zr4vHs9LdE", name="acme", weight=2.0)
TENANT_CHANGE = TenantChange(weight=2.0)
DELETION = DeletionAnswer(
    tenant_sha256="2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    counts={"keys": 2, "photos": 41, "masks": 97, "shots": 120, "images": 236, "files": 371},
    by="key ky_Yb3nQ0s8Jt5uKcVd1Wxz",
    started_at=datetime(2026, 11, 26, 8, 0, tzinfo=UTC),
    finished_at=datetime(2026, 11, 26, 8, 1, tzinfo=UTC),
)
DELETIONS = DeletionPage(deletions=(DELETION,), next_cursor=DELETION.tenant_sha256)
HOLD = HoldAnswer(id="tn_Yb3nQ0s8Jt5uKcVd1Wxz", legal_hold="case 4711")
HOLD_REQUEST = HoldRequest(reason="case 4711")
PHOTOS = PhotoPage(photos=(PHOTO,), next_cursor=f"1795679880.512:{_PHOTO_ID}")
MASK = MaskAnswer(
    id=_MASK_ID,
    photo_id=_PHOTO_ID,
    score=0.93,
    area=612345,
    bbox=(212, 130, 1321, 1002),
    url=f"/v1/masks/{_MASK_ID}",
    cutout_url=f"/v1/masks/{_MASK_ID}/cutout",
    source="box",
    lock_px=5,
    cutout_bbox=(207, 125, 1326, 1007),
)
MASKS = MasksAnswer(masks=(MASK,))
READ_WORDS = ReadWordsAnswer(
    words=WordsAnswer(known=("mug",), unknown=("white",)),
    notes=(NoteAnswer(code="words_ignored", detail="unknown words were ignored: white"),),
)
UPLOADED_MASK = MASK.model_copy(update={"score": 1.0, "source": "upload"})
_PAINTED = PaintedAnswer(
    version="0.1.0",
    seed=7,
    pack={"unet": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"},
    dtype="bfloat16",
    device="cuda",
    timing_ms={"queue": 12.5, "begin": 80.1, "steps": 2210.4, "decode": 95.0},
)
_REQUEST = ResolvedRequest(
    canvas=CanvasAnswer(width=1024, height=1024),
    layers=(LayerAnswer(mask_id=_MASK_ID, x=0.5, y=0.62, scale=0.55, rotation_deg=0.0, flip=False),),
    background="generate",
    prompt=_PROMPT,
    negative_prompt="text, watermark",
    images=2,
    seed=7,
    steps=20,
    guidance_scale=7.5,
    control_scale=0.8,
    control_start=0.0,
    control_end=1.0,
    shadow="contact",
    engine="sd15",
    priority="interactive",
)
IMAGE = ImageAnswer(
    id=_IMAGE_ID,
    seed=7,
    width=1024,
    height=1024,
    url=f"/v1/images/{_IMAGE_ID}",
    verdict=VerdictAnswer(
        level="ok",
        findings=(
            FindingAnswer(
                check="lock", level="ok", detail="all 201,733 opaque product pixels equal the placed photo", value=0.0
            ),
        ),
    ),
    review="rejected",
    review_state="changes_requested",
    version=1,
    recipe=_PAINTED,
)
ACCEPTED = AcceptedAnswer(
    id=_SHOT_ID,
    kind="shot",
    status="queued",
    position=3,
    url=f"/v1/shots/{_SHOT_ID}",
    events_url=f"/v1/shots/{_SHOT_ID}/events",
    request=_REQUEST,
    sku="MUG-01-BLUE",
    meta={"season": "spring"},
)
SHOT = ShotAnswer(
    id=_SHOT_ID,
    kind="shot",
    status="done",
    position=0,
    step=40,
    steps=40,
    created_at=datetime(2026, 11, 26, 8, 0, tzinfo=UTC),
    started_at=datetime(2026, 11, 26, 8, 0, 1, tzinfo=UTC),
    finished_at=datetime(2026, 11, 26, 8, 0, 9, tzinfo=UTC),
    request=_REQUEST,
    sku="MUG-01-BLUE",
    meta={"season": "spring"},
    images=(IMAGE,),
)
SHOTS = ShotPage(shots=(SHOT,), next_cursor=_SHOT_ID)
WHOLE_IMAGE = WholeImageAnswer(
    **dict(IMAGE) | {"recipe": RecipeAnswer(**dict(_PAINTED), request=_REQUEST)},
    shot_id=_SHOT_ID,
    note="The shadow falls the wrong way.",
    review_reason="shadow",
    created_at=datetime(2026, 11, 26, 8, 0, 9, tzinfo=UTC),
)
REVIEW_IN = ReviewIn(
    state="changes_requested",
    reason="shadow",
    note="The shadow falls the wrong way.",
    marks=[MarkIn(kind="rect", points=[(0.31, 0.7), (0.66, 0.84)])],
    reviewer="Ada",
)
REVIEWS = ReviewsAnswer(
    image_id=_IMAGE_ID,
    etag='"1-changes_requested"',
    version=1,
    state="changes_requested",
    reviews=(
        ReviewEntry(
            number=1,
            at=datetime(2026, 11, 26, 8, 5, tzinfo=UTC),
            by="key ky_Yb3nQ0s8Jt5uKcVd1Wxz",
            reviewer="Ada",
            state="changes_requested",
            reason="shadow",
            note="The shadow falls the wrong way.",
            marks=(MarkAnswer(kind="rect", points=((0.31, 0.7), (0.66, 0.84))),),
        ),
    ),
)
REDO_REQUEST = RedoRequest(reason="shadow")
SHARE_REQUEST = ShareRequest(image_ids=[_IMAGE_ID], name="Spring, first round", days=14)
SHARE = ShareAnswer(
    id="sl_9a2c5e7b1d40",
    name=SHARE_REQUEST.name,
    image_ids=(_IMAGE_ID,),
    created_at=datetime(2026, 11, 26, 8, 10, tzinfo=UTC),
    expires_at=datetime(2026, 12, 10, 8, 10, tzinfo=UTC),
    url="/share#sl_…",
)
SHARES = SharePage(shares=(SHARE.model_copy(update={"url": None}),), next_cursor=f"1795679880.512:{SHARE.id}")
COMMENT_IN = CommentIn(reviewer="Grace", note="A little more room above the handle.")
COMMENT = CommentAnswer(
    at=datetime(2026, 11, 26, 9, 0, tzinfo=UTC), reviewer=COMMENT_IN.reviewer, note=COMMENT_IN.note, marks=()
)
SHARED = SharedAnswer(
    name=SHARE.name,
    expires_at=SHARE.expires_at,
    images=(
        SharedImage(
            id=_IMAGE_ID,
            width=1024,
            height=1024,
            version=1,
            state="in_review",
            sku="MUG-01-BLUE",
            verdict=IMAGE.verdict,
            url=f"/v1/share/images/{_IMAGE_ID}",
            comments=(COMMENT,),
        ),
    ),
)
_PROJECT_ID, _STYLE_ID = "pj_7d0e4b1a9c35", "st_2c9f6a3e8d17"
PROJECT_REQUEST = ProjectRequest(name="Spring catalogue")
PROJECT = ProjectAnswer(
    id=_PROJECT_ID,
    name=PROJECT_REQUEST.name,
    url=f"/v1/projects/{_PROJECT_ID}",
    created_at=datetime(2026, 11, 26, 8, 0, tzinfo=UTC),
)
PROJECTS = ProjectPage(projects=(PROJECT,), next_cursor=_PROJECT_ID)
STYLE_REQUEST = StyleRequest(name="Marble morning", prompt=_PROMPT, shadow="contact", image_id=_IMAGE_ID)
STYLE_CHANGE = StyleChange(name="Marble, early", prompt=_PROMPT, negative_prompt="text", image_id=_IMAGE_ID)
STYLE = StyleAnswer(
    id=_STYLE_ID,
    name=STYLE_REQUEST.name,
    prompt=_PROMPT,
    negative_prompt="",
    shadow="contact",
    url=f"/v1/styles/{_STYLE_ID}",
    thumbnail_url=f"/v1/styles/{_STYLE_ID}/thumbnail?v=5f70bf18a086",
    created_at=datetime(2026, 11, 26, 8, 0, tzinfo=UTC),
)
STYLES = StylePage(styles=(STYLE,), next_cursor=_STYLE_ID)
ENGINES = EnginesAnswer(
    finds_words=True,
    engines=(
        EngineInfo(
            name="mini",
            title="Packshot mini: the embedded pack, trained on drawn scenes",
            family="mini",
            licence="Apache-2.0",
            commercial=True,
            renderable=True,
            reason="",
            native_px=(256, 256),
            buckets=((256, 256), (320, 256), (256, 320)),
            prediction_type="v_prediction",
            defaults=SamplingDefaults(
                prompt="product on white paper, in front of a plain white wall, soft neutral light",
                steps=16,
                guidance_scale=2.0,
                control_scale=1.0,
                guidance_rescale=0.7,
            ),
            limits=SamplingLimits(max_steps=150, max_guidance_scale=30.0, max_control_scale=2.0),
            licences={"unet": "Apache-2.0", "controlnet": "Apache-2.0"},
        ),
    ),
)

EVENT_STREAM = f"id: 5\nevent: progress\ndata: {ProgressEvent(shot=_SHOT_ID, step=4, steps=40).model_dump_json()}\n\n"
METRICS = 'packshot_shots_total{status="done"} 128.0\n'
PROBLEMS: tuple[PackshotError, ...] = (
    BadInput(
        "invalid_request",
        "images: must be greater than or equal to 1, got 0",
        errors=[{"loc": ["images"], "msg": "must be greater than or equal to 1, got 0"}],
    ),
    TooLarge("body_too_large", "A body may have at most 33554432 bytes, got 50331648; send a smaller file."),
    TooSlow("body_timeout", "A body must bring 1024 bytes, or its end, every 10 s, got 40 bytes; send it again."),
    UnsupportedMedia(
        "photo_format", "A photo must be JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF, got SVG; export it as PNG."
    ),
    Unauthorized("unauthorized", "This key is not valid or was revoked; send `Authorization: Bearer <key>`."),
    Forbidden("origin_refused", "With a cookie, this method needs an Origin of this host, got none."),
    NotFound("not_found", "No photo with this id exists; it may have been deleted."),
    Conflict("in_use", "The shot sh_8e1a4d7c2b60 needs this photo; cancel the shot or wait until it ends."),
    PreconditionFailed(
        "version_changed",
        'If-Match must name the picture\'s present state, which is approved ("2-approved"); look at it again.',
        state="approved",
        etag='"2-approved"',
    ),
    BudgetSpent(
        "budget_spent",
        "this key may have 400 images a day, it has used 398, and 4 more were asked for; wait until 0:00",
    ),
    Overloaded("queue_full", "A tenant may have 1000 waiting shots, got one more; try again later."),
    Unavailable("not_ready", "The graph is starting, or a stage is down; try again in a moment."),
    StorageFull("storage_full", "Assets may take at most 10737418240 bytes; delete photos or shots."),
    EngineFailed("internal", ""),
)
"""One error of each class that a route lists in `/openapi.json`."""
