"""dbtorch inside other orchestrators: each of their worlds in a module of its own.

They call the public API (`dbtorch.Project`) and nothing behind the service layer. None of them is
imported by dbtorch itself; each needs the extra of its name.
"""
