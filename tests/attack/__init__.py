"""`make attack`: what a stranger, a tenant and a bad network try at the doors, on loopback and bounded in time.

Each row of the table is a function here that returns a `Row`. tests/unit/attack runs the same functions, smaller.
"""
