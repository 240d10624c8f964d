"""What POST /v1/verify costs, in processor milliseconds of each part: `python -m bench.verify_speed`.

The decoder's worker, the finisher and the look-up run here as they do in their processes. The look-up is among
`--pictures` fingerprints of noise, in a SQLite store.
"""

from __future__ import annotations

import argparse
import io
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from PIL import Image

from packshot.delivery.metadata import Origin
from packshot.delivery.signing import load_signer, trust_anchors
from packshot.imaging.decoding.photo_decoder import PhotoDecoder
from packshot.imaging.fingerprint import SKETCH_PX, WINDOWS, Fingerprint
from packshot.settings import Settings
from packshot.shots.finish import Finisher
from packshot.store.assets import Assets
from packshot.store.fingerprints import Sketched
from packshot.store.lookalikes import Lookalikes


class Noise:
    """Fingerprints of pictures that do not exist, as `Fingerprints` gives them."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(1)
        self._hashes = rng.integers(0, 256, (count, 8 * len(WINDOWS)), np.uint8)
        base = cv2.resize(rng.integers(0, 256, (12, 12), np.uint8), (SKETCH_PX, SKETCH_PX))
        self._sketch = np.asarray(base, np.uint8).tobytes()

    def hashes_after(self, seq: int, most: int) -> list[tuple[int, bytes]]:
        return [(at + 1, self._hashes[at].tobytes()) for at in range(seq, min(seq + most, len(self._hashes)))]

    def sketches(self, seqs: list[int]) -> list[Sketched]:
        return [Sketched(seq, f"im_{seq}", self._sketch) for seq in seqs]


def cpu_ms(call: Callable[[], object], times: int, who: int = resource.RUSAGE_SELF) -> float:
    """The median processor time of a call, milliseconds."""
    spent = []
    for _ in range(times):
        before = resource.getrusage(who)
        call()
        after = resource.getrusage(who)
        spent.append(1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return median(spent)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=9)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    look: Lookalikes = Lookalikes(Noise(args.pictures))  # type: ignore[arg-type]
    started = time.process_time()
    look._refresh()
    print(f"{'first look-up reads the hashes':40} {1000 * (time.process_time() - started):8.1f} ms, once a process")
    calibration = cpu_ms(lambda: cv2.GaussianBlur(np.zeros((1024, 1024), np.float32), (0, 0), 8), args.times)
    print(f"{'calibration: a blur of 1024 x 1024':40} {calibration:8.1f} ms")
    with tempfile.TemporaryDirectory() as folder, PhotoDecoder() as decoder:
        settings = Settings(home=Path(folder))
        signer, anchors = load_signer(settings), trust_anchors(settings)
        finisher = Finisher(Assets(settings.asset_root, 0))
        for width, height in ((1024, 1024), (1448, 1448)):
            out = io.BytesIO()
            Image.fromarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)).save(out, "JPEG")
            origin = Origin(version="1", instance_id="xmp:iid:00000000-0000-0000-0000-000000000001")
            data = signer.sign(out.getvalue(), "image/jpeg", origin, generated=True, source_type=None)
            measure(decoder, finisher, look, data, anchors, args.times, f"{width} x {height}")


def measure(
    decoder: PhotoDecoder, finisher: Finisher, look: Lookalikes, data: bytes, anchors: str, times: int, size: str
) -> None:
    """Print the parts of one file."""
    decoder.read_manifest(data, anchors)  # the worker loads its libraries
    photo = decoder.normalise(data)
    seen = finisher.examine(photo.png)
    assert seen.fingerprint is not None
    wanted: Fingerprint = seen.fingerprint
    parts = {
        "manifest (worker)": worker_ms(decoder, lambda: decoder.read_manifest(data, anchors), times),
        "pixels (worker)": worker_ms(decoder, lambda: decoder.normalise(data), times),
        "mark and fingerprint (finisher)": cpu_ms(lambda: finisher.examine(photo.png), times),
        f"look-up among {len(look):,} (gateway)": cpu_ms(lambda: look.search(wanted), times),
    }
    for name, spent in parts.items():
        print(f"{size + ' ' + name:60} {spent:8.1f} ms")
    print(f"{size + ' in all':60} {sum(parts.values()):8.1f} ms")


def worker_ms(decoder: PhotoDecoder, call: Callable[[], object], times: int) -> float:
    """The processor time of the decoder's worker process for a call, by the kernel's clock of 10 ms."""
    from packshot.imaging.decoding.photo_decoder import _cpu_s

    worker = decoder._slots.get()
    decoder._slots.put(worker)
    assert worker is not None
    before = _cpu_s(worker._process.pid)
    for _ in range(times):
        call()
    return 1000 * (_cpu_s(worker._process.pid) - before) / times


if __name__ == "__main__":
    main()
