"""Shader node trees, written as expressions: a `Graph` makes nodes, wires sockets and gives sockets back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

Socket = Any
"""An output socket, or a plain number or colour."""


class Graph:
    """The node tree of one new material; coordinates are the object's own, times `scale`."""

    def __init__(self, name: str, scale: float = 1.0, offset: Sequence[float] = (0.0, 0.0, 0.0)) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        coordinates = self.add("ShaderNodeTexCoord").outputs["Object"]
        mapping = self.add("ShaderNodeMapping", Vector=coordinates)
        mapping.inputs["Scale"].default_value = (scale,) * 3
        mapping.inputs["Location"].default_value = tuple(offset)
        self.at: Socket = mapping.outputs["Vector"]

    def add(self, kind: str, **inputs: Socket) -> Any:
        """A node of `kind`; inputs by name, with _ for a space; settings are set on what is returned."""
        node = self.tree.nodes.new(kind)
        for name, value in inputs.items():
            self.plug(node.inputs[name.replace("_", " ")], value)
        return node

    def plug(self, socket: Any, value: Socket) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif isinstance(value, (int, float)) or socket.type not in ("RGBA", "VECTOR"):
            socket.default_value = value
        elif socket.type == "RGBA":
            socket.default_value = (*value, 1.0) if len(value) == 3 else value
        else:
            socket.default_value = value

    def math(self, operation: str, a: Socket, b: Socket = 0.0, *, clamp: bool = False) -> Socket:
        node = self.tree.nodes.new("ShaderNodeMath")
        node.operation, node.use_clamp = operation, clamp
        self.plug(node.inputs[0], a)
        self.plug(node.inputs[1], b)
        return node.outputs[0]

    def stretched(self, x: float, y: float, z: float = 1.0, turn: float = 0.0) -> Socket:
        """The coordinates, scaled by axis, after a turn about z (radians)."""
        node = self.add("ShaderNodeMapping", Vector=self.at)
        node.inputs["Scale"].default_value = (x, y, z)
        node.inputs["Rotation"].default_value = (0, 0, turn)
        return node.outputs["Vector"]

    def wall(self) -> Socket:
        """The coordinates of an upright plane that faces -y, as x across and y up."""
        parts = self.add("ShaderNodeSeparateXYZ", Vector=self.at)
        return self.add("ShaderNodeCombineXYZ", X=parts.outputs[0], Y=parts.outputs[2]).outputs[0]

    def noise(
        self, scale: float, *, at: Socket | None = None, detail: float = 4.0, rough: float = 0.5, distort: float = 0.0
    ) -> Socket:
        """Fractal noise, mostly 0.3..0.7."""
        node = self.add(
            "ShaderNodeTexNoise", Vector=at or self.at, Scale=scale, Detail=detail, Roughness=rough, Distortion=distort
        )
        return node.outputs["Fac"]

    def warped(self, scale: float, amount: float) -> Socket:
        """The coordinates, pushed about by noise."""
        node = self.add("ShaderNodeTexNoise", Vector=self.at, Scale=scale, Detail=3.0)
        centred = self.vector("SUBTRACT", node.outputs["Color"], (0.5, 0.5, 0.5))
        return self.vector("ADD", self.at, self.vector("SCALE", centred, amount))

    def vector(self, operation: str, a: Socket, b: Socket) -> Socket:
        node = self.tree.nodes.new("ShaderNodeVectorMath")
        node.operation = operation
        self.plug(node.inputs[0], a)
        self.plug(node.inputs["Scale" if operation == "SCALE" else 1], b)
        return node.outputs[0]

    def ramp(self, value: Socket, *stops: tuple[float, Sequence[float]]) -> Socket:
        """Colours along 0..1."""
        node = self.add("ShaderNodeValToRGB", Fac=value)
        elements = node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(1.0)
        for element, (position, colour) in zip(elements, stops, strict=True):
            element.position, element.color = position, (*colour, 1.0)
        return node.outputs["Color"]

    def band(self, value: Socket, low: float, high: float, to_low: float = 0.0, to_high: float = 1.0) -> Socket:
        """`value` from low..high to to_low..to_high, clamped."""
        node = self.tree.nodes.new("ShaderNodeMapRange")
        for index, part in enumerate((value, low, high, to_low, to_high)):
            self.plug(node.inputs[index], part)
        return node.outputs[0]

    def mix(self, amount: Socket, a: Socket, b: Socket, kind: str = "MIX") -> Socket:
        node = self.tree.nodes.new("ShaderNodeMix")
        node.data_type, node.blend_type = "RGBA", kind
        self.plug(node.inputs[0], amount)
        self.plug(node.inputs[6], a)
        self.plug(node.inputs[7], b)
        return node.outputs[2]

    def bump(self, height: Socket, strength: float, distance: float) -> Socket:
        node = self.add("ShaderNodeBump", Height=height, Strength=strength, Distance=distance)
        return node.outputs["Normal"]

    def image(self, path: str, at: Socket, *, box: bool = False) -> Any:
        """The picture at `path`, repeated; `box`: projected from three sides."""
        node = self.add("ShaderNodeTexImage", Vector=at)
        node.image = bpy.data.images.load(path, check_existing=True)
        if box:
            node.projection, node.projection_blend = "BOX", 0.2
        return node.outputs["Color"]

    def surface(self, **inputs: Socket) -> Any:
        """End in a Principled BSDF; gives the material."""
        shader = self.add("ShaderNodeBsdfPrincipled", **inputs)
        self.finish(shader.outputs[0])
        return self.material

    def finish(self, shader: Socket) -> None:
        out = self.add("ShaderNodeOutputMaterial")
        self.tree.links.new(shader, out.inputs["Surface"])
