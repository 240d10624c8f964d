"""The part of Go's templates that our Helm chart uses, for a test that has no `helm`.

`{{ .Values.path }}`, `{{ "text" }}`, and pipelines of them with toYaml, nindent, sha256sum and trunc, as Helm and sprig
document these. Anything else is an error, so that the chart cannot begin to use what nobody checks.
"""

import hashlib
import re
from typing import Any

import yaml

ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def render(text: str, values: dict[str, Any]) -> str:
    """The template with its actions replaced. Raises ValueError for an action that this subset does not have."""
    return ACTION.sub(lambda found: _printed(_value(found[1], values)), text)


def _value(action: str, values: dict[str, Any]) -> Any:
    first, *functions = (part.strip() for part in action.split("|"))
    if path := re.fullmatch(r"\.Values((?:\.[A-Za-z][A-Za-z0-9]*)+)", first):
        value: Any = values
        for key in path[1].split(".")[1:]:
            if key not in value:
                raise ValueError(f"{first} must be among the values, which have only {', '.join(value)} there")
            value = value[key]
    elif literal := re.fullmatch(r'"([^"\\]*)"', first):
        value = literal[1]
    else:
        raise ValueError(f"the subset has no action {first!r}")
    for function in functions:
        value = _applied(function, value)
    return value


def _applied(function: str, value: Any) -> Any:
    match function.split():
        case ["toYaml"]:
            return yaml.safe_dump(value, sort_keys=True).removesuffix("\n")
        case ["nindent", width]:
            return "\n" + "\n".join(" " * int(width) + line for line in str(value).split("\n"))
        case ["sha256sum"]:
            return hashlib.sha256(str(value).encode()).hexdigest()
        case ["trunc", length]:
            return str(value)[: int(length)]
        case _:
            raise ValueError(f"the subset has no function {function!r}")


def _printed(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"an action must print a string or an integer, got {value!r}")
    return str(value)
