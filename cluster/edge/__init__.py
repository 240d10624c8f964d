"""The edge: nginx with one configuration (nginx.conf), in Kubernetes and before `packshot serve` beyond loopback."""
