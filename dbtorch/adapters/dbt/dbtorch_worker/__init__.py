"""The worker: one dbt invocation kept open, executing single nodes when told.

This package runs in the project's own interpreter, where dbtorch may not be installed: it imports
the standard library and dbt, nothing else, and is found by its path (see `session.py` beside it for
the other end of the socket).
"""
