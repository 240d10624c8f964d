"""Materials of products: what an imported MTL lacks, and what made packages are made of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy

from training.path_traced.blender.nodes import Graph
from training.path_traced.blender.surfaces import linear

Rgb = Sequence[float]
PALETTE: tuple[Rgb, ...] = (
    (0.93, 0.92, 0.9), (0.1, 0.1, 0.11), (0.8, 0.72, 0.62), (0.72, 0.16, 0.14), (0.13, 0.22, 0.42),
    (0.2, 0.36, 0.27), (0.91, 0.7, 0.24), (0.86, 0.58, 0.56), (0.45, 0.62, 0.72), (0.55, 0.43, 0.33),
    (0.62, 0.6, 0.58), (0.37, 0.25, 0.42), (0.88, 0.45, 0.25), (0.7, 0.8, 0.68),
)  # fmt: skip
METALS: tuple[Rgb, ...] = ((0.80, 0.80, 0.81), (0.83, 0.66, 0.36), (0.80, 0.52, 0.40), (0.35, 0.35, 0.36))
KINDS = ("plastic", "matte", "ceramic", "metal", "brushed", "rubber", "leather", "fabric", "painted", "wood")
OPAQUE = ("plastic", "matte", "ceramic", "metal", "painted")


def look(kind: str, rgb: Rgb, dice: random.Random, scale: float) -> Any:
    """A material of one of KINDS. rgb: sRGB 0..1. scale: metres a scene unit."""
    g = Graph(kind, scale, [dice.uniform(0, 9) for _ in range(3)])
    colour = linear(rgb)
    if kind == "plastic":
        return g.surface(Base_Color=colour, Roughness=dice.uniform(0.12, 0.35), Coat_Weight=dice.choice((0.0, 0.4)))
    if kind == "matte":
        grain = g.noise(900.0)
        return g.surface(
            Base_Color=colour, Roughness=dice.uniform(0.45, 0.75), Normal=g.bump(grain, 0.1, 0.0002 / scale)
        )
    if kind == "ceramic":
        speck = g.band(g.noise(260.0, detail=1), 0.66, 0.70) if dice.random() < 0.4 else 0.0
        base = g.mix(speck, colour, [c * 0.35 for c in colour])
        return g.surface(Base_Color=base, Roughness=dice.uniform(0.08, 0.3), Coat_Weight=0.8, Coat_Roughness=0.05)
    if kind in ("metal", "brushed"):
        metal = linear(dice.choice(METALS))
        brush = g.noise(1.0, at=g.stretched(20, 20, 900), detail=3) if kind == "brushed" else g.noise(5.0)
        low = dice.uniform(0.05, 0.3)
        return g.surface(Base_Color=metal, Metallic=1.0, Roughness=g.band(brush, 0.3, 0.7, low, low + 0.15))
    if kind == "rubber":
        return g.surface(Base_Color=[c * 0.5 for c in colour], Roughness=0.8, Specular_IOR_Level=0.3)
    if kind == "leather":
        cells = g.add("ShaderNodeTexVoronoi", Vector=g.at, Scale=320.0)
        cells.feature = "SMOOTH_F1"
        tone = g.mix(g.noise(8.0), colour, [c * 0.6 for c in colour])
        normal = g.bump(cells.outputs["Distance"], 0.5, 0.0008 / scale)
        return g.surface(Base_Color=tone, Roughness=dice.uniform(0.35, 0.6), Normal=normal)
    if kind == "fabric":
        weave = g.noise(1.0, at=g.stretched(700, 700, 250), detail=2)
        tone = g.mix(g.band(weave, 0.3, 0.7), [c * 0.6 for c in colour], colour)
        return g.surface(Base_Color=tone, Roughness=0.95, Sheen_Weight=0.4, Normal=g.bump(weave, 0.4, 0.001 / scale))
    if kind == "wood":
        grain = g.noise(3.0, at=g.stretched(3, 3, 30), detail=6, distort=0.8)
        base = dice.choice(((0.45, 0.27, 0.13), (0.60, 0.42, 0.25), (0.16, 0.085, 0.05)))
        tone = g.ramp(grain, (0.3, [c * 0.55 for c in base]), (0.7, base))
        return g.surface(Base_Color=tone, Roughness=dice.uniform(0.3, 0.6))
    flakes = g.noise(500.0, detail=1)
    tone = g.mix(g.band(flakes, 0.4, 0.7, 0.0, 0.15), colour, (1, 1, 1))
    return g.surface(
        Base_Color=tone, Roughness=0.3, Metallic=dice.choice((0.0, 0.6)), Coat_Weight=1.0, Coat_Roughness=0.03
    )


def glass(rgb: Rgb, roughness: float) -> Any:
    """Glass that lets light through to its shadow, so that its shadow is not black. rgb: linear tint."""
    g = Graph("glass")
    clear = g.add("ShaderNodeBsdfPrincipled", Base_Color=rgb, Roughness=roughness, Transmission_Weight=1.0, IOR=1.45)
    through = g.add("ShaderNodeBsdfTransparent", Color=[0.25 + 0.72 * c for c in rgb])
    chooser = g.add("ShaderNodeMixShader", Fac=g.add("ShaderNodeLightPath").outputs["Is Shadow Ray"])
    g.tree.links.new(clear.outputs[0], chooser.inputs[1])
    g.tree.links.new(through.outputs[0], chooser.inputs[2])
    g.finish(chooser.outputs[0])
    return g.material


def printed(path: str, roughness: float, dice: random.Random) -> Any:
    """A label: the picture at `path` over the mesh's own UV coordinates."""
    g = Graph("label")
    uv = g.add("ShaderNodeTexCoord").outputs["UV"]
    return g.surface(Base_Color=g.image(path, uv), Roughness=roughness, Coat_Weight=dice.choice((0.0, 0.3)))


