"""A plan as an SVG picture: a bar for each group of equal devices, with the memory of each replica and the time used.

L4 x 2   [ sam_encoder | sam_encoder | mask_decoder |  free  : ]   busy [#####  ]
         the colon marks the limit of 0.95
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape

from cluster.plan.packing import MAX_DEVICE_SHARE, Device
from cluster.plan.plan import Plan, PoolPlan

WIDTH, MARGIN = 1000, 32
BAR_X, BAR_WIDTH, BAR_HEIGHT = 190, 560, 46
BUSY_X, BUSY_WIDTH = 790, 120
ROW_HEIGHT, HEAD_HEIGHT = 70, 40
COLOURS = {
    "sam_encoder": "#4477aa",
    "mask_decoder": "#228833",
    "detector": "#b8972e",
    "understand": "#8a6fb0",
    "reference_encoder": "#5b8c8a",
    "generator": "#c8553d",
}
LABELS = {
    "sam_encoder": "encoder",
    "mask_decoder": "decoder",
    "detector": "detector",
    "understand": "geometry",
    "reference_encoder": "references",
    "generator": "generator",
}
INK, SOFT, LINE, EMPTY = "#1f2328", "#656d76", "#d0d7de", "#f3f4f6"
LETTER_PX = 7.0
"""Approximate width of a letter at 13 px. A label that does not fit is omitted; the legend explains the colours."""


def draw(plan: Plan) -> str:
    """Draw the plan as one SVG document."""
    pools = [pool for pool in plan.pools if pool.devices]
    rows = sum(HEAD_HEIGHT + ROW_HEIGHT * len(_groups(pool)) for pool in pools)
    height = 96 + rows + 96
    parts = [*_title(plan)]
    y = 96.0
    for pool in pools:
        parts += _pool(plan, pool, y)
        y += HEAD_HEIGHT
        for device, count in _groups(pool):
            parts += _device(plan, pool, device, count, y)
            y += ROW_HEIGHT
    parts += _legend(plan, y + 12)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _groups(pool: PoolPlan) -> list[tuple[Device, int]]:
    """Groups of equal devices with their sizes, largest first. The empty devices of the pool's nodes come last."""
    equal = Counter(tuple(sorted(device.items())) for device in pool.devices)
    groups: list[tuple[Device, int]] = [(dict(items), count) for items, count in equal.most_common()]
    idle = pool.gpus - len(pool.devices)
    if idle:
        groups.append(({}, idle))
    return groups


def _text(
    x: float, y: float, text: str, *, size: int = 13, fill: str = INK, anchor: str = "start", bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
        f'text-anchor="{anchor}"{weight}>{escape(text)}</text>'
    )


def _rect(x: float, y: float, width: float, height: float, fill: str, attributes: str = "") -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"{attributes}/>'


def _title(plan: Plan) -> Iterator[str]:
    images, gpus = plan.demand.images_per_hour, sum(plan.gpus.values())
    yield _text(MARGIN, 44, f"{plan.profile.name}: {images:,.0f} images per hour", size=22, bold=True)
    described = " + ".join(f"{count} × {gpu}" for gpu, count in plan.gpus.items())
    yield _text(
        MARGIN,
        70,
        f"pack {plan.pack}, {plan.steps} steps · {described} · {gpus} GPU-hours per hour, "
        f"{plan.gpu_hours_per_1000_images:.2f} per 1,000 images · times are estimates",
        fill=SOFT,
    )


def _pool(plan: Plan, pool: PoolPlan, y: float) -> Iterator[str]:
    yield f'<line x1="{MARGIN}" y1="{y:.1f}" x2="{WIDTH - MARGIN}" y2="{y:.1f}" stroke="{LINE}"/>'
    yield _text(MARGIN, y + 26, f"pool {pool.name}", bold=True)
    yield _text(BAR_X, y + 26, f"memory, {pool.pool.device.memory_gib:g} GiB per device", fill=SOFT)
    yield _text(BUSY_X, y + 26, f"time, at most {plan.demand.utilisation:.0%}", fill=SOFT)


