"""The models, without any serving: packs, the segmenter, the denoising recipe. Importing this loads no torch."""
