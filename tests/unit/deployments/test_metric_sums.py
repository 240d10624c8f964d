"""`/metrics` sums Packshot's few metrics out of Ray's large export."""

from deployments.ray_support.metrics import summed

RAYS_OWN = '# HELP ray_tasks Tasks.\n# TYPE ray_tasks gauge\nray_tasks{Name="packshot_thing",State="RUNNING"} 4.0\n'


def replica(pid: str, steps: float, done: float) -> str:
    return (
        "# HELP ray_packshot_denoise_steps_total Rows.\n# TYPE ray_packshot_denoise_steps_total counter\n"
        f'ray_packshot_denoise_steps_total{{WorkerId="{pid}"}} {steps}\n{RAYS_OWN}'
        "# HELP ray_packshot_shots_total Shots.\n# TYPE ray_packshot_shots_total counter\n"
        f'ray_packshot_shots_total{{WorkerId="{pid}",status="done"}} {done}\n'
    )


def test_counters_are_summed_over_replicas_and_keep_the_contracts_labels() -> None:
    told = summed([replica("a", 20.0, 2.0), replica("b", 30.0, 3.0)], {"packshot_shots_queued": 7})
    lines = [line for line in told.splitlines() if not line.startswith("#")]
    assert "packshot_denoise_steps_total 50.0" in lines
    assert 'packshot_shots_total{status="done"} 5.0' in lines
    assert "packshot_shots_queued 7.0" in lines
    assert not any("ray_" in line or "thing" in line for line in lines)


def test_what_is_not_ours_is_not_even_parsed() -> None:
    assert "packshot_denoise_steps_total 20.0" in summed(['ray_other{not="text', replica("a", 20.0, 2.0)])
    assert "packshot_denoise_steps_total 20.0" in summed([replica("a", 20.0, 2.0) + 'ray_other{not="text\n'])
