"""Readers of text: where its lines lie in a picture, and what they say."""

from __future__ import annotations

from packshot.models.read.rapid import RapidReader
from packshot.models.read.reader import Quad, Reader, Reading, TextLine, crop_line, read_lines

__all__ = ["Quad", "RapidReader", "Reader", "Reading", "TextLine", "crop_line", "read_lines"]
