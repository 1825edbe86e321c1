"""The front door: one file per command, each with ``add_parser(subparsers)``.

A command parses, calls, prints and returns an exit code; what it calls lives elsewhere. Importing this package
costs no more than argparse: a command imports what it needs when it runs.
"""
