"""How a cron expression is read: as croniter does, without what is read in two ways."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dbtorch.core.errors import Refused


def read_cron(text: str) -> str:
    """Five fields or an alias, that name some moment. Raises `Refused`."""
    from croniter import CroniterBadDateError, croniter

    accepted = 'expected five cron fields such as "0 6 * * *", or @hourly, @daily, @weekly, …'
    written = " ".join(text.split())
    alias = written in {"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly"}
    fields = re.fullmatch(r"[0-9a-zA-Z*?,/#-]+( [0-9a-zA-Z*?,/#-]+){4}", written)
    random = re.search(r"(?<![a-zA-Z])[rRhH](?![a-zA-Z])", written)  # Jenkins' words
    if len(written) > 200 or random or not (alias or fields):
        raise Refused(accepted)
    if not alias:
        _refuse_two_readings(written.split(" "))
    try:
        croniter(written, 0.0).get_next()
    except Exception as error:  # croniter has its own, and lets others through
        never = isinstance(error, CroniterBadDateError)
        reason = "that day never comes" if never else _wrong_field(written.split(" "))
        raise Refused(f"{reason}; {accepted}") from None
    return written


def _refuse_two_readings(fields: Sequence[str]) -> None:
    """Refuse a step from a field's last value: croniter 7 takes the value, earlier ones all."""
    last = ({"59"}, {"23"}, {"31"}, {"12", "dec"}, {"6", "7", "sat"})
    for text, highest, (name, least, most) in zip(fields, last, _FIELDS, strict=True):
        for part in text.lower().split(","):
            start, slash, step = part.partition("/")
            if slash and start.lstrip("0") in highest:
                raise Refused(
                    f'the {name} "{part}" is read in two ways, as "{start}" alone and as'
                    f' "{least}-{min(most, 6) if name == "weekday" else most}/{step}"; write the'
                    " one that is meant"
                )


#: The fields of a cron expression, and what their numbers may be.
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))


def _wrong_field(fields: Sequence[str]) -> str:
    """Which field of a cron expression means nothing."""
    for text, (name, least, most) in zip(fields, _FIELDS, strict=True):
        for number in re.findall(r"\d+", re.sub(r"/\d+", "", text)):
            if not least <= int(number) <= most:
                return f"{name} {number} is none, {least} to {most} are"
    for text, (name, *_) in zip(fields, _FIELDS, strict=True):
        if re.search(r"/0*(?!\d)|/$|^[,/-]|[,-]$|[a-zA-Z]{4}", text):
            return f'the {name} "{text}" means nothing'
    return "it means nothing as a cron expression"
