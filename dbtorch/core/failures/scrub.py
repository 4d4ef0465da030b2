"""Takes secrets out of texts: the one place that knows which forms of a value are hidden.

Standard library only, and Python 3.9: the worker that executes dbt nodes loads this file, too, by
its path. What is scrubbed is the text as it was said: before anything is cut, joined or escaped.
"""

from __future__ import annotations

import binascii
import codecs
import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

HIDDEN = "*****"

#: Variables of this name are secret, of the environment and of ``--vars``: dbt's rule.
SECRET_PREFIX = "DBT_ENV_SECRET"  # noqa: S105  # a name

#: Fewer characters are no secret: a value such as "dev" or "1" would be stars in every text.
SHORTEST = 4

#: Fewer characters of a part (a line, a beginning, some base64) say nothing of the whole.
_PART = 8

#: What settings, headers and query parameters are called whose values are secret.
_SECRET_NAME = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|authorization|cookie|signature|webhook|dsn"
    r"|(?:api|access|private|auth|account|sas|encryption|client|signing|ssh|master|deploy|shared"
    r"|storage|session|service|hmac|gpg|rsa)[-_]?key(?!file|path)"
    # as words only: a path, a bypass and the rate of passes are none
    r"|(?<![a-z0-9])(?:(?:db|pg|user)?pass\d*(?![a-z0-9])(?![-_](?:rate|ratio|count|through|thresh))"
    r"|pat(?![a-z0-9]))",
    re.IGNORECASE,
)

#: Where a word of a name begins without a sign before it.
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

#: What such a name may end with where the value is none.
_ABOUT_A_SECRET = re.compile(
    r"[-_](?:path|file|name|type|env|ttl|expiry|expires|lifetime|uri|id)$", re.IGNORECASE
)

#: Characters that a terminal obeys or that turn text around; Unicode has them in more than one row.
ODD = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"

#: Whole orders first (colours; titles and links, which hold text that is not for reading). An order
#: that does not end loses its beginning, and no more.
_WHOLE_ORDER = (
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90-\x9f\n]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-Z\\\\^-~]?"
)
ORDER = re.compile(f"{_WHOLE_ORDER}|[{ODD}]")

#: Those, and what takes no place: a secret with any of it inside is read as if it were not there.
_UNSEEN = (
    f"{ODD}\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_SUSPECT = re.compile(f"[{_UNSEEN}]")

#: One of those; as many at once as begin no order, for what a program prints that is no text.
_NOTHING = f"(?:(?![\x1b\x90\x98\x9b\x9d-\x9f])[{_UNSEEN}])+|[{_UNSEEN}]"

#: Ways to read a text that has some: orders obeyed, only their signs left out, a step back obeyed.
_READINGS = (
    re.compile(f"{_WHOLE_ORDER}|{_NOTHING}"),
    re.compile(f"[{_UNSEEN}]+"),
    re.compile(f"[^\n\x08]\x08|{_WHOLE_ORDER}|{_NOTHING}"),
)

#: What may become an order when more comes.
_UNFINISHED = re.compile(
    "(?:(?:\x1b\\[|\x9b)[0-?]*[ -/]*"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90-\x9f\n]*\x1b?"
    "|\x1b[ -/]*)\\Z"
)

#: Characters of an order or of a URL's login that are waited for, and of anything.
_LONGEST_WORD = 4096
_MOST_HELD = 1 << 16

_LOGIN = re.compile(rf"://([^/\s\"'<>]{{0,{_LONGEST_WORD}}})@")
_LOGIN_BEGUN = re.compile(rf":(?:/(?:/[^/\s\"'<>]{{0,{_LONGEST_WORD}}})?)?\Z")

# With a text without which none matches; what is hidden is the group. Each is linear: nothing that
# may repeat is looked at again from its own middle.
_PATTERNS = (
    ("://", _LOGIN),
    ("xox", re.compile(r"\b(xox[a-z]-[A-Za-z0-9-]+)")),  # Slack
    ("hooks.", re.compile(r"https://hooks\.slack\.com/(\S+)")),
    (
        ":",
        re.compile(r"\bauthorization['\"]?: *['\"]?\w+ +([^\s'\"]+)", re.IGNORECASE),
    ),
    (
        "=",
        re.compile(
            r"\b(?:password|passwd|pwd|api_?key|access_?token|secret)\s*=\s*"
            r"('[^']*'|\"[^\"]*\"|[^\s,;&'\"]+)",
            re.IGNORECASE,
        ),
    ),
)

#: A URL within a text.
_URL = re.compile(r"(?<![\w+.-])[\w+.-]+://[^\s\"'<>]+")


