"""The type of a class with `@serve.deployment`: it is a `Deployment`, but type checkers see only the class."""

from __future__ import annotations

from ray.serve import Deployment


def as_deployment(decorated: object) -> Deployment:
    """Return `decorated` as a Deployment, for `.bind(…)` and `.options(…)`.

    Raises TypeError when the class does not have the decorator.
    """
    if not isinstance(decorated, Deployment):
        raise TypeError(f"the class must have the decorator @serve.deployment, got {decorated!r}; add it")
    return decorated
