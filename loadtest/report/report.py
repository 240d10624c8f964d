"""The report of a run: one self-contained HTML file, PNG plots, JSON for machines; and the same in a terminal."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.report.plots import draw_all

Summary = dict[str, Any]

OUTCOMES = {
    "holds": "The SLOs hold.",
    "fails": "The SLOs do not hold.",
    "invalid": "The run is invalid: the generator did not keep its schedule, so nothing here speaks of the server.",
}
CAPTIONS = {
    "latency": "Latency from the moment a request was meant to be sent, whenever it was sent. Dashed: the scenario's bounds.",
    "goodput": "What was asked for, and what of it was answered rightly and in time. A gap is work that was late or lost.",
    "stages": "The server's own split (its server-timing header), and what is left of the time that a client waited.",
    "replicas": "Replicas by their processes, and the server's count of waiting shots.",
    "generator": "The generator watches itself: a busy or late generator would blame the server for its own delay.",
}


def write_report(run: Summary, folder: Path) -> Path:
    """`report.html`, `report.json` and the plots, into `folder`; the HTML's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    page = folder / "report.html"
    page.write_text(_page(run, draw_all(run, folder)), "utf-8")
    return page


def read_report(path: Path) -> Summary:
    """A run's summary from report.json, or from the folder that holds it. Raises OSError, ValueError."""
    run: Summary = json.loads((path / "report.json" if path.is_dir() else path).read_text("utf-8"))
    if run.get("version") != 1 or "classes" not in run:
        raise ValueError("it is no report of a load test")
    return run


def shown(value: float, unit: str) -> str:
    """A check's number for people."""
    if unit == "ms":
        return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"
    if unit == "s":
        return f"{value:.1f} s"
    return f"{value:.3g}"


def check_cells(check: Summary) -> tuple[str, str, str, str]:
    """Name, value, bound, verdict."""
    sign = "≥" if check["at_least"] else "≤"
    value = shown(float(check["value"]), check["unit"])
    return (
        check["name"],
        value,
        f"{sign} {shown(check['bound'], check['unit'])}",
        "holds" if check["holds"] else "FAILS",
    )


def class_cells(name: str, row: Summary) -> tuple[str, ...]:
    """Name, offered, right, good, p50, p95, p99, max."""
    times = (shown(row[key], "ms") for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
    return name, str(row["offered"]), str(row["right"]), str(row["good"]), *times


CLASS_HEAD = ("class", "offered", "right", "good", "p50", "p95", "p99", "max")


def _page(run: Summary, plots: dict[str, Path]) -> str:
    where = f"profile {run['profile']}, a cluster of its own" if run["profile"] else run["host"]
    machine = run["machine"]
    facts = (
        f"{where} · {machine['cores']} cores, {machine['machine']} · {run['started_at']} · {run['scenario_seconds']:g} s"
        f" · {run['planned']} arrivals · load ×{run['factor']:g} · {run['workers']} generator worker(s)"
    )
    shots = run["shots_per_s"]
    parts = [
        f"<h1>{_(run['name'])}: {_(OUTCOMES[run['outcome']])}</h1>",
        f"<p class=lead>{_(run['sentence'])}</p><p class=facts>{_(facts)}</p>",
        f"<p>Shots a second: <b>{shots['offered']:.2f}</b> offered, <b>{shots['good']:.2f}</b> good.</p>"
        if shots["offered"]
        else "",
        "<h2>Bounds</h2>",
        _table(("bound", "value", "limit", ""), [check_cells(check) for check in run["checks"]]),
        "<h2>Answers</h2>",
        _table(CLASS_HEAD, [class_cells(name, row) for name, row in run["classes"].items()]),
        *(
            f"<figure><img alt='{_(name)}' src='{_inline(path)}'><figcaption>{_(CAPTIONS[name])}</figcaption></figure>"
            for name, path in plots.items()
        ),
        _faults(run),
        _failures(run),
        "<h2>Pictures</h2>",
        f"<p>{_(pictures_sentence(run['pictures']))}</p>",
        *(f"<p class=bad>{_(sentence)}</p>" for sentence in run["pictures"]["wrong"]),
        "<h2>The server's counters over the run</h2>",
        _table(
            ("counter", "rose by"), [(name, f"{value:g}") for name, value in run["server"]["counted"].items() if value]
        ),
        "<h2>The generator</h2>",
        _table(("bound", "value", "limit", ""), [check_cells(check) for check in run["validity"]]),
        f"<p>{_(host_sentence(run['generator']))}</p>",
        f"<details><summary>Scenario</summary><pre>{_(json.dumps(run['scenario'], indent=1))}</pre></details>",
    ]
    return f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{_(run['name'])}</title><style>{_STYLE}</style><body class={run['outcome']}>{''.join(parts)}</body></html>\n"


def pictures_sentence(pictures: Summary) -> str:
    if not pictures["pictures"]:
        return "No picture was compared."
    return (
        f"{pictures['pictures']} pictures of the run were painted again, alone: {len(pictures['wrong'])} wrong. Largest difference of a pixel: "
        f"{pictures['batched_alone_differ']:g}/255. In {pictures['one_to_one']} the product is 1:1, its pixels' checksum the photo's."
    )


def host_sentence(generator: Summary) -> str:
    return f"The host took {generator['host_took']:.1%} of this machine's processor time for others."


def _faults(run: Summary) -> str:
    if not run["faults"]:
        return ""
    rows = [
        (fault["words"], f"{fault['at_s']:.1f} s", "never" if fault["back_s"] is None else f"{fault['back_s']:.1f} s",
         f"{fault['recovered_s']:.1f} s", fault["error"])
        for fault in run["faults"]
    ]  # fmt: skip
    return "<h2>Faults</h2>" + _table(("fault", "at", "back after", "last bad answer due after", ""), rows)


def _failures(run: Summary) -> str:
    rows = [(name, why, str(count)) for name, row in run["classes"].items() for why, count in row["why"].items()]
    return "<h2>What failed</h2>" + _table(("class", "why", "times"), rows) if rows else ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    top = "".join(f"<th>{_(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr{' class=bad' if 'FAILS' in row else ''}>" + "".join(f"<td>{_(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _(text: str) -> str:
    return html.escape(str(text))


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#22252a;max-width:62rem;margin:2rem auto;padding:0 1rem;border-top:6px solid #2a7f62}
body.fails{border-color:#b42318}body.invalid{border-color:#b07d1a}
h1{font-size:1.5rem;margin:1.2rem 0 .2rem}h2{font-size:1.05rem;margin:2rem 0 .5rem}
.lead{margin:0;font-size:1.05rem}.facts{color:#6b7280;font-size:.85rem}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}
th{color:#6b7280;font-weight:500;text-align:left}th,td{padding:.2rem 1.4rem .2rem 0;border-bottom:1px solid #e5e7eb}
td+td,th+th{text-align:right}td:last-child,th:last-child{padding-right:0}
tr.bad td,p.bad{color:#b42318;font-weight:600}
figure{margin:2rem 0}img{max-width:100%}figcaption{color:#6b7280;font-size:.85rem}pre{font-size:.75rem;overflow:auto}
"""
