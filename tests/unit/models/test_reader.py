"""The reader of text: offline, silent, and exact on printed lines."""

from __future__ import annotations

import socket
import subprocess
import sys

import numpy as np
import pytest

from packshot.models.read import crop_line, read_lines
from tests.printed import LINES, card, reader


def test_lines_are_read_in_their_order_without_network(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("the reader opened a connection")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    lines = read_lines(reader(), card()[..., :3], 640)
    assert [line.reading.text for line in lines] == list(LINES)
    assert all(line.reading.score > 0.9 and 20 < line.height_px < 50 for line in lines)
    assert capfd.readouterr() == ("", "")


def test_a_line_is_cut_out_upright_however_its_product_lies() -> None:
    upright = card(LINES[1:2], size=(320, 70))[..., :3]
    [line] = read_lines(reader(), upright, 640)
    lying = np.ascontiguousarray(np.rot90(upright, -1))  # clockwise: top left is now top right
    quad = np.array([(upright.shape[0] - y, x) for x, y in line.quad], np.float32)
    crops = [crop_line(lying, quad), crop_line(upright, line.quad)]
    assert crops[0].shape == crops[1].shape
    assert [reading.text for reading in reader().read(crops)] == [LINES[1]] * 2


def test_nothing_is_found_in_a_blank_picture_and_nothing_is_asked_for_no_lines() -> None:
    assert read_lines(reader(), np.full((64, 200, 3), 128, np.uint8), 640) == []
    assert reader().read([]) == []


@pytest.mark.soak
def test_importing_and_making_a_reader_loads_no_network() -> None:
    program = (
        "import sys; from packshot.models.read import RapidReader; RapidReader(); print('rapidocr' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
