"""The types of the public API: requests, the resolved shot and answers.

The API, the store, the director, the client and `/openapi.json` all use these types. No module here imports numpy,
torch or ray, so the client stays light. Only functions whose name ends in `_json` handle a bare `dict[str, Any]`.

    requests.py -> shot_spec.py -> recipe.py, verdict.py -> answers.py, events.py; engines.py, presets.py, problem.py
"""
