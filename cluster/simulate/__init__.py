"""The capacity simulator: a discrete-event simulation (simpy) of traffic, stages and an autoscaling policy.

    python -m cluster.simulate               # every trace under every policy: table, plots, figures of the docs
    python -m cluster.simulate --calibrate   # compare the model's predictions with this machine

traces.py: arrivals · stages.py: stage times · pipeline.py: the simulated stages · policies.py: Serve's own autoscaler,
ours, a fixed number · report.py: tables and plots.
"""
