"""What each kind of training trains, how it changes the networks' call, and the files that it ends in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from packshot.models.packs.roles import RoleName
from packshot.training.control import control_images, load_control
from packshot.training.dataset import Picture
from packshot.training.derived_pack import write_pack
from packshot.training.inversion import add_word
from packshot.training.lora import add_lora, kohya_layout, lora_state, write_tensors
from packshot.training.networks import Networks, Residuals
from packshot.training.spec import TrainingSpec

__all__ = ["Trained", "trained_parts"]


@dataclass(frozen=True)
class Trained:
    """The trained part of the networks.

    `weights` are its parameters, fp32. `texts` says whether the text encoders change, so that texts must be encoded in
    each step. `residuals` gives a ControlNet's for a batch: (networks' inputs: latents, times, texts, pooled, pictures'
    numbers). `save` writes the files into a folder, with metadata, and returns them.
    """

    weights: list[nn.Parameter]
    texts: bool
    save: Callable[[Path, Mapping[str, str]], list[Path]]
    residuals: Callable[[Tensor, Tensor, Tensor, Tensor | None, Sequence[int]], Residuals] | None = None


def trained_parts(networks: Networks, spec: TrainingSpec, pictures: Sequence[Picture]) -> Trained:
    """Prepare the networks for a training: the trained parts get fp32 weights and gradients."""
    if spec.kind == "inversion":
        return _inversion(networks, spec)
    if spec.kind == "controlnet":
        return _controlnet(networks, spec, pictures)
    if spec.whole_network:
        return _whole(networks, spec)
    return _lora(networks, spec)


def _lora(networks: Networks, spec: TrainingSpec) -> Trained:
    weights = add_lora(networks, spec.rank, convolutions=spec.convolutions, text_encoder=spec.text_encoder)

    def save(folder: Path, metadata: Mapping[str, str]) -> list[Path]:
        state = lora_state(networks)
        size = str(spec.rank)
        kohya = {"ss_network_module": "networks.lora", "ss_network_dim": size, "ss_network_alpha": size}
        return [
            write_tensors(folder / f"{spec.name}.safetensors", state, metadata),
            write_tensors(folder / f"{spec.name}.kohya.safetensors", kohya_layout(state), {**metadata, **kohya}),
        ]

    return Trained(weights, spec.text_encoder, save)


def _inversion(networks: Networks, spec: TrainingSpec) -> Trained:
    embeddings = add_word(networks, spec.tag, spec.vectors, spec.init_words)

    def save(folder: Path, metadata: Mapping[str, str]) -> list[Path]:
        learned = [one.learned.detach().float().cpu() for one in embeddings]
        names = ("learned_embeds.safetensors", "learned_embeds_2.safetensors")  # as diffusers' trainings name them
        files = [
            write_tensors(folder / name, {spec.tag: one}, metadata) for name, one in zip(names, learned, strict=False)
        ]
        if len(learned) == 2:  # both in one file, as other tools read SDXL's
            both = dict(zip(("clip_l", "clip_g"), learned, strict=True))
            files.append(write_tensors(folder / f"{spec.name}.safetensors", both, metadata))
        return files

    return Trained([one.learned for one in embeddings], True, save)


def _whole(networks: Networks, spec: TrainingSpec) -> Trained:
    parts: dict[RoleName, Any] = {"unet": networks.unet}
    roles: tuple[RoleName, ...] = ("text_encoder", "text_encoder_2")
    if spec.text_encoder:
        parts |= dict(zip(roles, networks.text_encoders, strict=False))
    weights = [weight for part in parts.values() for weight in _unfrozen(part)]

    def save(folder: Path, metadata: Mapping[str, str]) -> list[Path]:
        changed = {role: (networks.pack.role(role).config, part.state_dict()) for role, part in parts.items()}
        return write_pack(networks.pack, folder / "pack" / spec.name, changed, metadata)

    return Trained(weights, spec.text_encoder, save)


def _controlnet(networks: Networks, spec: TrainingSpec, pictures: Sequence[Picture]) -> Trained:
    control, config, channels = load_control(networks)
    images = control_images(pictures, channels)
    weights = _unfrozen(control)
    if spec.checkpointing:
        control.enable_gradient_checkpointing()
        control.train()

    def residuals(
        latents: Tensor, times: Tensor, texts: Tensor, pooled: Tensor | None, numbers: Sequence[int]
    ) -> Residuals:
        down, mid = control(
            latents,
            times,
            encoder_hidden_states=texts.float(),
            controlnet_cond=images[list(numbers)].to(networks.device),
            added_cond_kwargs=networks.added(pooled, latents),
            return_dict=False,
        )
        return [one.to(networks.dtype) for one in down], mid.to(networks.dtype)

    def save(folder: Path, metadata: Mapping[str, str]) -> list[Path]:
        changed: dict[RoleName, tuple[Any, Any]] = {"controlnet": (config, control.state_dict())}
        return write_pack(networks.pack, folder / "pack" / spec.name, changed, metadata, controlnet="ControlNetModel")

    return Trained(weights, False, save, residuals)


def _unfrozen(network: nn.Module) -> list[nn.Parameter]:
    network.float().requires_grad_(requires_grad=True)
    return list(network.parameters())
