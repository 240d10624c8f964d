"""What a pack's stages need of memory and arithmetic."""
