"""What has happened since a pipeline was last started by it: a pure function of what is seen.

A condition is seen as a text of words. A word that was not there before is news; that one is gone
is none. So a file that appears is news and one that was moved away is not, and a query whose answer
changes is. What there is when a condition is looked at for the first time is no news.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dbtorch.core.schedule.cause import Cause, CauseKind
from dbtorch.core.schedule.condition import Condition, TriggerSpec

#: News that keep coming start a run after so many times `debounce` nevertheless.
_AT_MOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a look has found. One that could not tell is no `Observation`."""

    words: str  # what is there; empty: the condition does not hold
    pending: str = ""  # words that may count later, and are no news when they come back
    text: str = ""  # for people: "run 20261101T0600 of staging ended: success"
    at: datetime | None = None  # when it happened, where that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a condition has that no run was started by."""

    since: datetime
    at: datetime  # of the last of it
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerState:
    """What is known of the conditions of a pipeline, by their keys."""

    seen: Mapping[str, str] = field(default_factory=dict)
    news: Mapping[str, News] = field(default_factory=dict)

    def to_text(self) -> str:
        """As the history has it."""
        news = {
            key: [one.since.isoformat(), one.at.isoformat(), one.text]
            for key, one in self.news.items()
        }
        return json.dumps({"seen": dict(self.seen), "news": news}, sort_keys=True)

    @classmethod
    def of_text(cls, text: str) -> TriggerState:
        """What `to_text` has written; of a text that is no such, nothing."""
        try:
            said = json.loads(text or "{}")
            news = {
                key: News(
                    since=datetime.fromisoformat(since), at=datetime.fromisoformat(at), text=told
                )
                for key, (since, at, told) in said.get("news", {}).items()
            }
            return cls(seen={k: str(v) for k, v in said.get("seen", {}).items()}, news=news)
        except (ValueError, TypeError, AttributeError):
            return cls()


def noted(
    spec: TriggerSpec, state: TriggerState, found: Mapping[str, Observation], now: datetime
) -> TriggerState:
    """The state after some conditions were looked at; of others nothing changes."""
    known = {one.key for one in spec.looked_at}
    seen = {key: words for key, words in state.seen.items() if key in known}
    news = {key: one for key, one in state.news.items() if key in known}
    for key in known & found.keys():
        one = found[key]
        before = seen.get(key)
        if before is not None and set(one.words.split()) - set(before.split()):
            since = news[key].since if key in news else now
            news[key] = News(since=since, at=now, text=one.text)
        elif not (one.words or one.pending):
            news.pop(key, None)  # it does not hold any more
        kept = set((before or "").split()) & set(one.pending.split())
        seen[key] = " ".join([*one.words.split(), *sorted(kept)])
    return replace(state, seen=seen, news=news)


def fires_at(spec: TriggerSpec, state: TriggerState) -> datetime | None:
    """When a run starts if nothing else happens; None: more has to happen first."""
    if not state.news or not spec.met(set(state.news)):
        return None
    pause = timedelta(seconds=spec.debounce)
    last = max(one.at for one in state.news.values())
    first = min(one.since for one in state.news.values())
    return min(last + pause, first + _AT_MOST * pause)


def fired(spec: TriggerSpec, state: TriggerState) -> tuple[TriggerState, Cause]:
    """A run starts by all the news that there are."""
    told = [(one, state.news[one.key]) for one in spec.looked_at if one.key in state.news]
    return replace(state, news={}), Cause(
        kind=told[0][0].kind if len(told) == 1 else CauseKind.SEVERAL,
        text=" and ".join(_told(condition, news) for condition, news in told),
    )


def _told(condition: Condition, news: News) -> str:
    return news.text or str(condition)