def improve(material: Any, dice: random.Random, *, restyle: bool, scale: float) -> Any:
    """An imported material made fit for a photograph; gives the material to use in its place.

    Clear ones become glass. Textured ones keep their picture and get a plausible gloss. Plain ones stay, or are
    restyled.
    """
    if not material.use_nodes:
        return material
    for node in [node for node in material.node_tree.nodes if node.type == "TEX_IMAGE"]:
        if node.image is None or not Path(bpy.path.abspath(node.image.filepath)).exists():
            material.node_tree.nodes.remove(node)  # some MTLs name pictures that their catalogue lacks
    shader = next((node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED"), None)
    if shader is None:
        return material
    base, alpha = shader.inputs["Base Color"], shader.inputs["Alpha"]
    rgb = tuple(base.default_value)[:3]
    if not base.is_linked and not alpha.is_linked and alpha.default_value < 0.85:
        return glass([0.55 + 0.45 * c for c in rgb], dice.choice((0.0, 0.02, 0.05)))
    shader.inputs["Emission Strength"].default_value = 0.0
    if base.is_linked or alpha.is_linked:
        shader.inputs["Roughness"].default_value = dice.uniform(0.3, 0.65)
        shader.inputs["Specular IOR Level"].default_value = 0.4
        return material
    if not restyle:
        shader.inputs["Roughness"].default_value = min(max(shader.inputs["Roughness"].default_value * 0.7, 0.12), 0.6)
        shader.inputs["Specular IOR Level"].default_value = 0.5
        if max(rgb) > 0.9:
            base.default_value = (*(c * 0.88 for c in rgb), 1.0)
        return material
    grey = max(rgb) - min(rgb) < 0.08
    srgb = [c ** (1 / 2.2) for c in rgb]
    colour = dice.choice(PALETTE) if grey and dice.random() < 0.75 else srgb
    kind = dice.choice(KINDS) if grey else dice.choice(OPAQUE)
    return look(kind, colour, dice, scale)
