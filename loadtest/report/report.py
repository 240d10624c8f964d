"""The report of a run: one self-contained HTML file, PNG plots and a JSON file; and its texts for a terminal."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from loadtest.report.plots import draw_all

Summary = dict[str, Any]

OUTCOMES = {
    "holds": "The SLOs hold.",
    "fails": "The SLOs do not hold.",
    "invalid": "The run is invalid: the generator did not keep its schedule, so the figures do not measure the server.",
}
CAPTIONS = {
    "latency": (
        "Latency from the moment at which a request should have been sent. Dashed lines: the scenario's bounds."
    ),
    "goodput": (
        "Requests that were offered, and those answered correctly and within their bound. A gap is late or lost work."
    ),
    "stages": (
        "The server's stage times (its server-timing header), and the rest of the time for which the client waited."
    ),
    "replicas": "Replicas, counted by their processes, and the server's count of waiting shots.",
    "generator": "The generator's own load. Latencies from a busy or late generator would include its own delay.",
}


def write_report(run: Summary, folder: Path) -> Path:
    """Write `report.html`, `report.json` and the plots into `folder`. Returns the path of the HTML file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    page = folder / "report.html"
    page.write_text(_page(run, draw_all(run, folder)), "utf-8")
    return page


def read_report(path: Path) -> Summary:
    """A run's summary. `path` is its report.json, or the folder that holds it.

    Raises OSError when the file cannot be read, and ValueError when it is not the report of a load test.
    """
    run: Summary = json.loads((path / "report.json" if path.is_dir() else path).read_text("utf-8"))
    if run.get("version") != 1 or "classes" not in run:
        raise ValueError(f"{path} is not the report of a load test")
    return run


def shown(value: float, unit: str) -> str:
    """A check's value as text with its unit, rounded."""
    if unit == "ms":
        return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"
    if unit == "s":
        return f"{value:.1f} s"
    return f"{value:.3g}"


def check_cells(check: Summary) -> tuple[str, str, str, str]:
    """The cells of a check's row: name, value, bound and verdict."""
    sign = "≥" if check["at_least"] else "≤"
    value = shown(float(check["value"]), check["unit"])
    return (
        check["name"],
        value,
        f"{sign} {shown(check['bound'], check['unit'])}",
        "holds" if check["holds"] else "FAILS",
    )


def class_cells(name: str, row: Summary) -> tuple[str, ...]:
    """The cells of a class's row: name, offered, right, good, p50, p95, p99 and max."""
    times = (shown(row[key], "ms") for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
    return name, str(row["offered"]), str(row["right"]), str(row["good"]), *times


CLASS_HEAD = ("class", "offered", "right", "good", "p50", "p95", "p99", "max")
CHECK_HEAD = ("bound", "value", "limit", "")


def _page(run: Summary, plots: dict[str, Path]) -> str:
    """The HTML of the report, from report.html.jinja."""
    environment = Environment(loader=PackageLoader("loadtest.report", ""), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("report.html.jinja").render(
        run=run,
        outcome=OUTCOMES[run["outcome"]],
        facts=_facts(run),
        plots=[{"name": name, "url": _inline(path), "caption": CAPTIONS[name]} for name, path in plots.items()],
        check_head=CHECK_HEAD,
        checks=[check_cells(check) for check in run["checks"]],
        validity=[check_cells(check) for check in run["validity"]],
        class_head=CLASS_HEAD,
        answers=[class_cells(name, row) for name, row in run["classes"].items()],
        faults=[_fault_cells(fault) for fault in run["faults"]],
        failures=[(name, why, count) for name, row in run["classes"].items() for why, count in row["why"].items()],
        pictures=pictures_sentence(run["pictures"]),
        counters=[(name, f"{value:g}") for name, value in run["server"]["counted"].items() if value],
        host=host_sentence(run["generator"]),
        scenario=json.dumps(run["scenario"], indent=1),
    )


def _facts(run: Summary) -> str:
    machine = run["machine"]
    where = f"profile {run['profile']}, on a cluster of its own" if run["profile"] else run["host"]
    return (
        f"{where} · {machine['cores']} cores, {machine['machine']} · {run['started_at']} · "
        f"{run['scenario_seconds']:g} s"
        f" · {run['planned']} arrivals · load ×{run['factor']:g} · {run['workers']} generator worker(s)"
    )


def _fault_cells(fault: Summary) -> tuple[str, ...]:
    back = "never" if fault["back_s"] is None else f"{fault['back_s']:.1f} s"
    return fault["words"], f"{fault['at_s']:.1f} s", back, f"{fault['recovered_s']:.1f} s", fault["error"]


def pictures_sentence(pictures: Summary) -> str:
    """The result of the picture comparison, in words."""
    if not pictures["pictures"]:
        return "No picture was compared."
    return (
        f"{pictures['pictures']} pictures of the run were rendered again, unbatched: {len(pictures['wrong'])} wrong. "
        "Largest difference of a pixel: "
        f"{pictures['batched_alone_differ']:g}/255. In {pictures['one_to_one']} the product is 1:1, and its pixels "
        "were compared with the photo's, those of a relit product with the photo's times its gain."
    )


def host_sentence(generator: Summary) -> str:
    """The CPU steal during the run, in words."""
    return f"CPU steal: the host gave {generator['host_took']:.1%} of this machine's processor time to other guests."


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
