"""Examples of styles, for `/openapi.json`."""

from __future__ import annotations

from packshot.contract.shot_style import ColourAnswer, LightAnswer, PaletteAnswer, PaletteRequest, ReferenceIn

REFERENCES = [ReferenceIn(photo_id="ph_5b2d8c1f0e9a", weight=2.0), ReferenceIn(image_id="im_3f6b9e2d5a81")]
PALETTE_REQUEST = PaletteRequest(references=REFERENCES)
PALETTE = PaletteAnswer(
    palette=(
        ColourAnswer(colour="#e8ded2", share=0.55),
        ColourAnswer(colour="#b08968", share=0.3),
        ColourAnswer(colour="#52796f", share=0.15),
    ),
    light=LightAnswer(direction_deg=295.0),
)
