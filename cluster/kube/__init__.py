"""Kubernetes: renders manifests from profiles and objectives, and checks every overlay.

    profile ────> rayservice.py ──────────────┐
    objectives.py > alerts.py, dashboards.py ─┴─> rendered.py ─> k8s/** ──> build.py (kustomize)
                                                                              │
                                                   schemas.py · rules.py, pods.py · promql.py

`python -m cluster.kube render` writes the rendered files; `python -m cluster.kube check [FOLDER …]` builds and checks.
"""
