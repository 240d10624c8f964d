"""`packshot plan`: how many GPUs a profile needs for a demand, where its replicas go, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from packshot.cli.console import AsJson, put_json, report_errors, stderr, table
from packshot.errors import BadInput

ASSUMED_CURRENCY = "USD"

if TYPE_CHECKING:
    from cluster.plan.plan import Plan, PoolPlan
    from packshot.settings import Settings


@report_errors
def plan(
    profile: Annotated[str, typer.Option(help="A profile's name, or the path of a YAML file.")] = "one-gpu",
    images_per_hour: Annotated[float, typer.Option(help="Finished images per hour.")] = 100,
    photos_per_image: Annotated[
        float, typer.Option(help="New photos per image; less than 1 when a photo is used for several images.")
    ] = 1,
    clicks_per_photo: Annotated[float, typer.Option(help="Clicks (mask requests) per photo.")] = 3,
    words_per_photo: Annotated[float, typer.Option(help="Searches by words per photo.")] = 0.1,
    utilisation: Annotated[float, typer.Option(help="Share of a device's time that the plan may use.")] = 0.8,
    price: Annotated[
        list[str] | None, typer.Option(help="Price of a GPU-hour: NUMBER, or KIND=NUMBER for one kind; repeatable.")
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(help="NAME=SHARE: the share of the images that a further engine paints, 0 to 1; repeatable."),
    ] = None,
    currency: Annotated[
        str, typer.Option(help=f"The currency of the prices. Prices are assumed in {ASSUMED_CURRENCY} only.")
    ] = ASSUMED_CURRENCY,
    picture: Annotated[Path | None, typer.Option(help="Write a picture of the plan to this SVG file.")] = None,
    memory: Annotated[
        list[str] | None,
        typer.Option(help="Only print how this pack fits GPUs of 24, 48 and 80 GB; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute a plan without starting anything: replicas, their devices, GPU-hours and cost.

    Times are estimates until they are measured."""
    from cluster.plan.drawing import draw
    from cluster.plan.gpu_shares import packs_of
    from cluster.plan.plan import Demand
    from cluster.plan.planner import make_plan
    from cluster.profiles import load_profile
    from packshot.settings import Settings

    if memory:
        _put_memory(memory, Settings(), as_json=as_json)
        return
    given = read_prices(price or [])
    shares = read_shares(engine or [])
    demand = Demand(images_per_hour, photos_per_image, clicks_per_photo, utilisation, words_per_photo, shares)
    settings = Settings()
    wanted = load_profile(profile).with_packs(settings)
    with stderr().status(f"computing the footprints of {', '.join(wanted.engines)}"):
        packs = packs_of(wanted, settings)
    made = make_plan(wanted, packs, demand)
    assumed = _assumed_prices(made, given) if currency == ASSUMED_CURRENCY else {}
    prices = given | assumed
    made.cost_per_hour(prices)  # refuses a kind without a price before anything is printed
    _print_plan(made, prices, currency, assumed)
    if picture:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(draw(made), "utf-8")
        stderr().print(f"Picture: {picture}", markup=False)
    if as_json:
        costs = {"currency": currency, "price_per_gpu_hour": _priced(made, prices), "prices_assumed": sorted(assumed)}
        put_json(made.as_json(prices) | costs)


def _put_memory(names: Sequence[str], settings: Settings, *, as_json: bool) -> None:
    """Print what each pack needs in each arrangement, and its largest batch on each kind of GPU."""
    from cluster.plan.gpu_shares import footprint_of
    from cluster.plan.memory import CARDS, MOST_ROWS, arrangements, fit, memory_rows
    from packshot.models.packs.pack import find_pack

    packs = []
    for name in names:
        pack = find_pack(name, settings)
        with stderr().status(f"computing the footprint of {name}"):
            packs.append((pack.manifest, footprint_of(pack, settings)))
    cards = [f"{gpu.name} ({gpu.memory_gib:g} GiB)" for gpu in CARDS]
    table(
        f"Largest batch of the generator on one GPU (at most {MOST_ROWS} rows are tried)",
        ("pack", "on the GPU", "one picture needs", *cards),
        memory_rows(packs),
    )
    if as_json:
        put_json(
            {
                "packs": [
                    {
                        "pack": manifest.name,
                        "with_other_stages": bool(one.beside),
                        "text_encoder": "cpu" if one.text_on_cpu else "gpu",
                        "one_picture_gib": round(one.total_gib(one.fewest_rows), 2),
                        "max_rows": {gpu.name: fit(one, gpu).rows for gpu in CARDS},
                    }
                    for manifest, footprint in packs
                    for one in arrangements(manifest, footprint)
                ]
            }
        )


def _assumed_prices(made: Plan, given: dict[str, float]) -> dict[str, float]:
    """The prices that are assumed for the plan's kinds of GPU, because none was given."""
    from cluster.plan.gpus import ASSUMED_USD_PER_HOUR

    return {} if "" in given else {gpu: ASSUMED_USD_PER_HOUR[gpu] for gpu in made.gpus if gpu not in given}


