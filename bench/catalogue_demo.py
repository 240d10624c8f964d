"""The catalogue of tests/catalogue: 30 SKUs, three scenes, two channels, one broken photo, one without its product.

`make catalogue-demo` runs it: it serves the API in one process, gives the folder to `packshot catalogue run`, and ends
with the set report. It downloads nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import skimage.data
from PIL import Image

OUT = Path("out/catalogue-demo")
CATALOGUE = Path("tests/catalogue")
WRONG = {"BROKEN", "EMPTY"}
"""The SKUs whose photos cannot be used. Each other row must be done."""


def lay_out(folder: Path) -> Path:
    """The catalogue as an agency's folder, with the photo that scikit-image carries."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(CATALOGUE, folder)
    Image.fromarray(skimage.data.coffee()).save(folder / "photos" / "coffee.png")
    return folder


def wait_until_quick(url: str, within_s: float = 1.0, give_up_after_s: float = 300.0) -> None:
    """Return when the server answers in time: while its models load in the same process, it answers late."""
    give_up_at = time.monotonic() + give_up_after_s
    while time.monotonic() < give_up_at:
        asked_at = time.monotonic()
        httpx.get(f"{url}/healthz", timeout=give_up_after_s).raise_for_status()
        if time.monotonic() - asked_at < within_s:
            return


def main() -> int:
    """Make the catalogue and write its report. Returns 0 when exactly the wrong photos' rows are not done."""
    from graphs.one_process import serving_in_process
    from packshot.settings import Settings

    started_at = time.perf_counter()
    shutil.rmtree(OUT, ignore_errors=True)
    folder, files = lay_out(OUT / "catalogue"), OUT / "files"
    settings = Settings(home=(OUT / "home").resolve(), open_access=True)
    with serving_in_process(settings, pictures=90) as url:
        wait_until_quick(url)
        command = [str(Path(sys.executable).with_name("packshot")), "catalogue", "run", str(folder), "--host", url]
        ran = subprocess.run([*command, "--out", str(files), "--json"], stdout=subprocess.PIPE, check=False)
        if ran.returncode not in (0, 1):
            return ran.returncode
        answer = json.loads(ran.stdout)
        if "id" not in answer:
            return 1
        for ending in ("png", "json"):
            report = httpx.get(f"{url}/v1/catalogues/{answer['id']}/report.{ending}", timeout=60).raise_for_status()
            (OUT / f"report.{ending}").write_bytes(report.content)
    left = {row["sku"] for row in (*answer["failed"], *answer["skipped"])}
    found = json.loads((OUT / "report.json").read_text())
    print(
        f"{answer['counts']}, not done: {sorted(left)}, {found['outliers_total']} pictures stand out", file=sys.stderr
    )
    print(f"{time.perf_counter() - started_at:.0f} s; look at {OUT / 'report.png'} and {files}", file=sys.stderr)
    return 0 if left == WRONG else 1


if __name__ == "__main__":
    raise SystemExit(main())
