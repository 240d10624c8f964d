"""Grounds and walls as node materials. One unit of their coordinates is a metre; colours are linear RGB.

Every function takes the seed's generator and gives a material; `scale` is metres a scene unit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from training.path_traced.blender.nodes import Graph

Rgb = Sequence[float]


def linear(rgb: Rgb) -> tuple[float, float, float]:
    """sRGB 0..1 to linear."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb)
    return r, g, b


def _graph(name: str, dice: random.Random, scale: float) -> Graph:
    return Graph(name, scale, [dice.uniform(0, 40) for _ in range(3)])


def _jitter(dice: random.Random, rgb: Rgb, amount: float = 0.06) -> tuple[float, float, float]:
    shade = 1 + dice.uniform(-2, 2) * amount
    r, g, b = (min(max(c * shade * (1 + dice.uniform(-amount, amount)), 0.0), 1.0) for c in rgb)
    return r, g, b


def _planks(dice: random.Random, scale: float, light: Rgb, dark: Rgb) -> Any:
    g = _graph("wood", dice, scale)
    turn = dice.choice((0.0, 0.0, math.pi / 2, dice.uniform(-0.5, 0.5)))
    at = g.stretched(1, 1, 1, turn)
    solid = dice.random() < 0.3
    width = dice.uniform(0.07, 0.16)
    brick = g.add("ShaderNodeTexBrick", Vector=at, Scale=1.0)
    brick.inputs["Color1"].default_value, brick.inputs["Color2"].default_value = (0, 0, 0, 1), (1, 1, 1, 1)
    brick.inputs["Mortar"].default_value = (0.5, 0.5, 0.5, 1)
    brick.inputs["Mortar Size"].default_value = 0.0 if solid else 0.0012
    brick.inputs["Brick Width"].default_value = 40.0 if solid else dice.uniform(0.9, 1.6)
    brick.inputs["Row Height"].default_value = 40.0 if solid else width
    tone, gap = brick.outputs["Color"], brick.outputs["Fac"]
    shifted = g.vector("ADD", at, g.vector("SCALE", tone, 7.3))
    along = g.add("ShaderNodeMapping", Vector=shifted)
    along.inputs["Scale"].default_value = (1.1, 9.0, 9.0)
    rings = g.noise(1.4, at=along.outputs["Vector"], detail=5, rough=0.55, distort=dice.uniform(0.3, 1.6))
    bands = g.math("FRACT", g.math("MULTIPLY", rings, dice.uniform(5, 11)))
    soft = g.math("PINGPONG", bands, 0.5)
    fine = g.add("ShaderNodeMapping", Vector=shifted)
    fine.inputs["Scale"].default_value = (8.0, 260.0, 260.0)
    pores = g.noise(1.0, at=fine.outputs["Vector"], detail=3, rough=0.7)
    amount = g.math("ADD", g.math("MULTIPLY", soft, 0.9), g.math("MULTIPLY", g.math("SUBTRACT", pores, 0.5), 0.9))
    amount = g.math(
        "ADD", amount, g.math("MULTIPLY", g.math("SUBTRACT", tone, 0.5), dice.uniform(0.25, 0.6)), clamp=True
    )
    colour = g.ramp(amount, (0.0, light), (0.55, [(a + b) / 2 for a, b in zip(light, dark, strict=True)]), (1.0, dark))
    colour = g.mix(g.math("MULTIPLY", gap, 0.85), colour, [c * 0.25 for c in dark])
    height = g.math("SUBTRACT", g.math("MULTIPLY", pores, -0.15), g.math("MULTIPLY", gap, 1.0))
    rough = g.band(pores, 0.3, 0.7, dice.uniform(0.25, 0.5), dice.uniform(0.5, 0.7))
    coat = dice.choice((0.0, 0.0, 0.3))
    return g.surface(
        Base_Color=colour,
        Roughness=rough,
        Normal=g.bump(height, 0.5, 0.002 / scale),
        Coat_Weight=coat,
        Coat_Roughness=0.15,
    )


