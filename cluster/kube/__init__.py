"""Kubernetes: what is rendered from profiles and objectives, and what is checked of every overlay.

    profile ────> rayservice.py ──────────────┐
    objectives.py > alerts.py, dashboards.py ─┴─> rendered.py ─> k8s/** ──> build.py (kustomize)
                                                                              │
                                                   schemas.py · rules.py, pods.py · promql.py

`python -m cluster.kube render` writes the rendered files; `python -m cluster.kube check [FOLDER …]` builds and checks.
"""
