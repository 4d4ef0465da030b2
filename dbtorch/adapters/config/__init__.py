"""Configuration: ``dbtorch.yml`` and ``meta.dbtorch``, every mistake with its file and line."""
