"""What the deployments share: calls between them, GPU caps, metrics, the store check."""
