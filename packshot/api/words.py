"""`/v1/words`: how the detector or an engine would read words, before anything is looked for or painted."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from packshot.api.accept import checked_prompt, pick_engine
from packshot.api.auth import Caller
from packshot.api.openapi import answer_json, keyed_problems_json, problems_json
from packshot.api.services import Services, Wired, in_thread
from packshot.api.word_masks import NOT_SERVED, reading_notes
from packshot.api.word_warnings import prompt_reading
from packshot.contract import examples
from packshot.contract.adapters import MAX_ADAPTERS
from packshot.contract.answers import NoteAnswer, ReadWordsAnswer, WordsAnswer
from packshot.contract.requests import MAX_WORDS_CHARS
from packshot.errors import BadInput, NotFound
from packshot.models.engines.prompt_words import PromptReading

router = APIRouter(prefix="/v1/words", tags=["photos"], responses=keyed_problems_json())


@router.get(
    "",
    operation_id="read_words",
    summary="Read words that name a product, or a prompt",
    responses=answer_json(examples.READ_WORDS, "How the words would be read.") | problems_json(BadInput, NotFound),
)
async def read_words(
    services: Wired,
    tenant: Caller,
    text: Annotated[
        str,
        Query(
            pattern=r"\S",
            description=f"Words that name a product, at most {MAX_WORDS_CHARS} characters; or a prompt, as a shot's.",
        ),
    ],
    use: Annotated[
        Literal["find", "prompt"], Query(description="find (the detector reads them) or prompt (an engine does).")
    ] = "find",
    engine: Annotated[str | None, Query(description="The engine that reads the prompt; default: the first.")] = None,
    adapter: Annotated[
        list[str], Query(max_length=MAX_ADAPTERS, description="Adapters of the shot, whose triggers count as known.")
    ] = [],  # noqa: B006 - FastAPI reads it as the default and does not share it
) -> ReadWordsAnswer:
    """Says which words a search by words, or an engine, would ignore. It looks at no photo, and wakes no replica."""
    if use == "prompt":
        read = await in_thread(_of_prompt, services, tenant.id, text, engine, adapter)
        return ReadWordsAnswer(
            words=WordsAnswer(known=read.known, unknown=read.unknown),
            notes=tuple(NoteAnswer(code=code, detail=detail) for code, detail in read.notes),
        )
    if engine is not None or adapter:
        raise _refused("engine" if engine is not None else "adapter", "must come with use=prompt; add it or leave out")
    if len(text) > MAX_WORDS_CHARS:
        raise _refused("text", f"must have at most {MAX_WORDS_CHARS} characters, got {len(text)}; shorten it")
    if not services.graph.finds_words:
        raise BadInput("not_served", NOT_SERVED)
    known, unknown = await in_thread(services.graph.read_words, text)
    return ReadWordsAnswer(
        words=WordsAnswer(known=tuple(known), unknown=tuple(unknown)),
        notes=tuple(reading_notes(text.strip(), known, unknown)),
    )


def _of_prompt(services: Services, tenant_id: str, text: str, engine: str | None, adapters: list[str]) -> PromptReading:
    text = checked_prompt(text, "text", services.settings.max_prompt_chars)
    chosen = pick_engine(engine, services.graph.engines())
    records = services.store.adapters.of_shot(tenant_id, adapters)
    return prompt_reading(services.graph, chosen.name, text, records)


def _refused(field: str, rule: str) -> BadInput:
    return BadInput("invalid_request", f"{field} {rule}.", errors=[{"loc": ["query", field], "msg": rule}])
