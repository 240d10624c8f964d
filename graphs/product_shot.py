"""The product shot: the whole application on one screen.

                        ┌─ uploads ─> photo_decoder (if the profile has one; otherwise a process of the gateway)
                        ├─ clicks ──> sam_encoder ──Embedding─┬> mask_decoder ──> masks
                        │             (once per photo)        │  (batched) ^
    HTTP ──> gateway ───┼─ words ─────────────────────────────┴> detector ─┘ boxes
                │       ├─ catalogues ─> producer (if the profile has one; otherwise the gateway): clicks, shots, files
                │       ├─ cutouts, deliveries ─────────────────> finisher ──> files
                │       └─ shots ───> director ──layers─────────> finisher ──Fitted──┬──> canny ──EdgeMap──┐
                │                        ├─ geometry ─> understand   │               │                     v
             [ store ] <─claim, commit───┤──Brief────────────────────┼───────────────┴───────────────> generator
              shots, photos, masks, images                           │Prepared                      (shared steps)
                                         ├─ style > reference_encoder ┼──References─────────────────────────^
                                         ^                           v                                     │
                                         └──────── PNG ────────── finisher <───────────Painted─────────────┘
    director ── trainings ─> trainer (if the profile has one) ──> adapters in the store

An accepted shot is a row in the store before anything runs. The director claims it, runs it and commits its images.
Layouts, geometries and edge maps travel between replicas by reference: as an unawaited response, or as an object
reference. Only shots that need their products' geometry call `understand`, once for each mask, and clips of packs that
know a scene's depth, once for each clip. Only shots whose style shows pictures to the engine call `reference_encoder`,
once for each picture, and only words call `detector`; otherwise these sleep. Each engine has its own generators. Those
of an engine that is not the default sleep until a shot asks for it. A trainer sleeps until a training is accepted, and
runs it beside all this, on a device of its own.

    serve run graphs.product_shot:app          # this machine, the mini pack, keys required
    packshot config --profile one-gpu          # the same application with another profile's numbers
"""

from pydantic import BaseModel, ConfigDict, Field
from ray.serve import Application

from deployments.canny import CannyDeployment
from deployments.detector import DetectorDeployment
from deployments.director import DirectorDeployment
from deployments.finisher import FinisherDeployment
from deployments.gateway import GatewayDeployment
from deployments.generator import GeneratorDeployment
from deployments.mask_decoder import MaskDecoderDeployment
from deployments.photo_decoder import PhotoDecoderDeployment
from deployments.producer import ProducerDeployment
from deployments.ray_support.decorated import as_deployment
from deployments.ray_support.shared_store import require_shared_store
from deployments.reference_encoder import ReferenceEncoderDeployment
from deployments.sam_encoder import SamEncoderDeployment
from deployments.trainer import TrainerDeployment
from deployments.understand import UnderstandDeployment
from packshot.models.packs.served import detector_pack, pack_with, served_packs
from packshot.settings import Settings


class Args(BaseModel):
    """The application's arguments. The options of each deployment are in the Serve config."""

    model_config = ConfigDict(extra="forbid")

    pack: str = Field("", description="The pack of the only engine; empty = `engines`.")
    engines: tuple[str, ...] = Field(
        (), description="The packs of the engines, the default first; empty = the setting."
    )
    segmenter: str = Field("", description="The pack that finds and cuts products; empty = the setting.")
    encoder_threads: int = Field(2, ge=0, description="Torch threads of an encoder replica; 0 = torch's choice.")
    decoder_threads: int = Field(1, ge=0, description="Torch threads of a mask decoder replica.")
    detector_threads: int = Field(1, ge=0, description="Torch threads of a replica that finds what words name.")
    understand_threads: int = Field(1, ge=0, description="Torch threads of a replica that finds geometry.")
    reference_threads: int = Field(1, ge=0, description="Torch threads of a replica that reads reference pictures.")
    generator_threads: int = Field(2, ge=0, description="Torch threads of a generator replica.")
    trainer_threads: int = Field(0, ge=0, description="Torch threads of a training's process; 0 = torch's choice.")
    photo_decoder: bool = Field(False, description="Decode uploads in a separate deployment, not in the gateway.")
    producer: bool = Field(False, description="Produce catalogues in a separate deployment, not in the gateway.")
    trainer: bool = Field(False, description="Train adapters on tenants' pictures.")


def app(args: Args) -> Application:
    """Build the application, for `serve run graphs.product_shot:app`.

    Raises BadInput `bad_usage` when Ray has several machines and the store is local to one of them.
    """
    settings = Settings()
    require_shared_store(settings)
    served = served_packs(settings, pack=args.pack, engines=args.engines, segmenter=args.segmenter)
    geometry, matting = (pack_with(role, served, settings) for role in ("geometry", "matting"))
    encoder = as_deployment(SamEncoderDeployment).bind(served.segmenter, args.encoder_threads)
    decoder = as_deployment(MaskDecoderDeployment).bind(served.segmenter, args.decoder_threads)
    detector = as_deployment(DetectorDeployment).bind(detector_pack(served, settings).name, args.detector_threads)
    generators = {
        pack: as_deployment(GeneratorDeployment).options(name=name).bind(pack, args.generator_threads)
        for pack, name in served.generators.items()
    }
    finisher = as_deployment(FinisherDeployment).bind(matting.name)
    understand = as_deployment(UnderstandDeployment).bind(geometry.name, args.understand_threads)
    references = as_deployment(ReferenceEncoderDeployment).bind(args.reference_threads)
    canny = as_deployment(CannyDeployment).bind()
    sees_scenes = geometry.manifest.sees_scenes
    engines = tuple(generators)
    trainer = as_deployment(TrainerDeployment).bind(engines, args.trainer_threads) if args.trainer else None
    director = as_deployment(DirectorDeployment).bind(
        finisher, understand, canny, generators, references, sees_scenes, trainer
    )
    photo_decoder = as_deployment(PhotoDecoderDeployment).bind() if args.photo_decoder else None
    stages = (encoder, decoder, detector, finisher, director, photo_decoder)
    producer = as_deployment(ProducerDeployment).bind(served, *stages) if args.producer else None
    return as_deployment(GatewayDeployment).bind(served, *stages, producer, args.trainer)
