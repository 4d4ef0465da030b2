"""Ingestion: what other systems deliver lands in the schema ``raw``, nothing of it twice.

Three patterns, each in a module to copy: `partition_overwrite`, `merge` and `swap`. What they share
is in `feeds` (files), `ledger` (what has landed) and `warehouse` (one connection).
"""