def wood(dice: random.Random, scale: float, paper: Rgb) -> Any:
    light = dice.choice(((0.62, 0.40, 0.21), (0.68, 0.50, 0.32), (0.55, 0.33, 0.15), (0.72, 0.58, 0.42)))
    return _planks(
        dice,
        scale,
        _jitter(dice, light),
        _jitter(dice, [c * f for c, f in zip(light, (0.55, 0.45, 0.36), strict=True)]),
    )


def walnut(dice: random.Random, scale: float, paper: Rgb) -> Any:
    light = dice.choice(((0.16, 0.075, 0.04), (0.20, 0.10, 0.055), (0.11, 0.06, 0.04)))
    return _planks(dice, scale, _jitter(dice, light), _jitter(dice, [c * 0.35 for c in light]))


def _veins(dice: random.Random, scale: float, base: Rgb, cloud: Rgb, vein: Rgb, strength: float) -> Any:
    g = _graph("marble", dice, scale)
    size = dice.uniform(2.2, 5.0)
    at = g.warped(size * 0.7, 0.25 / size * 2)
    bold = g.math("ABSOLUTE", g.math("SUBTRACT", g.noise(size, at=at, detail=6, rough=0.55, distort=0.6), 0.5))
    thin = g.math("ABSOLUTE", g.math("SUBTRACT", g.noise(size * 2.3, at=at, detail=7, rough=0.6, distort=1.0), 0.5))
    where = g.noise(size * 0.5, detail=2)
    lines = g.math("MULTIPLY", g.band(bold, 0.0, 0.035, 1.0, 0.0), g.band(where, 0.4, 0.6))
    hair = g.math("MULTIPLY", g.band(thin, 0.0, 0.012, 0.7, 0.0), g.band(where, 0.65, 0.45))
    halo = g.band(bold, 0.0, 0.16, 0.45, 0.0)
    colour = g.mix(g.band(g.noise(size * 0.8, detail=5), 0.35, 0.7), base, cloud)
    colour = g.mix(g.math("MULTIPLY", halo, strength), colour, cloud)
    colour = g.mix(g.math("MULTIPLY", g.math("MAXIMUM", lines, hair), strength), colour, vein)
    return g.surface(Base_Color=colour, Roughness=dice.uniform(0.05, 0.35), Specular_IOR_Level=0.5)


def marble(dice: random.Random, scale: float, paper: Rgb) -> Any:
    return _veins(
        dice,
        scale,
        _jitter(dice, (0.84, 0.83, 0.81), 0.02),
        (0.62, 0.62, 0.62),
        (0.22, 0.22, 0.23),
        dice.uniform(0.55, 0.95),
    )


def black_marble(dice: random.Random, scale: float, paper: Rgb) -> Any:
    vein = dice.choice(((0.62, 0.60, 0.56), (0.55, 0.45, 0.28)))
    return _veins(dice, scale, (0.012, 0.012, 0.013), (0.035, 0.035, 0.038), vein, dice.uniform(0.5, 0.9))


def slate(dice: random.Random, scale: float, paper: Rgb) -> Any:
    g = _graph("slate", dice, scale)
    layer = g.noise(3.0, at=g.warped(4.0, 0.2), detail=8, rough=0.6)
    grain = g.noise(60.0, detail=4, rough=0.7)
    steps = g.math("SNAP", g.math("ADD", layer, g.math("MULTIPLY", grain, 0.04)), 0.035)
    tint = _jitter(dice, dice.choice(((0.055, 0.06, 0.068), (0.085, 0.085, 0.088), (0.04, 0.042, 0.045))))
    colour = g.ramp(layer, (0.3, [c * 0.55 for c in tint]), (0.7, [c * 1.6 for c in tint]))
    colour = g.mix(g.math("MULTIPLY", grain, 0.4), colour, [c * 0.6 for c in tint])
    height = g.math("ADD", g.math("MULTIPLY", steps, 3.0), g.math("MULTIPLY", grain, 0.25))
    return g.surface(Base_Color=colour, Roughness=dice.uniform(0.45, 0.75), Normal=g.bump(height, 0.6, 0.006 / scale))


