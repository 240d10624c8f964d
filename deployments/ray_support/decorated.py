"""A class under `@serve.deployment`, as the `Deployment` that it is: type checkers see only the class."""

from __future__ import annotations

from ray.serve import Deployment


def as_deployment(decorated: object) -> Deployment:
    """`decorated` itself, for `.bind(…)` and `.options(…)`. Raises TypeError for a class without the decorator."""
    if not isinstance(decorated, Deployment):
        raise TypeError(f"a class under @serve.deployment is wanted, got {decorated!r}")
    return decorated
