"""An example of an answer about a file, for `/openapi.json`."""

from __future__ import annotations

from packshot.contract.answers import NoteAnswer
from packshot.contract.examples import WHOLE_IMAGE
from packshot.contract.verify import C2paAnswer, VerifyAnswer

VERIFIED = VerifyAnswer(
    ours=True,
    match="fingerprint",
    image_id=WHOLE_IMAGE.id,
    shot_id=WHOLE_IMAGE.shot_id,
    recipe=WHOLE_IMAGE.recipe,
    changed_since=(
        NoteAnswer(code="encoded", detail="It was saved again as JPEG; the file that was made is a PNG."),
        NoteAnswer(code="cropped", detail="It was cropped: about 81 % of the picture is left."),
        NoteAnswer(
            code="signature_broken", detail="Its C2PA signature does not hold: the file was changed after signing."
        ),
    ),
    c2pa=C2paAnswer(present=True, valid=False, signer="Brand Ltd", trusted=False),
)
