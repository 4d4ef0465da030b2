"""Draws what a pull request and a job show of `dbtorch ci`: ``docs/pull-request-*.png``.

python .ci/pull_request_pictures.py mermaid.min.js

The texts are those of `tests/golden/ci`, which tests make of real runs. A browser shows them as
GitHub does; its pictures of graphs are Mermaid's (`npm pack mermaid` has the file). Each picture
says of which text it was made, and a test holds it to that.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
import zlib
from pathlib import Path
from struct import pack, unpack

ROOT = Path(__file__).parents[1]
TEXTS = ROOT / "tests" / "golden" / "ci"

#: Picture -> the text that it shows.
PICTURES = {
    "pull-request-comment.png": "a_mart.md",
    "pull-request-summary.png": "a_broken_test.md",
}

_KEY = b"Source"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WIDTH = 880

#: What stands for what is another one each time.
_EXAMPLES = {
    "some time ago": "3h ago",
    "COMMIT": "4be1a07c93d2",
    "RUN": "20261130T120000Z-a1b2c3",
    "SECONDS": "8.4s",
    "pr_N": "pr_12",
    "✅": '<span style="color:#1a7f37">✔</span>',  # few machines have a font of such pictures
    "❌": '<span style="color:#d1242f">✘</span>',
}

_PAGE = """\
<!doctype html><meta charset="utf-8"><style>
body{{font:14px/1.5 -apple-system,"Segoe UI","Noto Sans",Helvetica,Arial,sans-serif;color:#1f2328;
margin:0;padding:16px;background:#fff}}
#all{{border:1px solid #d1d9e0;border-radius:6px;padding:16px}}
table{{border-collapse:collapse;margin:0 0 16px}}
th,td{{border:1px solid #d1d9e0;padding:6px 13px;text-align:left}}
tr:nth-child(2n){{background:#f6f8fa}}p,details{{margin:0 0 12px}}summary{{cursor:pointer}}
code{{background:#eff1f3;border-radius:6px;padding:.2em .4em;
font:85% ui-monospace,Menlo,Consolas,monospace}}
pre.mermaid{{background:none;text-align:center}}
</style><div id="all">{body}</div><script src="{mermaid}"></script>
<script>mermaid.initialize({{startOnLoad: false}});
mermaid.run().then(() => document.body.dataset.done = "yes");</script>
"""


def digest(text: str) -> str:
    """What a picture says of the text that it shows."""
    return hashlib.sha256(text.encode()).hexdigest()


def source(picture: bytes) -> str:
    """The digest that a picture has; empty for one of another script."""
    at = len(_SIGNATURE)
    while at < len(picture):
        (length,) = unpack(">I", picture[at : at + 4])
        kind, said = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        if kind == b"tEXt" and said.startswith(_KEY + b"\0"):
            return said[len(_KEY) + 1 :].decode()
        at += length + 12
    return ""


def page(text: str, mermaid: str) -> str:
    """A page with the text as GitHub shows it."""
    import markdown

    for name, example in _EXAMPLES.items():
        text = text.replace(name, example)
    text = text.replace("<details>", '<details markdown="1">')
    text = re.sub(
        r"```mermaid\n(.*?)```", r'<pre class="mermaid">\n\1</pre>', text, flags=re.DOTALL
    )
    body = markdown.markdown(text, extensions=["tables", "md_in_html"])
    return _PAGE.format(body=body, mermaid=mermaid)


def _said(picture: bytes, text: str) -> bytes:
    """The picture, with the digest of its text behind its head."""
    content = b"tEXt" + _KEY + b"\0" + digest(text).encode()
    chunk = pack(">I", len(content) - 4) + content + pack(">I", zlib.crc32(content))
    after = len(_SIGNATURE) + 25  # its head has one size
    return picture[:after] + chunk + picture[after:]


def main(mermaid: str) -> None:
    """Draw them all."""
    sys.path.insert(0, str(ROOT))
    from tests.browser import Browser

    with tempfile.TemporaryDirectory(prefix="dbtorch-pictures-") as folder:
        browser = Browser(Path(folder, "profile"))
        try:
            for name, file in PICTURES.items():
                text = (TEXTS / file).read_text(encoding="utf-8")
                shown = Path(folder, "page.html")
                shown.write_text(page(text, Path(mermaid).resolve().as_uri()), encoding="utf-8")
                browser.size(_WIDTH, 600)
                browser.open(shown.as_uri())
                browser.wait("document.body.dataset.done")
                browser.size(_WIDTH, int(browser.js("all.getBoundingClientRect().bottom")) + 16)
                drawn = Path(folder, name)
                browser.picture(drawn)
                (ROOT / "docs" / name).write_bytes(_said(drawn.read_bytes(), text))
        finally:
            browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
