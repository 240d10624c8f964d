"""Where the application runs: profiles, GPU shares, the rendered Serve config, and a cluster on this machine."""
