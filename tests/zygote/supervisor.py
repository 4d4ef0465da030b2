"""A dbtorch with a zygote beside it: ``python supervisor.py SOCKET PYTHON words``, as ``python -m dbtorch``."""

import os
import runpy
import sys


def main() -> None:
    import client

    socket, python = int(sys.argv.pop(1)), sys.argv.pop(1)
    os.set_inheritable(socket, False)
    zygote = client.Zygote(socket, os.environ, python)
    client.install(lambda *_: zygote)
    sys.path[0] = os.getcwd()
    del sys.modules["client"]
    runpy.run_module("dbtorch", run_name="__main__", alter_sys=True)


main()
