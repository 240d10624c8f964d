"""What a `Graph` answers from the packs' files, in the process that was asked: no stage is called, no replica wakes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import cached_property

from packshot.contract.engines import EngineInfo
from packshot.models.adapters.base import AdapterFit, check_base
from packshot.models.adapters.file import AdapterFile
from packshot.models.detect.phrases import Phrases, find_phrases
from packshot.models.engines.prompt_words import PromptReading, PromptWords
from packshot.models.packs.served import Served, detector_pack, find_engines
from packshot.settings import Settings
from packshot.training.jobs.check import check_training


class PackAnswers:
    """The part of `Graph` that every way of serving shares. `Graph` describes the methods.

    `packs` are the packs of the engines by name, the default first, and `detector_pack` is the one that finds words.
    `detector_reads` is what its detector is given, a photo or an embedding; None when no detector is served. Raises
    PackRefused when a pack cannot be found.
    """

    def __init__(self, served: Served, settings: Settings) -> None:
        self.packs = find_engines(served, settings)
        self._engines = tuple(pack.summary() for pack in self.packs.values())
        self.detector_pack = detector_pack(served, settings)
        self.detector_reads = self.detector_pack.manifest.detector_reads

    def engines(self) -> tuple[EngineInfo, ...]:
        return self._engines

    @property
    def finds_words(self) -> bool:
        return self.detector_reads is not None

    @cached_property
    def _phrases(self) -> Phrases | None:
        return find_phrases(self.detector_pack)

    def read_words(self, text: str) -> tuple[list[str], list[str]]:
        return (text.split(), []) if self._phrases is None else self._phrases.read(text)

    @cached_property
    def _prompt_words(self) -> PromptWords:
        return PromptWords(self.packs)

    def read_prompt(
        self, engine: str, prompt: str, triggers: Collection[str] = (), learned: Collection[str] = ()
    ) -> PromptReading:
        return self._prompt_words.read(engine, prompt, triggers, learned)

    async def check_adapter(self, engine: str, file: AdapterFile) -> AdapterFit:
        return await asyncio.to_thread(check_base, file, self.packs[engine])

    async def check_training(self, engine: str, tag: str) -> None:
        await asyncio.to_thread(check_training, self.packs[engine], tag)
