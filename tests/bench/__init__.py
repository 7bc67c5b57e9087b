"""``make bench``: pairs of variants timed in one session, and what the harness costs."""