class Scrubber:
    """Hides the values of secrets, and whatever looks like a login or a token."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.secrets = frozenset(one for one in secrets if is_secret(one))
        found = {form for secret in self.secrets for form in forms(secret)}
        self._forms = tuple(sorted(found, key=lambda form: (-len(form), form)))

    def __bool__(self) -> bool:
        """Whether there is a value to hide."""
        return bool(self._forms)

    def knowing(self, secrets: Iterable[str]) -> Scrubber:
        """One that hides these values as well."""
        more = self.secrets.union(one for one in secrets if is_secret(one))
        return self if more == self.secrets else Scrubber(more)

    def __call__(self, text: str) -> str:
        """The text as it may be written, sent and shown."""
        return _starred(
            text,
            _everywhere(
                text, lambda view: [*_spans_and_cut(view, self._forms), *_looks_secret(view)]
            ),
        )

    def values(self, text: str) -> str:
        """The text without the values, whatever else may look like one."""
        if not self._forms:
            return text
        return _starred(text, _everywhere(text, lambda view: _spans_and_cut(view, self._forms)))

    def json(self, value: Any) -> Any:
        """JSON, with secrets hidden in every text, keys included, and numbers that are one."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {self.json(key): self.json(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.json(one) for one in value]
        if isinstance(value, (int, float)) and str(value) in self.secrets:
            return HIDDEN
        return value

    def stream(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same bytes without values and URL logins; held back is only what may begin one."""
        return _streamed(chunks, self._forms)


def is_secret(value: str) -> bool:
    """Whether a value is long enough to be hidden wherever it comes."""
    return len(value.strip()) >= SHORTEST


def is_secret_name(name: str) -> bool:
    """Whether what is called so (a header, a parameter, a setting) is a secret."""
    name = _CAMEL.sub("_", name)
    return _SECRET_NAME.search(name) is not None and _ABOUT_A_SECRET.search(name) is None


def secrets_of(variables: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of variables under dbt's secret prefix, and the password Postgres is given."""
    return tuple(
        text
        for name, value in variables.items()
        if name.startswith(SECRET_PREFIX) or name == "PGPASSWORD"
        for text in _texts(value)
        if is_secret(text)
    )


def named_secrets(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of settings that are secret by their names, at any depth."""
    found: list[str] = []
    for name, value in said.items():
        inside = value if isinstance(value, (list, tuple)) else [value]
        settings = [one for one in inside if isinstance(one, Mapping)]
        if is_secret_name(str(name)):
            found += _texts([one for one in inside if one not in settings])
        for one in settings:
            found += named_secrets(one)
    return tuple(found)


def passwords_of(url: str) -> tuple[str, ...]:
    """What must not be shown of a URL: its password, and parameters that are secret by name.

    People write passwords as they are, with any character in them.
    """
    _, _, rest = url.rpartition("://")
    login, _at, place = rest.rpartition("@")
    if re.match(r"[^:/]*(?::\d+)?[/?]", login):  # a server was before it: the sign is of a path
        login, place = "", rest
    found = [login.partition(":")[2]] if ":" in login else []
    for one in re.split(r"[&;]", place.partition("?")[2].partition("#")[0]):
        name, _, value = one.partition("=")
        if is_secret_name(name) or name.lower() in ("key", "sig", "code"):
            found.append(value)
    return tuple(one for text in found for one in dict.fromkeys((text, _decoded(text))) if one)


def url_secrets(said: Any) -> tuple[str, ...]:
    """What must not be shown of the URLs in settings or in words of a command."""
    found: list[str] = []
    for text in filter(_has_url, _texts(said)):
        urls = _URL.findall(text)
        found += [one for url in urls for one in passwords_of(url)]
        if len(text.split()) == 1 and text.count("://") == 1:
            found += passwords_of(text)  # with any character in the password
    return tuple(one for one in found if not one.startswith("$"))  # a shell's variable


def url_templates(said: Any) -> list[str]:
    """The texts of settings that hold a URL, perhaps one yet to be filled in."""
    return list(filter(_has_url, _texts(said)))


def _has_url(text: str) -> bool:
    return "://" in text


@lru_cache(maxsize=512)
def forms(secret: str) -> frozenset[str]:
    """Everything that a value may be written as."""
    found: set[str] = set()
    for value in {secret, secret.strip(), " ".join(secret.split()), _SUSPECT.sub("", secret)}:
        found |= _written(value) | _in_base64(value) | _by_lines(value)
    for part in _parts(secret):
        found |= _written(part) | _in_base64(part) | _by_lines(part)
    return frozenset(form for form in found if len(form) >= SHORTEST)


def _texts(value: Any) -> list[str]:
    """Every text of a value that YAML or JSON has made."""
    if isinstance(value, Mapping):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, (list, tuple)):
        return [text for one in value for text in _texts(one)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


def _parts(secret: str) -> list[str]:
    """Secrets that a secret holds: the private key of a service account, the password of a URL."""
    found = []
    if "://" in secret:
        path = secret.partition("://")[2].partition("/")[2]
        found = [*passwords_of(secret), *(["/" + path] if len(path) >= 2 * _PART else [])]
    if secret.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            found += named_secrets(json.loads(secret))
    return [part for part in found if len(part) >= _PART]


def _written(value: str) -> set[str]:
    """As it is, and as JSON, Python, SQL, shells, URLs and HTML write it."""
    in_json = [json.dumps(value, ensure_ascii=ascii)[1:-1] for ascii in (True, False)]
    twice = [json.dumps(text)[1:-1] for text in in_json]
    # Python chooses the quotes by the whole text, of which this is a part
    raw = _raw(value)
    quoted = [repr(value + "'\"")[1:-4], repr(raw + b"'\"")[2:-4], ascii(value + "'\"")[1:-4]]
    found = {value, *in_json, *twice, *quoted, *(text.replace("\\'", "'") for text in quoted)}
    found |= {value.translate(_HTML), value.translate(_HTML | _HTML_QUOTES)}
    found |= {value.replace(sign, in_place) for sign, in_place in _DOUBLED}
    if len(raw) >= _PART:
        found |= {raw.hex(), raw.hex().upper()}
    for safe in ("", "/", "/:@!$&'()*+,;="):
        for url in (_percent(raw, safe), _percent(raw, f"{safe} ").replace(" ", "+")):
            found |= {url, re.sub("%..", lambda one: one[0].lower(), url)}
    return found


#: Quotes as a literal of SQL or a column of CSV has them, and as shells do (``set -x``, Python).
_DOUBLED = (("'", "''"), ('"', '""'), ("'", "'\\''"), ("'", "'\"'\"'"))

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_HTML_QUOTES = str.maketrans({'"': "&quot;", "'": "&#x27;"})

_UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def _raw(text: str) -> bytes:
    """A text as the bytes that the environment had for it."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair, which JSON may have and nobody prints
        return text.encode("utf-8", "replace")


def _percent(raw: bytes, safe: str) -> str:
    kept = (_UNRESERVED + safe).encode()
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in raw)


def _decoded(text: str) -> str:
    """A part of a URL as what it stands for."""
    if "%" not in text:
        return text
    first, *parts = text.encode("utf-8", "replace").split(b"%")
    raw = first
    for part in parts:
        try:
            raw += binascii.unhexlify(part[:2]) + part[2:]
        except ValueError:
            raw += b"%" + part
    return raw.decode("utf-8", "replace")


def _in_base64(value: str) -> set[str]:
    """Base64 of it, in lines as well, and of any text that it is a part of."""
    raw, found = _raw(value), set()
    for before in range(3):
        text = binascii.b2a_base64(b"\0" * before + raw, newline=False).decode()
        # the characters that are of this value alone
        inside = text[(8 * before + 5) // 6 : 8 * (before + len(raw)) // 6]
        found |= {inside} if len(inside) >= _PART else set()
    whole = binascii.b2a_base64(raw, newline=False).decode()
    found |= {whole, whole.rstrip("=")} if len(whole) >= _PART else set()
    for width in (64, 76):
        lines = [whole[at : at + width] for at in range(0, len(whole), width)]
        if len(lines) > 1:
            found |= _broken(lines)
    return found | {text.replace("+", "-").replace("/", "_") for text in found}


def _by_lines(value: str) -> set[str]:
    """A value of several lines, with its breaks as anything else, and its lines alone."""
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) < 2:
        return set()
    found = _broken(value.splitlines()) | _broken(lines) | _broken(list(filter(None, lines)))
    return found | {form for line in lines if _is_long(line) for form in _written(line)}


def _broken(lines: list[str]) -> set[str]:
    joined = {between.join(lines) for between in ("\n", "\r\n", " ", "", "\\n", "\\r\\n", "\\\\n")}
    return joined | {line for line in lines if _is_long(line)}


def _is_long(line: str) -> bool:
    """Whether a line tells of a secret by itself; the frame of a key does not."""
    return len(line) >= _PART and not (line.startswith("-----") and line.endswith("-----"))


def _spans(text: str, forms: Iterable[str]) -> list[tuple[int, int]]:
    """Where forms are in a text; those that overlap are one."""
    found = []
    for form in forms:
        at = text.find(form)
        while at >= 0:
            found.append((at, at + len(form)))
            at = text.find(form, at + len(form))
    return _merged(found)


def _spans_and_cut(text: str, forms: Sequence[str]) -> list[tuple[int, int]]:
    spans, cut = _spans(text, forms), _cut_off(text, forms)
    return spans if cut is None else [*spans, (cut, len(text))]


def _looks_secret(text: str) -> list[tuple[int, int]]:
    """Where something looks like a login or a token."""
    return [
        found.span(1)
        for sign, pattern in _PATTERNS
        if sign in text
        for found in pattern.finditer(text)
    ]


def _readings(text: str) -> Iterator[tuple[str, Sequence[int]]]:
    """The text, and what is read of it where it holds what is not seen; with all places."""
    yield text, range(len(text) + 1)
    if _SUSPECT.search(text) is None:
        return
    seen = set()
    for unseen in _READINGS:
        kept: list[str] = []
        places: list[int] = []
        done = 0
        for found in [*unseen.finditer(text), None]:
            start, end = found.span() if found else (len(text), len(text))
            if start > done:
                kept.append(text[done:start])
                places.extend(range(done, start))
            done = end
        view = "".join(kept)
        if view not in seen:
            seen.add(view)
            yield view, [*places, len(text)]


def _everywhere(
    text: str, find: Callable[[str], Iterable[tuple[int, int]]]
) -> list[tuple[int, int]]:
    """What is found in any reading of a text, as places in the text itself."""
    return [
        (places[start], places[end - 1] + 1 if end > start else places[start])
        for view, places in _readings(text)
        for start, end in find(view)
    ]


def _starred(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with stars in these places."""
    parts, done = [], 0
    for start, end in _merged(list(spans)):
        parts += [text[done:start], HIDDEN]
        done = end
    return "".join([*parts, text[done:]])


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(set(spans)):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _cut_off(text: str, forms: Iterable[str]) -> int | None:
    """Where a text ends with the beginning of a form, because somebody else has cut it there."""
    first: int | None = None
    for form in forms:
        if len(form) <= _PART:
            continue
        beginning = form[:_PART]
        at = text.find(beginning, max(0, len(text) - len(form) + 1))
        while at >= 0 and not form.startswith(text[at:]):
            at = text.find(beginning, at + 1)
        if at >= 0 and (first is None or at < first):
            first = at
    return first


def _logins(text: str) -> list[tuple[int, int]]:
    return [found.span(1) for found in _LOGIN.finditer(text)] if "://" in text else []


def _streamed(chunks: Iterable[bytes], forms: tuple[str, ...]) -> Iterator[bytes]:
    # bytes that are no text stay what they are
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    ordered, longest = sorted(forms), max(map(len, forms), default=0)
    firsts = {form[:1] for form in forms}
    held = ""
    for chunk in chunks:
        text = held + decoder.decode(chunk)
        spans = _merged(_everywhere(text, lambda view: [*_spans(view, forms), *_logins(view)]))
        sure = max(_sure_of_all(text, ordered, longest, firsts), len(text) - longest - _MOST_HELD)
        # what goes on where it is not sure may be part of something longer
        sure = min([sure, *(start for start, end in spans if start < sure < end)])
        held = text[sure:]
        if said := _starred(text[:sure], [span for span in spans if span[1] <= sure]):
            yield said.encode("utf-8", "surrogateescape")
    held += decoder.decode(b"", final=True)
    if held:
        spans = _everywhere(held, lambda view: [*_spans_and_cut(view, forms), *_logins(view)])
        yield _starred(held, spans).encode("utf-8", "surrogateescape")


def _sure_of_all(text: str, ordered: list[str], longest: int, firsts: set[str]) -> int:
    """Up to where nothing of a text may go on behind its end, however it is read."""
    order = _UNFINISHED.search(text, max(0, len(text) - _LONGEST_WORD))
    if order is not None:
        text = text[: order.start()]
    sure = len(text)
    for view, places in _readings(text):
        login = _LOGIN_BEGUN.search(view, max(0, len(view) - _LONGEST_WORD))
        begun = login.start() if login else len(view)
        sure = min(sure, places[min(begun, _sure(view, ordered, longest, firsts))])
    return sure


def _sure(text: str, ordered: list[str], longest: int, firsts: set[str]) -> int:
    """Where the first beginning of a form is that may go on behind the end."""
    from bisect import bisect_right

    for at in range(max(0, len(text) - longest + 1), len(text)):
        if text[at] not in firsts:
            continue
        end = text[at:]
        place = bisect_right(ordered, end)  # forms that begin with it, and are longer, follow
        if place < len(ordered) and ordered[place].startswith(end):
            return at
    return len(text)
