"""`/v1/words`: how the detector would read words, before they are looked for in a photo."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from packshot.api.auth import Caller
from packshot.api.openapi import answer_json, keyed_problems_json, problems_json
from packshot.api.services import Wired, in_thread
from packshot.api.word_masks import NOT_SERVED, reading_notes
from packshot.contract import examples
from packshot.contract.answers import ReadWordsAnswer, WordsAnswer
from packshot.contract.requests import MAX_WORDS_CHARS
from packshot.errors import BadInput

router = APIRouter(prefix="/v1/words", tags=["photos"], responses=keyed_problems_json())


@router.get(
    "",
    operation_id="read_words",
    summary="Read words that name a product",
    responses=answer_json(examples.READ_WORDS, "How the words would be read.") | problems_json(BadInput),
)
async def read_words(
    services: Wired,
    tenant: Caller,
    text: Annotated[str, Query(max_length=MAX_WORDS_CHARS, pattern=r"\S", description="Words that name a product.")],
) -> ReadWordsAnswer:
    """Says which words a search by words would ignore. It looks at no photo, and wakes no detector."""
    if not services.graph.finds_words:
        raise BadInput("not_served", NOT_SERVED)
    known, unknown = await in_thread(services.graph.read_words, text)
    return ReadWordsAnswer(
        words=WordsAnswer(known=tuple(known), unknown=tuple(unknown)),
        notes=tuple(reading_notes(text.strip(), known, unknown)),
    )
