"""A POST to a service that is told something: one exchange, or in words why there was none."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Callable, Mapping
from urllib.error import URLError

from dbtorch.adapters.exchange import Answer, Budget, exchange
from dbtorch.ports.notifier import NotDelivered

#: Bytes that an answer may have.
_MOST = 4 * 1024 * 1024


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout: float,
    who: str,
    named_by: str,
    whole: bool = True,
) -> Answer:
    """Send it; whatever comes back, a redirect too, is the answer.

    ``who`` is who is talked to, and ``named_by`` the setting that says where; the URL itself may be
    a secret. Without ``whole`` only status and headers are waited for. Raises `NotDelivered`.
    """

    def made() -> urllib.request.Request:  # whoever opens a notifier looks at its URL
        return urllib.request.Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310

    return send(made, timeout=timeout, who=who, named_by=named_by, whole=whole)


def send(
    made: Callable[[], urllib.request.Request],
    *,
    timeout: float,
    who: str,
    named_by: str,
    whole: bool = True,
) -> Answer:
    """Make a request and send it, as `post` does. Raises `NotDelivered`."""
    try:
        with Budget(timeout) as budget:
            return exchange(made(), budget, most=_MOST, whole=whole)
    except (ValueError, http.client.InvalidURL):
        # Python's own text would quote the URL or the header.
        text = f"{named_by} holds a character that HTTP forbids"
        raise NotDelivered(text, hopeless=True) from None
    except TimeoutError:
        raise NotDelivered(f"{who} did not answer in time", unsure=True) from None
    except URLError as error:
        raise NotDelivered(f"{who} is not reached: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        text = f"the connection to {who} broke: {error or type(error).__name__}"
        raise NotDelivered(text, unsure=True) from error
