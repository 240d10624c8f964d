"""`python -m cluster.kube COMMAND`.

render                  write the rendered files under k8s/ and compose/ (in a checkout)
check [FOLDER …]        build overlays and check them; the exit code is 1 when a check fails
patch PROFILE           print the kustomize patch of a profile, for an overlay on the base
budgets PROFILE         print the PodDisruptionBudgets of a profile's pools that the base lacks
chart FOLDER [OVERLAY]  write a Helm chart of an overlay, or of production, into a new folder
copy FOLDER             copy k8s/ into a new folder, for who has the wheel and no checkout
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from cluster.kube.build import MANIFESTS, build
from cluster.profiles import load_profile
from packshot.errors import BadInput, PackshotError

OVERLAYS = ("overlays/dev", "overlays/production")


def check(folder: Path) -> list[str]:
    """Build an overlay and check it against schemas, rules and PromQL. Returns the faults, one line each."""
    from cluster.kube import promql, rules, schemas

    manifests = build(folder)
    found = [fault for manifest in manifests for fault in schemas.faults(manifest)]
    found += [*rules.faults(manifests), *promql.faults(manifests)]
    print(f"{folder}: {len(manifests)} manifests, {len(found)} faults")
    return found


def main(arguments: list[str]) -> int:
    """Run the command. Returns the exit code: 0 success, 1 faults, 2 bad usage."""
    match arguments:
        case ["render"]:
            from cluster.kube.rendered import write

            print(*(write() or ["nothing changed"]), sep="\n")
        case ["patch", profile]:
            from cluster.kube.rendered import overlay_patch

            sys.stdout.write(overlay_patch(load_profile(profile)))
        case ["budgets", profile]:
            from cluster.kube.rendered import added_budgets

            sys.stdout.write(added_budgets(load_profile(profile)))
        case ["chart", folder, *overlay] if len(overlay) <= 1:
            from cluster.kube.helm import write_chart

            source = Path(overlay[0]) if overlay else MANIFESTS / OVERLAYS[-1]
            written = write_chart(build(source), str(overlay[0] if overlay else f"k8s/{OVERLAYS[-1]}"), Path(folder))
            print(f"{folder}: {len(written)} files")
        case ["copy", folder]:
            _copy(Path(folder))
        case ["check", *folders]:
            faults = [*_stale(), *(fault for folder in folders or _overlays() for fault in check(Path(folder)))]
            print(*faults, sep="\n", file=sys.stderr)
            return 1 if faults else 0
        case _:
            print(f"usage: {__doc__}", file=sys.stderr)
            return 2
    return 0


def _overlays() -> list[str]:
    return [str(MANIFESTS / overlay) for overlay in OVERLAYS]


def _stale() -> list[str]:
    """The rendered files of this checkout that differ from a fresh rendering. A wheel has none."""
    from cluster.kube.rendered import ROOT, rendered

    if not (ROOT / "k8s").is_dir():
        return []
    return [
        f"{path} must equal the rendered text; run python -m cluster.kube render"
        for path, text in rendered().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text() != text
    ]


def _copy(folder: Path) -> None:
    if folder.exists():
        raise BadInput("bad_usage", f"the folder must not exist, got {folder}; remove it or name another one")
    shutil.copytree(MANIFESTS, folder)
    print(f"{folder}: {sum(1 for file in folder.rglob('*') if file.is_file())} files")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except PackshotError as error:
        print(f"packshot: {error.detail} [{error.code}]", file=sys.stderr)
        sys.exit(2)