def _priced(made: Plan, prices: dict[str, float]) -> dict[str, float]:
    return {gpu: prices.get(gpu, prices.get("", 0.0)) for gpu in made.gpus}


def read_shares(given: Sequence[str]) -> dict[str, float]:
    """Parse `--engine` options to {engine: share of the images}. Raises BadInput `bad_usage` for other text."""
    shares: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            shares[name] = float(number)
        except ValueError:
            raise BadInput("bad_usage", f"--engine must be NAME=SHARE, such as sdxl=0.3, got {text!r}") from None
    return shares


def read_prices(given: Sequence[str]) -> dict[str, float]:
    """Parse `--price` options to {kind of GPU: price of an hour}. The key "" is for all other kinds.

    Raises BadInput `bad_usage` when a price is not a number of at least 0.
    """
    prices: dict[str, float] = {}
    for text in given:
        kind, _, number = text.rpartition("=")
        try:
            prices[kind] = float(number)
        except ValueError:
            prices[kind] = -1.0
        if not 0 <= prices[kind] < float("inf"):
            raise BadInput("bad_usage", f"--price must be NUMBER or KIND=NUMBER, with a number ≥ 0, got {text!r}")
    return prices


def _print_plan(made: Plan, prices: dict[str, float], currency: str, assumed: dict[str, float]) -> None:
    images = made.demand.images_per_hour
    table(
        f"Profile {made.profile.name}, pack {made.pack}, {images:,.0f} images per hour of {made.steps} steps",
        ("stage", "pool", "replicas", "of", "share", "GiB", "s per image", "busy"),
        (
            (
                stage.stage,
                stage.pool,
                stage.replicas,
                f"{made.profile.stage(stage.stage).range.min}-{made.profile.stage(stage.stage).range.max}",
                f"{stage.gpu_share:.2f}" if stage.gpu_share else "",
                f"{stage.need.total_gib:.2f}" if stage.need else "",
                f"{stage.seconds:.3f}",
                f"{stage.busy:.2f} {'GPUs' if stage.need else 'CPUs'}",
            )
            for stage in made.stages
        ),
    )
    table(
        "Devices",
        ("devices", "replicas", "share", "GiB", "busy"),
        (row for pool in made.pools for row in _device_rows(made, pool)),
    )
    for line in _lines(made, prices, currency, assumed):
        stderr().print(line, markup=False)


def _device_rows(made: Plan, pool: PoolPlan) -> Iterator[tuple[str, ...]]:
    """One row for each run of equal devices, and one for the devices of the pool's nodes that stay empty."""
    first = 0
    while first < len(pool.devices):
        device = pool.devices[first]
        last = first
        while last + 1 < len(pool.devices) and pool.devices[last + 1] == device:
            last += 1
        share, gib, busy = made.device_sums(device)
        numbers = f"{first + 1}" if first == last else f"{first + 1}-{last + 1}"
        replicas = " + ".join(f"{count} {stage}" for stage, count in device.items())
        memory = f"{gib:.1f} of {pool.pool.device.memory_gib:g}"
        yield f"{pool.name} {numbers} ({pool.pool.gpu})", replicas, f"{share:.2f}", memory, f"{busy:.0%}"
        first = last + 1
    if pool.gpus > first:
        numbers = f"{first + 1}" if first + 1 == pool.gpus else f"{first + 1}-{pool.gpus}"
        yield (
            f"{pool.name} {numbers} ({pool.pool.gpu})",
            "nothing",
            "0.00",
            f"0 of {pool.pool.device.memory_gib:g}",
            "0%",
        )


def _lines(made: Plan, prices: dict[str, float], currency: str, assumed: dict[str, float]) -> Iterator[str]:
    images, gpus = made.demand.images_per_hour, made.gpus
    nodes = ", ".join(f"{pool.name} {pool.nodes}" for pool in made.pools)
    yield f"Nodes: {nodes}. GPUs: {' + '.join(f'{count} x {gpu}' for gpu, count in gpus.items()) or 'none'}."
    yield f"{sum(gpus.values())} GPU-hours per hour, {made.gpu_hours_per_1000_images:.2f} per 1,000 images."
    per_hour = made.cost_per_hour(prices)
    per_1000 = f", {currency} {per_hour * 1000 / images:,.2f} per 1,000 images" if images else ""
    yield f"Cost: {currency} {per_hour:,.2f} per hour{per_1000}."
    shown = ", ".join(
        f"{gpu} {price:g}{' (assumed)' if gpu in assumed else ''}" for gpu, price in _priced(made, prices).items()
    )
    yield f"Price of a GPU-hour in {currency}: {shown}." + (
        " Assumed prices were not looked up; give yours with --price KIND=NUMBER." if assumed else ""
    )
    yield f"At most {made.at_most:,.0f} images per hour with this profile."
    for pool in made.pools:
        if pool.sure > len(pool.devices) and pool.sure > pool.gpus:
            yield (
                f"Pool {pool.name}: Ray may need {pool.sure} devices, not {len(pool.devices)}, when replicas start in "
                "an unfavourable order."
            )
    yield (
        "GPU times are estimates from datasheet peaks, fitted to published figures; none was measured (docs/plan.md). "
        "Memory is computed from the pack's manifest."
    )
