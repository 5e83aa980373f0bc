"""The names that a recursive language model finds in its REPL, beside `context`.

This file runs inside the sandbox, to which it is sent as text: it may import the standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

Reading = Literal["none", "draft", "ready", "plain", "empty", "long", "unreadable"]
"""What `answer` is: without content, with content, ready, a plain value, ready without content, too long, of
content that cannot be made a text."""

MOST_CHARACTERS = 1_000_000
CHILDREN = "_rlm_query"
"""The host's function behind `rlm_query`."""
TOOL = "_tool_"
"""How the host's function behind a tool is called, before the tool's own name."""


class Names:
    """Puts the reserved names into a session, and reads the answer from it."""

    def __init__(self, session: dict[str, Any], kept: Collection[str]) -> None:
        """`kept` are names of the session that are reserved as well."""
        self._session = session
        tools = [name for name in session if name.startswith(TOOL)]
        self._reserved = {name: session[name] for name in kept} | {
            "SHOW_VARS": self.show_vars,
            "FINAL": self.final,
            "FINAL_VAR": self.final_var,
            **{name.removeprefix(TOOL): Tool(name.removeprefix(TOOL), session[name]) for name in tools},
        }
        if CHILDREN in session:
            self._ask_children: Callable[[Sequence[str]], list[str]] = session[CHILDREN]
            self._reserved |= {"rlm_query": self.rlm_query, "rlm_query_batched": self.rlm_query_batched}
        session["answer"] = {"content": "", "ready": False}
        session.update(self._reserved)

    def rlm_query(self, prompt: str, context: object = None) -> str:
        """Ask one child, which has a session of its own with this context in it."""
        return self._ask_children([_request(prompt, context)])[0]

    def rlm_query_batched(
        self, prompts: Sequence[str], contexts: Sequence[object] | None = None
    ) -> list[str]:
        """Ask several children at the same time."""
        if isinstance(prompts, str):
            raise TypeError("rlm_query_batched takes a list of prompts")
        if contexts is not None and len(contexts) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts need as many contexts, not {len(contexts)}")
        return self._ask_children(list(map(_request, prompts, contexts or [None] * len(prompts))))

    def show_vars(self) -> None:
        """Print the session's own variables, one a line with its type."""
        hidden = {"answer", *self._reserved}
        listed = "\n".join(
            f"{name}: {type(value).__name__}"
            for name, value in tuple(self._session.items())
            if not name.startswith("_") and name not in hidden
        )
        print(listed or "no variables yet")

    def final(self, content: object) -> None:
        """Answer with `content`."""
        self._session["answer"] = {"content": content, "ready": True}

    def final_var(self, name: object) -> None:
        """Answer with the variable of this name; what is no text is taken for the variable itself."""
        if isinstance(name, str) and name not in self._session:
            raise NameError(f"there is no variable {name!r} to answer with")
        self.final(self._session[name] if isinstance(name, str) else name)

    def settle(self, typed: bool) -> Reading:
        """Put the reserved names back, and tell what `answer` says; its text is left in `__answer__`.

        A plain value in `answer` is kept as content that is not ready: models use the name for
        intermediate results, so that taking it for the last word would end many runs too early.
        A typed answer that is no text is written as JSON.
        """
        self._session.update(self._reserved)
        answer = self._session.get("answer")
        if plain := not isinstance(answer, dict):
            answer = self._session["answer"] = {"content": answer, "ready": False}
        try:
            text = _text(answer.get("content"), typed)
        except Exception:  # noqa: BLE001 - a value of a cell's class may raise anything
            answer["ready"] = False
            return "unreadable"
        if len(text) > MOST_CHARACTERS:
            return "long"
        self._session["__answer__"] = text
        if plain and text:
            return "plain"
        if answer.get("ready"):
            return "ready" if text else "empty"
        return "draft" if text else "none"

    def reject(self) -> None:
        """The answer was not accepted: the model goes on."""
        self._session["answer"]["ready"] = False


def _text(content: object, typed: bool) -> str:
    if content is None:
        return ""
    if typed and not isinstance(content, str):
        return json.dumps(content, default=str, ensure_ascii=False)
    return str(content)


class Tool:
    """A function of the user's, which runs on the host: arguments and result travel as JSON."""

    def __init__(self, name: str, call: Callable[[str], str]) -> None:
        self.__name__ = name
        self._call = call

    def __call__(self, *arguments: object, **named: object) -> object:
        answer = json.loads(self._call(json.dumps([arguments, named])))
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def __repr__(self) -> str:
        return f"<tool {self.__name__}>"


def _request(prompt: str, context: object) -> str:
    """A child's question and its context, which may be a text, or a list or dict of texts."""
    if isinstance(context, dict):
        context = {str(key): str(value) for key, value in context.items()}
    elif isinstance(context, list | tuple):
        context = [str(value) for value in context]
    elif context is not None:
        context = str(context)
    return json.dumps([str(prompt), context])
