"""A dbtorch, or a script that starts some, with a zygote beside it: ``python supervisor.py SOCKET PYTHON words``.

It is as ``python words``, which are ``-m dbtorch …`` or a script.
"""

import os
import runpy
import sys


def main() -> None:
    import client

    socket, python = int(sys.argv.pop(1)), sys.argv.pop(1)
    os.set_inheritable(socket, False)
    zygote = client.Zygote(socket, os.environ, python)
    client.install(lambda *_: zygote)
    del sys.modules["client"]
    del sys.argv[0]
    if sys.argv[0] == "-m":
        sys.path[0] = os.getcwd()
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
        runpy.run_path(sys.argv[0], run_name="__main__")


main()
