"""What crosses the door, typed once: requests, the resolved shot, answers.

The API, the store, the director, the client and `/openapi.json` all use these values. Nothing here imports numpy, torch
or ray, so that the client stays light. Only functions whose name ends in `_json` touch a bare `dict[str, Any]`.

    requests.py -> shot_spec.py -> recipe.py, verdict.py -> answers.py, events.py; engines.py, presets.py, problem.py
"""
