"""Pixels and text -> vectors and objects, in child processes.

``resolve`` says which models there are and what is missing, without loading one; ``client`` is what the rest
of lakewatchd talks to; ``worker`` is the child's end with one adapter per model (``clip``, ``text``, ``yolox``);
``fetch`` gets the embedded weights. Nothing here reads the user's files or knows a table.
"""