def _device(plan: Plan, pool: PoolPlan, device: Device, count: int, y: float) -> Iterator[str]:
    share, _, busy = plan.device_sums(device)
    middle = y + BAR_HEIGHT / 2 + 5
    yield _text(MARGIN, middle, f"{count} × {pool.pool.gpu}", size=15)
    yield _rect(BAR_X, y, BAR_WIDTH, BAR_HEIGHT, EMPTY)
    x = float(BAR_X)
    for name, replicas in sorted(device.items(), key=lambda item: list(COLOURS).index(item[0])):
        stage = plan.stage(name)
        width = (stage.gpu_share or 0.0) * BAR_WIDTH
        needed = (stage.need.total_gib if stage.need else 0.0) / pool.pool.device.memory_gib * BAR_WIDTH
        for _ in range(replicas):
            yield _rect(x, y, width, BAR_HEIGHT, COLOURS[name], ' fill-opacity="0.65"')
            yield _rect(x, y, needed, BAR_HEIGHT, COLOURS[name])
            yield _rect(x, y, width, BAR_HEIGHT, "none", ' stroke="#ffffff" stroke-width="1.5"')
            yield from _label(x, y, width, LABELS[name], stage.gpu_share or 0.0)
            x += width
    free = BAR_WIDTH * MAX_DEVICE_SHARE - (x - BAR_X)
    if free > LETTER_PX * 9:
        yield _text(x + free / 2, middle, f"{MAX_DEVICE_SHARE - share:.2f} free", fill=SOFT, anchor="middle")
    limit = BAR_X + BAR_WIDTH * MAX_DEVICE_SHARE
    yield (
        f'<line x1="{limit:.1f}" y1="{y - 4:.1f}" x2="{limit:.1f}" y2="{y + BAR_HEIGHT + 4:.1f}" stroke="{INK}" '
        'stroke-dasharray="3 3"/>'
    )
    yield _rect(BUSY_X, y + BAR_HEIGHT / 2 - 7, BUSY_WIDTH, 14, EMPTY)
    yield _rect(BUSY_X, y + BAR_HEIGHT / 2 - 7, BUSY_WIDTH * min(1.0, busy), 14, SOFT)
    yield _text(BUSY_X + BUSY_WIDTH + 10, middle - 1, f"{busy:.0%}")


def _label(x: float, y: float, width: float, label: str, share: float) -> Iterator[str]:
    if width >= LETTER_PX * len(label) + 8:
        yield _text(x + width / 2, y + 20, label, fill="#ffffff", anchor="middle", bold=True)
        yield _text(x + width / 2, y + 37, f"{share:.2f}", fill="#ffffff", anchor="middle", size=12)
    elif width >= LETTER_PX * 4:
        yield _text(x + width / 2, y + BAR_HEIGHT / 2 + 5, f"{share:.2f}", fill="#ffffff", anchor="middle", size=12)


def _legend(plan: Plan, y: float) -> Iterator[str]:
    x = float(MARGIN)
    for name, colour in COLOURS.items():
        stage = plan.stage(name)
        if stage.need is None:  # on the CPU in this profile
            continue
        count = f"{stage.replicas} replica{'' if stage.replicas == 1 else 's'}"
        described = f"{name}: {count}, {stage.need.total_gib:.1f} GiB {'each' if stage.replicas > 1 else ''}".rstrip()
        yield _rect(x, y, 13, 13, colour)
        yield _text(x + 20, y + 11, described)
        x += 20 + LETTER_PX * len(described) + 24
    note = (
        "Strong colour: what a replica needs (weights, activations at its batch, workspaces, CUDA context). Pale: the "
        f"rest of its share. Dashed: the limit of {MAX_DEVICE_SHARE}."
    )
    yield _text(MARGIN, y + 40, note, size=11, fill=SOFT)


__all__ = ["draw"]
