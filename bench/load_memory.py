"""`python -m bench.load_memory PACK ROLE`: the host memory that loading one network of a pack takes, at full size.

Files of random weights are written with the shapes that the manifest's config gives, as the hub's files have them. A
child process loads them through the pack's own code, and its largest resident memory is compared with the weights.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from bench.harness import Row, print_row
from packshot.models.packs.manifest import FileSpec, RoleSpec
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings

ROW = Row("load_memory", "largest host memory while a network loads, to its weights", 1.2)
GIB = 2**30
CHUNK_BYTES = 64 * 2**20
Dtype = Literal["fp32", "fp16", "bf16"]
FORMATS: dict[Dtype, tuple[str, int]] = {"fp32": ("F32", 4), "fp16": ("F16", 2), "bf16": ("BF16", 2)}


@dataclass(frozen=True)
class Loaded:
    """What one loading took. `peak_gib` is without what the process held before (its libraries)."""

    file_gib: float
    weights_gib: float
    before_gib: float
    peak_gib: float
    seconds: float


def write_random(spec: RoleSpec, folder: Path, dtype: Dtype, shard_gib: float = 4.0) -> list[Path]:
    """Write safetensors files of random weights for a role, and return their paths. Little memory is used."""
    from packshot.models.packs.weights import build

    shapes = {name: list(tensor.shape) for name, tensor in build(spec.class_name, spec.config).state_dict().items()}
    shards: list[dict[str, list[int]]] = [{}]
    filled = 0
    for name, shape in shapes.items():
        size = int(np.prod(shape, dtype=np.int64)) * FORMATS[dtype][1]
        if filled and filled + size > shard_gib * GIB:
            shards.append({})
            filled = 0
        shards[-1][name] = shape
        filled += size
    return [_write(folder / f"model-{index}.safetensors", shard, dtype) for index, shard in enumerate(shards)]


def _write(path: Path, shapes: dict[str, list[int]], dtype: Dtype) -> Path:
    label, width = FORMATS[dtype]
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + int(np.prod(shape, dtype=np.int64)) * width
        header[name] = {"dtype": label, "shape": shape, "data_offsets": [begin, end]}
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(told)) + told)
        for chunk in _noise(end, dtype):
            stream.write(chunk)
    return path


def _noise(size: int, dtype: Dtype) -> Iterator[bytes]:
    values = np.random.default_rng(0).normal(0, 0.02, CHUNK_BYTES // FORMATS[dtype][1]).astype(np.float32)
    if dtype == "bf16":
        data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    else:
        data = values.astype(np.float16 if dtype == "fp16" else np.float32).tobytes()
    while size > 0:
        yield data[:size]
        size -= len(data)


def load_once(spec: RoleSpec, files: list[Path], dtype: Dtype) -> Loaded:
    """Load the role in this process, and say what that took."""
    import torch

    from packshot.models.packs.weights import build, load_module

    build(spec.class_name, spec.config)  # imports the libraries, which are no part of the weights
    torch.zeros(1)
    before = _resident_bytes()
    peak, ended = [before], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            peak[0] = max(peak[0], _resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started_at = time.monotonic()
    wanted = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
    module = load_module(spec, files, torch.device("cpu"), wanted)
    seconds = time.monotonic() - started_at
    weights = sum(one.nbytes for one in [*module.parameters(), *module.buffers()])
    ended.set()
    watcher.join()
    size = sum(file.stat().st_size for file in files)
    return Loaded(size / GIB, weights / GIB, before / GIB, (peak[0] - before) / GIB, seconds)


def _in_child(spec: RoleSpec, files: list[Path], dtype: Dtype, answer: Any) -> None:
    answer.send(asdict(load_once(spec, files, dtype)))


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(spec: RoleSpec, file_dtype: Dtype, dtype: Dtype, folder: Path | None = None) -> Loaded:
    """Write random files of a role, load them in a child process, and remove them."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        files = write_random(spec, Path(scratch), file_dtype)
        named = spec.model_copy(update={"files": {file.name: FileSpec(sha256="0" * 64) for file in files}})
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        child = context.Process(target=_in_child, args=(named, files, dtype, there))
        child.start()
        there.close()
        try:
            found = Loaded(**here.recv())
        except EOFError:
            child.join()
            raise SystemExit(f"the child ended with {child.exitcode}: it ran out of memory, or see above") from None
        child.join()
    return found


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack")
    parser.add_argument("role")
    parser.add_argument("--dtype", choices=get_args(Dtype), default="bf16", help="of the loaded network")
    parser.add_argument("--file-dtype", choices=get_args(Dtype), default="fp16", help="of the files")
    parser.add_argument(
        "--set", metavar="NAME=INT", action="append", default=[], help="change the config, such as n_layers=8"
    )
    parser.add_argument("--folder", type=Path, help="where the files are written; they take as much as the weights")
    asked = parser.parse_args()
    spec = find_pack(asked.pack, Settings()).manifest.roles[asked.role]
    changes = {name: int(value) for name, _, value in (one.partition("=") for one in asked.set)}
    spec = spec.model_copy(update={"config": {**spec.config, **changes}})
    free = shutil.disk_usage(asked.folder or tempfile.gettempdir()).free
    found = measure(spec, asked.file_dtype, asked.dtype, asked.folder)
    figures = {key: round(value, 3) for key, value in asdict(found).items()}
    more: dict[str, Any] = {"pack": asked.pack, "role": asked.role, "dtype": asked.dtype, "free_gib": round(free / GIB)}
    more |= {"file_dtype": asked.file_dtype, **changes}
    return 0 if print_row(ROW, [found.peak_gib / found.weights_gib], **more, **figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
