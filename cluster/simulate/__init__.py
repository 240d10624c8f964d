"""Capacity on paper: traffic, the pipeline's stages and an autoscaling policy as a discrete-event simulation (simpy).

    python -m cluster.simulate               # every trace under every policy: table, plots, docs' figures
    python -m cluster.simulate --calibrate   # what the model predicts against what this machine does

traces.py: what arrives · stages.py: how long things take · pipeline.py: the stages at work · policies.py: Serve's own
autoscaler, ours, a fixed number · report.py: tables and plots.
"""
