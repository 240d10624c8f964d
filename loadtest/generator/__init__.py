"""The Locust child: it monkey-patches, so nothing outside this folder imports it."""
