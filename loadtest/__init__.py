"""Load tests of a running Packshot server: open-loop traffic, faults and a verdict. `packshot loadtest SCENARIO`.

    scenarios/*.yaml -> scenario ──> traffic (the schedule) ──> locustfile ──> personas ──HTTP──> the server
                                                                     │ records
            own_cluster, faults, metrics ──────────────────> runner ─┴─> recorder ──> verdict ──> report

Locust monkey-patches the process that imports it, so it runs in a child process. Only that child imports locustfile,
person, personas, hostile and http_client. The other modules import the standard library, third-party tools and this
package.
"""
