"""A delivered file's name is one plain file name from a closed set of fields, or is refused."""

from __future__ import annotations

import pytest

from packshot.delivery.naming import FIELDS, check_gtin, check_name, collision_key, parse_template
from packshot.errors import BadInput

MUG = "4006381333931"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{sku}.MAIN.{ext}", "B01-RED.MAIN.jpg"),
        ("{sku}-{scene}-{n:02}.{ext}", "B01-RED-marble-03.jpg"),
        ("{asin}.{slot}.{ext}", "B0C1234567.PT01.jpg"),
        ("{gtin:14}.{ext}", f"0{MUG}.jpg"),
        ("{gtin}_{view}_{preset}_{n}.{ext}", f"{MUG}_front_shopify_3.jpg"),
        ("Größe {n:4}.{ext}", "Größe 0003.jpg"),
    ],
)
def test_a_template_is_filled_in(text: str, name: str) -> None:
    template = parse_template(text)
    values: dict[str, str | int] = {
        "sku": "B01-RED",
        "scene": "marble",
        "n": 3,
        "ext": "jpg",
        "asin": "B0C1234567",
        "slot": "PT01",
    }
    assert template.render({**values, "gtin": MUG, "view": "front", "preset": "shopify"}) == name
    assert template.fields <= FIELDS.keys()


def test_the_axes_of_a_catalogue_are_fields() -> None:
    template = parse_template("{sku}-{season}.{ext}", axes=["season"])
    assert template.fields == {"sku", "season", "ext"}
    assert template.render({"sku": "a", "season": "spring", "ext": "png"}) == "a-spring.png"
    with pytest.raises(BadInput, match=r"template_invalid: .*got '\{season\}'; use one of .*\{asin\}"):
        parse_template("{sku}-{season}.{ext}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 196 + ".{ext}",
        "{sku}",
        "{sku}.jpg",
        "{sku}/{n}.{ext}",
        "{sku}\\{n}.{ext}",
        "../{sku}.{ext}",
        "{sku}..{ext}",
        "{{sku}}.{ext}",
        "{sku.__class__}.{ext}",
        "{sku!r}.{ext}",
        "{0}.{ext}",
        "{}.{ext}",
        "{sku:>9999}.{ext}",
        "{sku:02}.{ext}",
        "{n:0}.{ext}",
        "{n:99}.{ext}",
        "{n:9999999999}.{ext}",
        "{n:}.{ext}",
        "{n:٢}.{ext}",
        "{gtin:10}.{ext}",
        "{SKU}.{ext}",
        "{sku\x00}.{ext}",
        "a\nb.{ext}",
        "\u202e{sku}.{ext}",
        "{sku.{ext}",
        "sku}.{ext}",
        "C:{sku}.{ext}",
    ],
)
def test_a_template_that_is_not_one_of_known_fields_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"template_invalid: .+ got .+; .+"):
        parse_template(text)


@pytest.mark.parametrize(
    "sku",
    [
        "../../etc/passwd",
        "a/b",
        "a\\b",
        "a\x00b",
        "..",
        ".hidden",
        "-rf",
        " a",
        "a\u202eb",
        "a\nb",
        "é" * 110,
        "a|b",
        "",
    ],
)
def test_a_value_never_escapes_its_name(sku: str) -> None:
    with pytest.raises(BadInput, match=r"filename_invalid: .+ got .+; .+"):
        parse_template("{sku}.{ext}").render({"sku": sku, "ext": "jpg"})


@pytest.mark.parametrize("name", ["CON.jpg", "nul.png", "Lpt1.tar.jpg"])
def test_a_name_that_windows_reserves_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"filename_invalid.*Windows"):
        check_name(name)


@pytest.mark.parametrize("values", [{}, {"n": ""}, {"n": True}, {"n": -1}, {"n": "1a"}, {"n": "٣"}])
def test_a_number_that_is_missing_or_none_is_refused(values: dict[str, str | int]) -> None:
    with pytest.raises(BadInput, match="filename_invalid"):
        parse_template("{n}.{ext}").render({"ext": "jpg", **values})


def test_names_that_a_file_system_takes_for_one_have_one_key() -> None:
    assert check_name("Cafe\u0301.jpg") == "Café.jpg"
    assert collision_key("Café.jpg") == collision_key("CAFE\u0301.JPG")
    assert collision_key("a.jpg") != collision_key("b.jpg")


@pytest.mark.parametrize("gtin", ["96385074", "036000291452", MUG, f"0{MUG}", "10012345678902"])
def test_a_gtin_of_each_length_is_taken_as_it_is(gtin: str) -> None:
    assert check_gtin(gtin) == gtin


@pytest.mark.parametrize(
    ("gtin", "says"),
    [
        ("4006381333932", r"last digit of 400638133393\? must be 1"),
        ("4006381333391", "must be"),  # two digits swapped
        ("036000291453", "must be 2"),
        ("4.00638E+12", "format the column as text"),
        ("4,00638e12", "format the column as text"),
        ("4006381333931.0", "only the digits"),
        ("400638133393", "must be"),
        ("12345", r"5 digits"),
        ("036000 291452", "only the digits"),
        ("٠٣٦٠٠٠٢٩١٤٥٢", "only the digits"),
        ("", "only the digits"),
    ],
)
def test_a_wrong_gtin_is_refused_with_its_remedy(gtin: str, says: str) -> None:
    with pytest.raises(BadInput, match=f"gtin_invalid: .*{says}"):
        check_gtin(gtin)


@pytest.mark.parametrize("digit", range(13))
def test_every_single_wrong_digit_of_a_gtin_is_found(digit: int) -> None:
    for other in "0123456789":
        wrong = MUG[:digit] + other + MUG[digit + 1 :]
        if wrong != MUG:
            with pytest.raises(BadInput, match="gtin_invalid"):
                check_gtin(wrong)


def test_a_template_does_not_shorten_a_gtin() -> None:
    assert parse_template("{gtin:13}.{ext}").render({"gtin": f"0{MUG}", "ext": "jpg"}) == f"{MUG}.jpg"
    with pytest.raises(BadInput, match="too few digits"):
        parse_template("{gtin:12}.{ext}").render({"gtin": MUG, "ext": "jpg"})
