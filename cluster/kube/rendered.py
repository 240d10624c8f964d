"""The rendered files under k8s/ and compose/: their paths and texts. A test compares them with the committed files."""

from __future__ import annotations

from pathlib import Path

from cluster.edge import nginx
from cluster.kube.alerts import alert_rules
from cluster.kube.compose import FOLDER, compose
from cluster.kube.dashboards import dashboards
from cluster.kube.rayjob import ray_job
from cluster.kube.rayservice import disruption_budgets, ray_service, to_yaml
from cluster.profiles import Profile, load_profile

ROOT = Path(__file__).parents[2]
BASE_PROFILE = "production"
KEYS = ("apiVersion", "kind", "metadata")
HEADER = "# Rendered from profile {profile} by `python -m cluster.kube render`; do not edit.\n"


def rendered() -> dict[str, str]:
    """The text of every rendered file, by its path from the repository's root."""
    production, laptop = load_profile(BASE_PROFILE), load_profile("laptop")
    return {
        "k8s/base/rayservice.yaml": HEADER.format(profile=BASE_PROFILE) + to_yaml(ray_service(production)),
        "k8s/base/budgets.yaml": HEADER.format(profile=BASE_PROFILE) + to_yaml(*disruption_budgets(production)),
        "k8s/training/rayjob.yaml": HEADER.format(profile=BASE_PROFILE) + to_yaml(ray_job(production)),
        "k8s/overlays/dev/rayservice.yaml": overlay_patch(laptop),
        "k8s/components/edge/nginx.conf": nginx.HEADER + nginx.SOURCE.read_text("utf-8"),
        "k8s/components/monitoring/rules.yaml": HEADER.replace(" from profile {profile}", "") + to_yaml(alert_rules()),
        **{
            f"{FOLDER}/{name}.yaml": HEADER.format(profile=profile.name) + to_yaml(compose(profile))
            for name, profile in (("cpu", laptop), ("one-gpu", load_profile("one-gpu")))
        },
        **{f"k8s/components/monitoring/dashboards/{name}.json": text for name, text in dashboards().items()},
    }


def spec_patch(profile: Profile) -> str:
    """The RayService of a profile as a kustomize patch that replaces the base's spec."""
    service = ray_service(profile)
    service["spec"] = {"$patch": "replace", **service["spec"]}
    return HEADER.format(profile=profile.name) + to_yaml(service)


def overlay_patch(profile: Profile) -> str:
    """The patches of an overlay on the base: the profile's RayService, and the base's budgets for the profile's pools.

    A budget of the base whose pool the profile lacks is deleted.
    """
    own = {budget["metadata"]["name"]: budget for budget in disruption_budgets(profile)}
    budgets = [
        own.get(budget["metadata"]["name"], {**{key: budget[key] for key in KEYS}, "$patch": "delete"})
        for budget in disruption_budgets(load_profile(BASE_PROFILE))
    ]
    return spec_patch(profile) + "---\n" + to_yaml(*budgets)


def added_budgets(profile: Profile) -> str:
    """The budgets of pools that the base lacks, as YAML; empty when there are none."""
    known = {budget["metadata"]["name"] for budget in disruption_budgets(load_profile(BASE_PROFILE))}
    return to_yaml(*(one for one in disruption_budgets(profile) if one["metadata"]["name"] not in known))


def write(root: Path = ROOT) -> list[str]:
    """Write every rendered file that differs, and return the paths that changed."""
    changed = []
    for path, text in rendered().items():
        file = root / path
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            changed.append(path)
    return changed
