"""Load tests of a running Packshot: open-loop traffic, faults, verdicts. `packshot loadtest SCENARIO`.

    scenarios/*.yaml -> scenario ──> traffic (the schedule) ──> locustfile ──> personas ──HTTP──> the server
                                                                     │ records
            local (a cluster of our own), faults, metrics ──> runner ┴─> recorder ──> verdict ──> report

Locust monkey-patches what it is imported into, so it runs as a child process: locustfile, person, personas, hostile
and wire are that child's, and no other module imports them. The rest imports the standard library,
its tools and this room.
"""
