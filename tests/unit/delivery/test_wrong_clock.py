"""The C2PA library itself in a process whose clock is in 1970: what it says of files, and what Packshot makes of it.

The library reads the clock in native code, which no fixture of Python can set. A small library in front of libc's does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from packshot.delivery.provenance import read_manifest
from packshot.delivery.signing import load_signer, trust_anchors
from packshot.settings import Settings
from tests.unit.delivery.test_signing import signed

LIBRARY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

static const time_t shown = 300; /* 1970-01-01 00:05 UTC */

int clock_gettime(clockid_t which, struct timespec *out) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int answer = real(which, out);
    if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) out->tv_sec = shown;
    return answer;
}
int gettimeofday(struct timeval *restrict out, void *restrict zone) { out->tv_sec = shown; out->tv_usec = 0; return 0; }
time_t time(time_t *out) { if (out) *out = shown; return shown; }
"""

IN_1970 = """
import json, sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from packshot.delivery import signing
from packshot.delivery.provenance import read_manifest
from packshot.errors import BadInput
from packshot.settings import Settings
from tests.unit.delivery.test_signing import signed

home = Path(sys.argv[1])
data, chain = (home / "today.png").read_bytes(), (home / "chain.pem").read_text()
told = {"year": datetime.now(UTC).year, "found": asdict(read_manifest(data, chain))}
told["changed"] = asdict(read_manifest(data[:-40] + bytes(40), chain))
try:
    signing.load_signer(Settings(home=home))
except BadInput as error:
    told["refused"] = str(error)
signing.EARLIEST = datetime(1960, 1, 1, tzinfo=UTC)  # as another signer, who does not look at the clock
(home / "then.png").write_bytes(signed(signing.load_signer(Settings(home=home / "then"))))
(home / "then.pem").write_text(signing.trust_anchors(Settings(home=home / "then")))
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def in_1970(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with files that were signed today and in 1970, and what a process in 1970 said of today's."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler makes the library that shows another time, and this machine has none")
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    (home / "today.png").write_bytes(signed(load_signer(settings)))
    (home / "chain.pem").write_text(trust_anchors(settings), "utf-8")
    source, library = home / "clock.c", home / "clock.so"
    source.write_text(LIBRARY, "utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=120)
    child = subprocess.run(
        [sys.executable, "-c", IN_1970, home],
        env=os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 0, child.stderr
    told: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    assert told["year"] == 1970
    return home, told


@pytest.mark.soak
def test_a_file_of_today_is_not_yet_valid_and_not_broken(in_1970: tuple[Path, dict[str, Any]]) -> None:
    _, told = in_1970
    assert {name: told["found"][name] for name in ("present", "valid", "trusted", "expired")} == {
        "present": True,
        "valid": False,
        "trusted": False,
        "expired": True,
    }
    assert (told["changed"]["valid"], told["changed"]["expired"]) == (False, False)
    assert "signing_refused: files must be signed by a clock that is right" in told["refused"]
    assert "1970-01-01 00:05 UTC; set this machine's clock" in told["refused"]


@pytest.mark.soak
def test_a_file_that_was_signed_in_1970_has_an_expired_certificate_today(in_1970: tuple[Path, dict[str, Any]]) -> None:
    home, _ = in_1970
    found = read_manifest((home / "then.png").read_bytes(), (home / "then.pem").read_text("utf-8"))
    assert datetime.now(UTC).year > 2025
    assert (found.present, found.valid, found.trusted, found.expired) == (True, False, False, True)
