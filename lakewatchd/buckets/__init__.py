"""Buckets: what a key is called here (``keys``), who may ask (``access``), requests and what goes wrong with them
(``connection``), what is asked of a bucket (``client``), how answers are read (``info``, ``listing``, ``markup``);
what of its bytes is kept (``cache``, ``pieces``, ``ledger``), how they are read (``reader``, ``content``, ``line``)."""
