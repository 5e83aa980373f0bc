"""The names that a recursive language model finds in its REPL, beside `context` and the host's functions.

This file runs inside the sandbox, to which it is sent as text: it may import the standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Reading = Literal["none", "draft", "ready", "plain", "empty", "long"]
"""What `answer` is: without content, with content, ready, a plain value, ready without content, too long."""

MOST_CHARACTERS = 1_000_000


class Names:
    """Puts the reserved names into a session, and reads the answer from it."""

    def __init__(self, session: dict[str, Any], kept: Sequence[str]) -> None:
        """`kept` are names of the session that are reserved as well."""
        self._session = session
        self._reserved = {name: session[name] for name in kept} | {
            "SHOW_VARS": self.show_vars,
            "FINAL": self.final,
            "FINAL_VAR": self.final_var,
        }
        session["answer"] = {"content": "", "ready": False}
        session.update(self._reserved)

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

    def settle(self) -> Reading:
        """Put the reserved names back, and tell what `answer` says; its text is left in `__answer__`.

        A plain value in `answer` is kept as content that is not ready: models use the name for
        intermediate results, so that taking it for the last word would end many runs too early.
        """
        self._session.update(self._reserved)
        answer = self._session.get("answer")
        if plain := not isinstance(answer, dict):
            answer = self._session["answer"] = {"content": answer, "ready": False}
        content = answer.get("content")
        text = "" if content is None else str(content)
        if len(text) > MOST_CHARACTERS:
            return "long"
        self._session["__answer__"] = text
        if plain and text:
            return "plain"
        if answer.get("ready"):
            return "ready" if text else "empty"
        return "draft" if text else "none"
