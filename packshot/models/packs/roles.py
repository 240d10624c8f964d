"""The roles of a pack, the classes that can fill each, and the roles that each recipe needs."""

from __future__ import annotations

from typing import Literal, get_args

from packshot.contract.shot_spec import ConditionKind

RoleName = Literal[
    "segmenter",
    "tokenizer",
    "text_encoder",
    "tokenizer_2",
    "text_encoder_2",
    "vae",
    "unet",
    "transformer",
    "controlnet",
    "controlnet_depth",
    "controlnet_normal",
    "controlnet_segmentation",
    "controlnet_pose",
    "controlnet_inpaint",
    "scheduler",
    "matting",
    "judge",
    "reader",
    "geometry",
    "detector",
    "image_encoder",
    "ip_adapter",
    "upscaler",
    "captioner",
]
ClassName = Literal[
    "AutoencoderKL",
    "AutoencoderKLFlux2",
    "AutoencoderTiny",
    "BlipForConditionalGeneration",
    "CLIPTextModel",
    "CLIPTextModelWithProjection",
    "CLIPTokenizer",
    "CLIPVisionModelWithProjection",
    "ControlNetModel",
    "ControlNetUnionModel",
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "DepthAnythingForDepthEstimation",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "Flux2Transformer2DModel",
    "GeometryHead",
    "GroundingDinoForObjectDetection",
    "IPAdapter",
    "LCMScheduler",
    "MoGeModel",
    "NameFinder",
    "Qwen2Tokenizer",
    "Qwen3Model",
    "RRDBNet",
    "RapidReader",
    "SRVGGNetCompact",
    "Sam",
    "Sam2Model",
    "SceneEncoder",
    "SceneJudge",
    "UNet2DConditionModel",
    "UniPCMultistepScheduler",
    "VitMatteForImageMatting",
    "WordTokenizer",
    "ZImageControlNetModel",
    "ZImageTransformer2DModel",
]
ROLES: tuple[RoleName, ...] = get_args(RoleName)
CONTROL_ROLES: dict[ConditionKind, RoleName] = {
    "canny": "controlnet",
    "depth": "controlnet_depth",
    "normal": "controlnet_normal",
    "segmentation": "controlnet_segmentation",
    "pose": "controlnet_pose",
}
"""The role of each condition's own ControlNet. A union ControlNet in the role `controlnet` serves several conditions
(`PackManifest.control_role`)."""
CLASSES_OF_ROLE: dict[RoleName, tuple[ClassName, ...]] = {
    "segmenter": ("Sam", "Sam2Model"),
    "tokenizer": ("CLIPTokenizer", "Qwen2Tokenizer", "WordTokenizer"),
    "text_encoder": ("CLIPTextModel", "Qwen3Model"),
    "tokenizer_2": ("CLIPTokenizer",),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "vae": ("AutoencoderKL", "AutoencoderKLFlux2", "AutoencoderTiny"),
    "unet": ("UNet2DConditionModel",),
    "transformer": ("Flux2Transformer2DModel", "ZImageTransformer2DModel"),
    **dict.fromkeys(CONTROL_ROLES.values(), ("ControlNetModel",)),
    "controlnet": ("ControlNetModel", "ControlNetUnionModel", "ZImageControlNetModel"),
    "controlnet_inpaint": ("ControlNetModel",),
    "matting": ("VitMatteForImageMatting",),
    "judge": ("SceneJudge",),
    "reader": ("RapidReader",),
    "geometry": ("DepthAnythingForDepthEstimation", "GeometryHead", "MoGeModel"),
    "detector": ("GroundingDinoForObjectDetection", "NameFinder"),
    "image_encoder": ("CLIPVisionModelWithProjection", "SceneEncoder"),
    "ip_adapter": ("IPAdapter",),
    "upscaler": ("RRDBNet", "SRVGGNetCompact"),
    "captioner": ("BlipForConditionalGeneration",),
    "scheduler": (
        "DDIMScheduler",
        "DPMSolverMultistepScheduler",
        "EulerDiscreteScheduler",
        "FlowMatchEulerDiscreteScheduler",
        "LCMScheduler",
        "UniPCMultistepScheduler",
    ),
}
SCENE_CLASSES: tuple[ClassName, ...] = ("DepthAnythingForDepthEstimation", "MoGeModel")
"""The classes of the role `geometry` that know the depth of whole scenes, not of products alone."""
UNION_CLASSES: tuple[ClassName, ...] = ("ControlNetUnionModel", "ZImageControlNetModel")
"""The ControlNets that serve several conditions."""

Recipe = Literal["unet_controlnet", "flow_edit", "flow_control", "remote"]
"""How a pack paints a scene. The engine of each recipe is in packshot/models/engines."""
RENDER_ROLES: dict[Recipe, tuple[RoleName, ...]] = {
    "unet_controlnet": ("tokenizer", "text_encoder", "vae", "unet", "controlnet", "scheduler"),
    "flow_edit": ("tokenizer", "text_encoder", "vae", "transformer", "scheduler"),
    "flow_control": ("tokenizer", "text_encoder", "vae", "transformer", "controlnet", "scheduler"),
    "remote": (),
}
"""The roles that every engine of a recipe loads. The others are read elsewhere, or when the engine serves what they
are for."""
FURTHER_RENDER_ROLES: dict[Recipe, tuple[RoleName, ...]] = {
    "unet_controlnet": ("tokenizer_2", "text_encoder_2", "controlnet_inpaint", "upscaler"),
    "flow_edit": ("upscaler",),
    "flow_control": ("upscaler",),
    "remote": (),
}
"""The roles that an engine of a recipe loads where the pack has them."""

TRAINING_ROLES: tuple[RoleName, ...] = ("captioner",)
"""The roles that no server loads. Their files are fetched when a training asks for them."""
REFERENCE_ROLES: tuple[RoleName, ...] = ("image_encoder", "ip_adapter")
"""The roles of an engine that follows reference pictures by their embeddings."""
ReferenceForm = Literal["embedding", "picture"]
"""How an engine reads a reference: the image encoder's vector, or the pixels."""
SEE_PICTURES: frozenset[Recipe] = frozenset({"flow_edit"})
"""The recipes whose networks read the pixels of references."""
ADAPTED_RECIPES: tuple[Recipe, ...] = ("unet_controlnet",)
"""The recipes whose networks take adapters."""

__all__ = [
    "ADAPTED_RECIPES",
    "CLASSES_OF_ROLE",
    "CONTROL_ROLES",
    "FURTHER_RENDER_ROLES",
    "REFERENCE_ROLES",
    "RENDER_ROLES",
    "ROLES",
    "SCENE_CLASSES",
    "SEE_PICTURES",
    "TRAINING_ROLES",
    "UNION_CLASSES",
    "ClassName",
    "Recipe",
    "ReferenceForm",
    "RoleName",
]
