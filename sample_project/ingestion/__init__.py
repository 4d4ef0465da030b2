"""Ingestion: lands the files of ``landing/`` in the schema ``raw``, each file exactly once."""
