"""`python -m cluster.kube render | check [FOLDER …] | patch PROFILE | budgets PROFILE | chart FOLDER [OVERLAY]`.

render    write the rendered files under k8s/
check     build overlays and check them; the exit code is 1 when a check fails
patch     print the kustomize patch of a profile, for an overlay on the base
budgets   print the PodDisruptionBudgets of a profile's pools that the base lacks
chart     write a Helm chart of an overlay, or of production, into a new folder
"""

from __future__ import annotations

import sys
from pathlib import Path

from cluster.kube import promql, rules, schemas
from cluster.kube.build import build
from cluster.kube.helm import write_chart
from cluster.kube.rendered import ROOT, added_budgets, overlay_patch, rendered, write
from cluster.profiles import load_profile
from packshot.errors import PackshotError

OVERLAYS = ("k8s/overlays/dev", "k8s/overlays/production")
USAGE = """\
usage: python -m cluster.kube render | check [FOLDER …] | patch PROFILE | budgets PROFILE | chart FOLDER [OVERLAY]"""


def check(folder: Path) -> list[str]:
    """Build an overlay and check it against schemas, rules and PromQL. Returns the faults, one line each."""
    manifests = build(folder)
    found = [fault for manifest in manifests for fault in schemas.faults(manifest)]
    found += [*rules.faults(manifests), *promql.faults(manifests)]
    print(f"{folder}: {len(manifests)} manifests, {len(found)} faults")
    return found


def main(arguments: list[str]) -> int:
    """Run the command. Returns the exit code: 0 success, 1 faults, 2 bad usage."""
    match arguments:
        case ["render"]:
            print(*(write() or ["nothing changed"]), sep="\n")
            return 0
        case ["patch", profile]:
            sys.stdout.write(overlay_patch(load_profile(profile)))
            return 0
        case ["budgets", profile]:
            sys.stdout.write(added_budgets(load_profile(profile)))
            return 0
        case ["chart", folder, *overlay] if len(overlay) <= 1:
            source = Path(overlay[0]) if overlay else ROOT / OVERLAYS[-1]
            written = write_chart(build(source), str(overlay[0] if overlay else OVERLAYS[-1]), Path(folder))
            print(f"{folder}: {len(written)} files")
            return 0
        case ["check", *folders]:
            stale = [path for path, text in rendered().items() if (ROOT / path).read_text() != text]
            faults = [f"{path} must equal the rendered text; run python -m cluster.kube render" for path in stale]
            for folder in folders or [str(ROOT / overlay) for overlay in OVERLAYS]:
                faults += check(Path(folder))
            print(*faults, sep="\n", file=sys.stderr)
            return 1 if faults else 0
        case _:
            print(USAGE, file=sys.stderr)
            return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except PackshotError as error:
        print(f"packshot: {error} [{error.code}]", file=sys.stderr)
        sys.exit(2)