def concrete(dice: random.Random, scale: float, paper: Rgb) -> Any:
    g = _graph("concrete", dice, scale)
    cloud, mid, fine = g.noise(2.2, detail=6, rough=0.6), g.noise(14.0, detail=5, rough=0.65), g.noise(150.0, detail=2)
    voronoi = g.add("ShaderNodeTexVoronoi", Vector=g.warped(30, 0.02), Scale=dice.uniform(16, 34), Randomness=1.0)
    pits = g.math(
        "MULTIPLY", g.band(voronoi.outputs["Distance"], 0.05, 0.13, 1.0, 0.0), g.band(g.noise(9.0), 0.52, 0.6)
    )
    grey = _jitter(dice, dice.choice(((0.36, 0.355, 0.34), (0.46, 0.455, 0.44), (0.27, 0.27, 0.265))))
    value = g.math("ADD", g.math("MULTIPLY", cloud, 0.7), g.math("MULTIPLY", mid, 0.3))
    colour = g.ramp(value, (0.3, [c * 0.66 for c in grey]), (0.7, [c * 1.25 for c in grey]))
    colour = g.mix(g.math("MULTIPLY", pits, 0.7), colour, [c * 0.35 for c in grey])
    height = g.math("SUBTRACT", g.math("ADD", g.math("MULTIPLY", fine, 0.12), g.math("MULTIPLY", mid, 0.2)), pits)
    return g.surface(Base_Color=colour, Roughness=dice.uniform(0.5, 0.85), Normal=g.bump(height, 0.5, 0.0025 / scale))


def _cloth(dice: random.Random, scale: float, colour: Rgb, pitch: float) -> Any:
    g = _graph("cloth", dice, scale)
    at = g.warped(9.0, 0.006)
    parts = g.add("ShaderNodeSeparateXYZ", Vector=at)
    turns = math.tau / pitch
    x = g.math("SINE", g.math("MULTIPLY", parts.outputs[0], turns))
    y = g.math("SINE", g.math("MULTIPLY", parts.outputs[1], turns))
    z = g.math("SINE", g.math("MULTIPLY", parts.outputs[2], turns))
    weave = g.math("MULTIPLY", g.math("ADD", x, z), y)
    slub_x = g.noise(1.0, at=g.stretched(16, 520, 520), detail=2)
    slub_y = g.noise(1.0, at=g.stretched(520, 16, 16), detail=2)
    thread = g.math("ADD", slub_x, slub_y)
    tone = g.math("ADD", g.math("MULTIPLY", weave, 0.12), g.math("MULTIPLY", g.math("SUBTRACT", thread, 1.0), 0.8))
    tone = g.math("ADD", tone, 0.5, clamp=True)
    shade = g.ramp(tone, (0.1, [c * 0.62 for c in colour]), (0.9, [min(c * 1.2, 1.0) for c in colour]))
    folds = g.noise(dice.uniform(1.5, 4.0), detail=2, distort=0.8)
    soft = g.bump(folds, 0.6, dice.uniform(0.004, 0.05) / scale)
    fine = g.add(
        "ShaderNodeBump", Height=g.math("ADD", weave, thread), Strength=0.5, Distance=0.0008 / scale, Normal=soft
    )
    return g.surface(Base_Color=shade, Roughness=0.9, Normal=fine.outputs[0], Sheen_Weight=0.25, Specular_IOR_Level=0.2)


