"""A run that has somebody else do what it does, and costs next to nothing: see `runner`.

It imports only what is built into Python: `json` and `socket` would cost as much again as the rest.
"""

import sys
from _socket import AF_UNIX, socket
from posix import _exit, environ, write


def main():
    there = socket(AF_UNIX)
    there.connect(environ[b"RUNNER"])
    words = "\0".join([environ[b"DBTORCH_TICK"].decode(), *sys.argv[1:]])
    there.sendall(words.encode() + b"\n")
    said = b""
    while piece := there.recv(1 << 16):
        said += piece
        *whole, said = said.split(b"\n")
        for line in whole:
            if line.startswith(b"exit "):
                _exit(int(line.split()[1]))
            write(1, line + b"\n")
    _exit(1)


if __name__ == "__main__":
    main()
