"""Words of the prompt that the engine leaves out are named under the field while a person types."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from packshot.client import Client
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from tests.adapter_files import lora, peft_file
from tests.browser.light import Light
from tests.browser.visits import Visit
from tests.unit.studio.test_studio_hour import on_canvas


def prompt_of(page: Page) -> None:
    page.get_by_role("tab", name="Render").click()
    page.get_by_label("Prompt", exact=True).focus()  # the line is loaded at the brief's first use


def test_unknown_words_of_the_prompt_are_named_until_they_are_gone(visit: Callable[..., Visit]) -> None:
    page = on_canvas(visit().page())
    prompt_of(page)
    field, told = page.get_by_label("Prompt", exact=True), page.locator("#prompt-words")
    field.fill("zorbly on a marble table")
    expect(told).to_have_text("Unknown words were left out: zorbly; use other, English words.")
    field.fill("zorbly")
    expect(told).to_contain_text("The prompt has no known word")
    field.fill("on a marble table")
    expect(told).to_be_hidden()
    field.fill("")
    expect(told).to_be_hidden()


def test_unknown_words_of_the_negative_prompt_are_named_and_none_is_missed(visit: Callable[..., Visit]) -> None:
    page = on_canvas(visit().page())
    prompt_of(page)
    field, told = page.get_by_label("Negative prompt", exact=True), page.locator("#negative-words")
    field.fill("zorbly, blurred")
    expect(told).to_have_text("Unknown words were left out: zorbly; use other, English words.")
    field.fill("zorbly")  # an engine without any word to avoid avoids nothing: that is no fault
    expect(told).to_have_text("Unknown words were left out: zorbly; use other, English words.")
    expect(page.locator("#prompt-words")).to_be_hidden()
    field.fill("")
    expect(told).to_be_hidden()


def test_the_enlargement_counts_from_what_the_decoder_gives(visit: Callable[..., Visit]) -> None:
    """Both engines paint at 256 px; the second one's decoder gives 512."""
    page = on_canvas(visit().page())
    page.get_by_role("tab", name="Place").click()
    page.get_by_label("Width").fill("1536")
    page.get_by_label("Height").fill("1536")
    page.get_by_role("tab", name="Render").click()
    expect(page.locator("#soft")).to_contain_text("enlarges the scene about 6 times")
    page.get_by_label("Engine", exact=True).select_option("second")
    expect(page.locator("#soft")).to_contain_text("enlarges the scene about 3 times")


def test_an_adapters_trigger_counts_as_known_once_it_is_used(visit: Callable[..., Visit], light: Light) -> None:
    file = peft_file(lora(find_pack("mini", Settings()), layers=("attn2.to_q",)))
    with Client(light.api.url) as client:
        client.add_adapter(file, "Autumn", trigger="autumnlook")
    page = on_canvas(visit().page())
    prompt_of(page)
    page.get_by_label("Engine", exact=True).select_option("second")
    told = page.locator("#prompt-words")
    page.get_by_label("Prompt", exact=True).fill("autumnlook on marble")
    expect(told).to_contain_text("left out: autumnlook")
    page.get_by_role("slider", name="Autumn").fill("50")
    expect(told).to_be_hidden()