def linen(dice: random.Random, scale: float, paper: Rgb) -> Any:
    colour = dice.choice(((0.66, 0.58, 0.45), (0.74, 0.70, 0.62), (0.52, 0.46, 0.36), (0.60, 0.58, 0.54)))
    return _cloth(dice, scale, _jitter(dice, colour), dice.uniform(0.0018, 0.004) * max(1.0, scale / 0.3))


def sand(dice: random.Random, scale: float, paper: Rgb) -> Any:
    g = _graph("sand", dice, scale)
    dune = g.noise(1.6, at=g.warped(2.0, 0.3), detail=4)
    wave = g.add(
        "ShaderNodeTexWave", Vector=g.warped(3.0, 0.12), Scale=dice.uniform(3.0, 8.0), Distortion=4.0, Detail=2.0
    )
    wave.inputs["Detail Scale"].default_value = 1.2
    ripple = g.math("MULTIPLY", wave.outputs["Fac"], dice.choice((0.0, 0.5, 1.0)))
    grain, coarse = g.noise(420.0, detail=2, rough=0.8), g.noise(90.0, detail=3, rough=0.7)
    tint = _jitter(dice, dice.choice(((0.62, 0.46, 0.29), (0.70, 0.57, 0.40), (0.55, 0.41, 0.27))), 0.05)
    value = g.math("ADD", g.math("MULTIPLY", grain, 0.75), g.math("MULTIPLY", coarse, 0.25))
    colour = g.ramp(value, (0.32, [c * 0.5 for c in tint]), (0.5, tint), (0.68, [min(c * 1.4, 1.0) for c in tint]))
    big = g.bump(g.math("ADD", dune, g.math("MULTIPLY", ripple, 0.35)), 0.8, 0.035 / max(scale, 0.25))
    fine = g.add("ShaderNodeBump", Height=value, Strength=0.7, Distance=0.0022 / scale, Normal=big)
    return g.surface(Base_Color=colour, Roughness=0.95, Normal=fine.outputs[0], Specular_IOR_Level=0.15)


def paper(dice: random.Random, scale: float, paper: Rgb) -> Any:
    g = _graph("paper", dice, scale)
    grain = g.noise(220.0, detail=3)
    colour = g.mix(g.math("MULTIPLY", grain, 0.06), linear(paper), [c * 0.8 for c in linear(paper)])
    return g.surface(Base_Color=colour, Roughness=dice.uniform(0.5, 0.9), Normal=g.bump(grain, 0.08, 0.0006 / scale))


def terrazzo(dice: random.Random, scale: float, paper: Rgb) -> Any:
    g = _graph("terrazzo", dice, scale)
    cement = _jitter(dice, dice.choice(((0.78, 0.76, 0.72), (0.70, 0.66, 0.62), (0.60, 0.60, 0.60))), 0.03)
    chips = dice.choice(
        (
            ((0.50, 0.17, 0.10), (0.10, 0.13, 0.12), (0.58, 0.40, 0.20)),
            ((0.05, 0.05, 0.055), (0.30, 0.30, 0.30), (0.62, 0.58, 0.50)),
        )
    )
    colour: Any = cement
    for chip_size in (dice.uniform(14, 24), dice.uniform(38, 60)):
        at = g.warped(chip_size * 1.5, 0.35 / chip_size)
        cells = g.add("ShaderNodeTexVoronoi", Vector=at, Scale=chip_size, Randomness=1.0)
        edge = g.add("ShaderNodeTexVoronoi", Vector=at, Scale=chip_size, Randomness=1.0)
        edge.feature = "DISTANCE_TO_EDGE"
        parts = g.add("ShaderNodeSeparateColor", Color=cells.outputs["Color"])
        kind = g.ramp(parts.outputs[0], (0.0, chips[0]), (0.34, chips[1]), (0.67, chips[2]))
        kind.node.color_ramp.interpolation = "CONSTANT"
        inside = g.math(
            "MULTIPLY", g.band(edge.outputs["Distance"], 0.10, 0.13), g.math("GREATER_THAN", parts.outputs[1], 0.52)
        )
        colour = g.mix(inside, colour, kind)
    return g.surface(Base_Color=colour, Roughness=dice.uniform(0.12, 0.45))


