"""A run that has somebody else do what it does, and costs next to nothing: see `runner`."""

import json
import os
import socket
import sys


def main():
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(os.environ["RUNNER"])
        asked = {"words": sys.argv[1:], "token": os.environ["DBTORCH_TICK"]}
        there.sendall(json.dumps(asked).encode() + b"\n")
        code = "1"
        for line in there.makefile():
            if line.startswith("exit "):
                code = line.split()[1]
            else:
                print(line, end="", flush=True)
    sys.exit(int(code))


if __name__ == "__main__":
    main()
