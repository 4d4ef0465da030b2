"""A real S3 server on the loopback, as a process of its own; each test has a bucket of its own.

It is moto's: it speaks S3 over HTTP and forgets everything when it ends.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.request import Request, urlopen

import pytest

#: Whoever has these may do anything there.
ACCESS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTS",
    "AWS_SECRET_ACCESS_KEY": "nobody-is-to-see-this-key",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True)
class S3:
    """A server that answers at ``endpoint``."""

    endpoint: str
    process: "subprocess.Popen[str]" = field(repr=False)

    def bucket(self) -> str:
        """URL of a new bucket, of which a path in it is a part."""
        name = f"runs-{uuid.uuid4().hex[:12]}"
        with urlopen(Request(f"{self.endpoint}/{name}", method="PUT")) as answer:
            assert answer.status == 200
        return f"s3://{name}/dbtorch"

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to get in."""
        return {**ACCESS, "AWS_ENDPOINT_URL": self.endpoint}

    def kill(self) -> None:
        """It is gone, and so is what it kept."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serving() -> Iterator[S3]:
    """A server while the block lasts."""
    pytest.importorskip("moto", reason="needs moto[s3] and flask: pip install -e '.[dev]'")
    pytest.importorskip("s3fs")
    process = subprocess.Popen(
        [sys.executable, __file__],
        env={**os.environ, **ACCESS, "PYTHONWARNINGS": "ignore"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield S3(endpoint=process.stdout.readline().strip(), process=process)
    finally:
        process.stdin.close()  # which ends it
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """One server for all tests of a process."""
    with serving() as server:
        yield server


@pytest.fixture
def s3_url(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty place that this process may use."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # those know who answered another test
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    return s3_server.bucket()


def main() -> None:
    """Serve until nobody listens any more."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
