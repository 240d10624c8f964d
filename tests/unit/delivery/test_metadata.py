"""A file's XMP is well-formed and says what IPTC 2025.1 asks for, in every format."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from packshot.delivery.files import MEDIA, write_file
from packshot.delivery.metadata import XMP_KEY, Origin, xmp_of
from packshot.delivery.presets import Format, presets
from tests.debian_tools import missing

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
CREATOR_TOOL = "{http://ns.adobe.com/xap/1.0/}CreatorTool"
CREDIT = "{http://ns.adobe.com/photoshop/1.0/}Credit"
PAINTED, PLAIN = Origin(version="1.2.3", engine="sdxl"), Origin(version="1.2.3")
KINDS: tuple[Format, ...] = ("jpeg", "png", "webp")


def file_of(kind: Format, source_type: str | None, origin: Origin) -> bytes:
    pixels = np.full((32, 40, 3), 200, np.uint8)
    return write_file(pixels, kind, None if kind == "png" else 90, xmp_of(source_type, origin))


def properties_of(packet: bytes) -> dict[str, str]:
    described = ElementTree.fromstring(packet.decode().replace("\ufeff", "")).find(f".//{RDF}Description")
    assert described is not None
    return dict(described.attrib)


@pytest.mark.parametrize("kind", KINDS)
def test_every_channels_file_has_its_properties(kind: Format) -> None:
    for preset in presets():
        for origin, source_type in ((PAINTED, preset.digital_source_type), (PLAIN, preset.plain_source_type)):
            opened = Image.open(io.BytesIO(file_of(kind, source_type, origin)))
            opened.load()
            packet = opened.info.get("xmp") or opened.info[XMP_KEY].encode()
            found = properties_of(packet)
            assert found.get(f"{IPTC}DigitalSourceType") == source_type
            assert found[CREATOR_TOOL] == "Packshot 1.2.3"
            painted = origin.engine is not None
            assert found[CREDIT] == ("Scene made with AI" if painted else "Made with Packshot")
            assert found.get(f"{IPTC}AISystemUsed") == ("Packshot, engine sdxl" if painted else None)
            assert found.get(f"{IPTC}AISystemVersionUsed") == ("1.2.3" if painted else None)
            assert "AIPrompt" not in packet.decode()


def test_values_are_escaped() -> None:
    odd = Origin(version='1 < 2 & "3"', engine="<sd>")
    found = properties_of(xmp_of("https://example.org/?a=1&b=2", odd))
    assert found[CREATOR_TOOL] == 'Packshot 1 < 2 & "3"'
    assert found[f"{IPTC}DigitalSourceType"] == "https://example.org/?a=1&b=2"


def test_a_file_with_nothing_to_say_has_no_packet() -> None:
    assert xmp_of(None, None) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_exiftool_reads_the_properties(kind: Format, tmp_path: Path) -> None:
    exiftool = shutil.which("exiftool") or missing("exiftool", "readers of metadata")
    path = tmp_path / f"a.{MEDIA[kind][1]}"
    preset = presets()[0]
    path.write_bytes(file_of(kind, preset.digital_source_type, PAINTED))
    ran = subprocess.run(
        [exiftool, "-j", "-G1", "-validate", "-XMP:all", str(path)], capture_output=True, text=True, check=True
    )
    [found] = json.loads(ran.stdout)
    assert found["XMP-iptcExt:DigitalSourceType"] == preset.digital_source_type
    assert found["XMP-xmp:CreatorTool"] == "Packshot 1.2.3"
    assert found["XMP-photoshop:Credit"] == "Scene made with AI"
    assert found["XMP-iptcExt:AISystemUsed"] == "Packshot, engine sdxl"
    assert found["ExifTool:Validate"] == "OK"
