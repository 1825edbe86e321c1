"""The running daemon: the only place that builds objects and connects rooms.

``parts``    all that runs, as one value
``service``  builds everything, runs it, stops it
``wiring``   the small adapters between rooms that do not know each other
``report``   what ``lakewatchd status`` shows, live or from files
``orders``   what the control socket can ask for
"""