def grass(dice: random.Random, scale: float, paper: Rgb) -> Any:
    g = _graph("grass", dice, scale)
    photo = g.image(str(TEXTURES / "grass.png"), g.stretched(2.6, 2.6, 2.6, dice.uniform(0, 6)), box=True)
    patch = g.noise(4.0, detail=4)
    value = g.math("ADD", g.math("MULTIPLY", photo, 0.85), g.math("MULTIPLY", patch, 0.25))
    green = _jitter(dice, (0.17, 0.30, 0.055), 0.1)
    colour = g.ramp(value, (0.15, [c * 0.12 for c in green]), (0.5, green), (0.9, (0.55, 0.62, 0.22)))
    return g.surface(
        Base_Color=colour, Roughness=0.8, Normal=g.bump(photo, 0.9, 0.012 / scale), Specular_IOR_Level=0.25
    )


def gravel(dice: random.Random, scale: float, paper: Rgb) -> Any:
    """Dark pebbles: a photograph; one of the ways a slate ground looks."""
    g = _graph("gravel", dice, scale)
    photo = g.image(str(TEXTURES / "gravel.png"), g.stretched(2.0, 2.0, 2.0, dice.uniform(0, 6)), box=True)
    tint = _jitter(dice, (0.26, 0.26, 0.27), 0.08)
    colour = g.ramp(photo, (0.05, [c * 0.08 for c in tint]), (0.9, [c * 1.5 for c in tint]))
    return g.surface(Base_Color=colour, Roughness=0.7, Normal=g.bump(photo, 0.9, 0.012 / scale))


def steel(dice: random.Random, scale: float, paper: Rgb) -> Any:
    g = _graph("steel", dice, scale)
    brush = g.noise(1.0, at=g.stretched(3.0, 900, 900, dice.choice((0.0, math.pi / 2))), detail=3, rough=0.6)
    broad = g.noise(2.5, detail=3)
    colour = g.ramp(
        g.math("ADD", g.math("MULTIPLY", brush, 0.6), g.math("MULTIPLY", broad, 0.4)),
        (0.3, (0.42, 0.43, 0.44)),
        (0.7, (0.62, 0.63, 0.64)),
    )
    rough = g.band(brush, 0.3, 0.7, 0.22, 0.42)
    return g.surface(Base_Color=colour, Metallic=1.0, Roughness=rough, Normal=g.bump(brush, 0.12, 0.0006 / scale))


def plaster(dice: random.Random, scale: float, colour: Rgb) -> Any:
    """A painted wall."""
    g = _graph("plaster", dice, scale)
    cloud, grain = g.noise(1.6, detail=5, rough=0.6), g.noise(45.0, detail=4, rough=0.6)
    base = linear(colour)
    tone = g.ramp(cloud, (0.25, [c * 0.88 for c in base]), (0.75, [min(c * 1.06, 1.0) for c in base]))
    return g.surface(Base_Color=tone, Roughness=0.85, Normal=g.bump(grain, 0.25, dice.choice((0.0005, 0.002)) / scale))


