"""Where it runs: profiles, GPU shares, the Serve config they render to, and the cluster on this machine."""
