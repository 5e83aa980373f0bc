"""What a provider's refusal means: whether to ask again, when, and what to tell the user."""

from __future__ import annotations

import json
import re
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import openai
from tenacity import RetryCallState, wait_exponential, wait_random

from palaestra.core.errors import (
    AuthenticationFailed,
    ContextTooLong,
    ModelError,
    ModelUnreachable,
    RateLimited,
    RequestRejected,
    UnknownModel,
)

LONGEST_WAIT = 120.0
"""Seconds. A provider that asks for more patience than this is not asked again."""

_BACKOFF = wait_exponential(multiplier=0.5, max=60) + wait_random(0, 0.5)
_NO_KEY = re.compile("missing credentials|no key is set", re.I)
_OUT_OF_CREDIT = re.compile("insufficient_quota|exceeded your current quota|credit balance", re.I)
_TOO_LONG = re.compile(
    "context.length.exceeded|maximum context length|context.?window|prompt is too long", re.I
)
_PREFIX = re.compile(r"^(litellm\.)?\w*(Error|Exception|Timeout)( Error)?\s*[:-]\s*")
_LONGEST_DETAIL = 300


class Route(NamedTuple):
    """What a user must know of the way that a request took."""

    model: str
    address: str
    key_variable: str
    timeout: float
    context_window: int | None


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later: rate limit, overload, timeout, lost connection."""
    if not isinstance(error, openai.OpenAIError) or _NO_KEY.search(str(error)) or _is_out_of_credit(error):
        return False
    status = _status(error)
    return (status in (408, 409, 429) or status >= 500) and (retry_after(error) or 0.0) <= LONGEST_WAIT


def wait_before_retry(state: RetryCallState) -> float:
    """Seconds: exponential with jitter, half a second at first, and never less than Retry-After."""
    error = state.outcome.exception() if state.outcome else None
    return max(_BACKOFF(state), retry_after(error) or 0.0)


def retry_after(error: BaseException | None) -> float | None:
    """Seconds that the provider asks to wait, a number or a date (RFC 9110, 10.2.3); None if it is silent."""
    value = (getattr(error, "litellm_response_headers", None) or {}).get("retry-after")
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        pass  # not a number of seconds: a date
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def explain(error: openai.OpenAIError, route: Route, tries: int) -> ModelError:
    """The error of ours that tells the user what happened after `tries` requests, and what to do."""
    status, said = _status(error), _detail(error)
    if status in (401, 403) or _NO_KEY.search(str(error)):
        return AuthenticationFailed(_about_the_key(error, route, said))
    if status == 404:
        return UnknownModel(
            f"{route.model}: {route.address} knows no such model ({said}); correct the name or "
            "api_base (most end in /v1)"
        )
    if _is_out_of_credit(error):
        return RateLimited(
            f"{route.model}: the account at {route.address} is out of credit ({said}); add some"
        )
    if status == 429:
        return RateLimited(
            f"{route.model}: {route.address} limits the rate, after {_times(tries)} ({said}); "
            "lower concurrency or go on later"
        )
    if _TOO_LONG.search(_whole_text(error)):
        return ContextTooLong(_about_the_window(route, said))
    if isinstance(error, openai.APITimeoutError):
        return ModelUnreachable(
            f"{route.model}: no answer from {route.address} in time, after {_times(tries)} ({said}); "
            f"raise timeout, now {route.timeout:g} seconds, or check the server"
        )
    if status >= 500 and getattr(error, "litellm_response_headers", None):  # there was a response
        return ModelUnreachable(
            f"{route.model}: {route.address} fails with status {status}, after {_times(tries)} ({said}); "
            "look at the server's own log, or go on later"
        )
    if status >= 500 or status < 400 or status in (408, 409):
        return ModelUnreachable(
            f"{route.model}: no answer from {route.address}, after {_times(tries)} ({said}); "
            "check that it runs and that api_base is right"
        )
    return RequestRejected(
        f"{route.model}: {route.address} rejects the request ({said}); correct the sampling or the messages"
    )


def _about_the_key(error: openai.OpenAIError, route: Route, said: str) -> str:
    if _NO_KEY.search(str(error)):
        return (
            f"{route.model} needs a key: set {route.key_variable}, or name your variable in api_key_variable"
        )
    return (
        f"{route.model}: {route.address} refuses the key ({said}); "
        f"set {route.key_variable} to a valid one, or name your variable in api_key_variable"
    )


def _about_the_window(route: Route, said: str) -> str:
    known = route.context_window is not None and not re.search(r"\d", said)
    window = f"context window of {route.context_window} tokens" if known else "context window"
    return (
        f"{route.model}: the request does not fit the {window} ({said}); "
        "shorten the prompt, lower max_tokens or choose a model with a larger window"
    )


def _status(error: openai.OpenAIError) -> int:
    """The HTTP status; 500 where there was no response at all."""
    return getattr(error, "status_code", None) or 500


def _is_out_of_credit(error: openai.OpenAIError) -> bool:
    return _status(error) == 402 or _OUT_OF_CREDIT.search(_whole_text(error)) is not None


def _whole_text(error: openai.OpenAIError) -> str:
    """The message and, where LiteLLM keeps it apart, the provider's code for the error."""
    return f"{error} {getattr(error, 'body', None) or ''}"


def _detail(error: openai.OpenAIError) -> str:
    """The provider's own words on one line, without the names of exceptions that LiteLLM puts before them."""
    text = str(error)
    while (shorter := _PREFIX.sub("", text, count=1)) != text:
        text = shorter
    start, end = text.find("{"), text.rfind("}")
    try:
        text = json.loads(text[start : end + 1])["error"]["message"]
    except (ValueError, KeyError, TypeError):
        text = text.partition("Traceback (most recent call last)")[0].partition(". Handle with `litellm.")[0]
    text = " ".join(str(text).split()).rstrip(".")
    return text if len(text) <= _LONGEST_DETAIL else text[:_LONGEST_DETAIL] + "…"


def _times(tries: int) -> str:
    return "1 try" if tries == 1 else f"{tries} tries"