def brick(dice: random.Random, scale: float, colour: Rgb) -> Any:
    g = _graph("brick", dice, scale)
    node = g.add("ShaderNodeTexBrick", Vector=g.wall(), Scale=1.0)
    base = _jitter(dice, dice.choice(((0.33, 0.085, 0.05), (0.38, 0.13, 0.075), (0.24, 0.07, 0.05))), 0.08)
    node.inputs["Color1"].default_value = (*base, 1)
    node.inputs["Color2"].default_value = (*[c * 0.5 for c in base], 1)
    node.inputs["Mortar"].default_value = (*_jitter(dice, (0.42, 0.39, 0.35)), 1)
    for name, value in (
        ("Mortar Size", 0.006),
        ("Mortar Smooth", 0.3),
        ("Brick Width", 0.23),
        ("Row Height", 0.076),
        ("Bias", -0.2),
    ):
        node.inputs[name].default_value = value
    rough = g.noise(26.0, detail=6, rough=0.7)
    tone = g.mix(0.55, node.outputs["Color"], g.ramp(rough, (0.3, (0.25, 0.25, 0.25)), (0.7, (1, 1, 1))), "MULTIPLY")
    height = g.math("ADD", g.math("MULTIPLY", node.outputs["Fac"], -1.0), g.math("MULTIPLY", rough, 0.35))
    return g.surface(Base_Color=tone, Roughness=0.85, Normal=g.bump(height, 0.9, 0.008 / scale))


def tile(dice: random.Random, scale: float, colour: Rgb) -> Any:
    g = _graph("tile", dice, scale)
    node = g.add("ShaderNodeTexBrick", Vector=g.wall(), Scale=1.0)
    white = _jitter(dice, (0.82, 0.82, 0.80), 0.03)
    node.inputs["Color1"].default_value = (*white, 1)
    node.inputs["Color2"].default_value = (*[c * 0.9 for c in white], 1)
    node.inputs["Mortar"].default_value = (
        *dice.choice(((0.32, 0.32, 0.31), (0.55, 0.54, 0.52), (0.14, 0.14, 0.14))),
        1,
    )
    square = dice.random() < 0.4
    node.offset = 0.0 if square else 0.5
    for name, value in (
        ("Mortar Size", 0.0022),
        ("Mortar Smooth", 0.4),
        ("Brick Width", 0.1 if square else 0.15),
        ("Row Height", 0.1 if square else 0.075),
    ):
        node.inputs[name].default_value = value
    height = g.math("ADD", g.math("MULTIPLY", node.outputs["Fac"], -1.0), g.math("MULTIPLY", g.noise(7.0), 0.12))
    rough = g.band(node.outputs["Fac"], 0.0, 1.0, dice.uniform(0.06, 0.2), 0.8)
    return g.surface(Base_Color=node.outputs["Color"], Roughness=rough, Normal=g.bump(height, 0.7, 0.004 / scale))


def curtain(dice: random.Random, scale: float, colour: Rgb) -> Any:
    if dice.random() < 0.4:  # satin
        g = _graph("satin", dice, scale)
        return g.surface(Base_Color=linear(colour), Roughness=0.35, Sheen_Weight=0.4, Anisotropic=0.5)
    return _cloth(dice, scale, linear(colour), dice.uniform(0.002, 0.004))


TEXTURES = Path()
"""Folder of the photographs that grounds use; the worker sets it."""
Paint = Callable[[random.Random, float, Rgb], Any]
GROUNDS: dict[str, Paint] = {
    "wood": wood, "walnut": walnut, "marble": marble, "slate": slate, "concrete": concrete, "linen": linen,
    "sand": sand,
    "paper": paper, "terrazzo": terrazzo, "black_marble": black_marble, "grass": grass, "steel": steel,
}  # fmt: skip
WALLS: dict[str, Paint] = {"plain": plaster, "brick": brick, "tile": tile, "curtain": curtain, "room": plaster}


def ground(surface: str, seed: int, scale: float, paper_rgb: Rgb) -> Any:
    """The material of a surface of `training.scenes.words.SURFACES`."""
    dice = random.Random(seed)
    if surface == "slate" and dice.random() < 0.3:
        return gravel(dice, scale, paper_rgb)
    return GROUNDS[surface](dice, scale, paper_rgb)


def wall(backdrop: str, seed: int, scale: float, rgb: Rgb) -> Any:
    return WALLS[backdrop](random.Random(seed + 1), scale, rgb)
