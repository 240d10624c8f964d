"""The README's curl session, run unchanged except for the port and the folder."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import skimage.data

from packshot.imaging.codec import encode_png, read_png

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the README's session uses curl and jq")
def test_the_curl_session_makes_a_picture(url: str, tmp_path: Path) -> None:
    (session,) = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "HOST=http://127.0.0.1:8000" in session
    (tmp_path / "out/demo").mkdir(parents=True)
    (tmp_path / "out/demo/coffee.png").write_bytes(encode_png(skimage.data.coffee()))
    script = "set -euo pipefail\n" + session.replace("http://127.0.0.1:8000", url)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_png((tmp_path / "picture.png").read_bytes()).shape == (1024, 1024, 3)


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z][a-z0-9-]*)", (ROOT / "README.md").read_text())) - {"it"} <= targets | {"serve"}
