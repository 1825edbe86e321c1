"""The HTTP process: what comes from outside by HTTP, and what will be shown there. A child of the daemon."""
