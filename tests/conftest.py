"""For every test: small networks on a busy machine, so OpenMP's threads neither multiply nor spin while they wait."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # replicas set their own number
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
