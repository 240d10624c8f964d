"""The models, without serving: packs, the segmenter and the engine. Importing this package does not load torch."""
