"""A job in, rows out. Every stage can be repeated without harm: equal input gives equal rows.

Two jobs exist. ``ingest`` (keyed by place) finds out which content lies at a path; ``index`` (keyed by
asset) runs the stages of :mod:`lakewatchd.stages.plan` that the asset lacks, then publishes it.
"""
