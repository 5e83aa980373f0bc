"""A context is read once, chunk by chunk, into a memory of fixed size."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.base import AgentContext
from palaestra.agents.memory import NO_MEMORY, MemoryAgent, MemoryConfig, chunks
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Message, Sampling
from palaestra.core.events import discard
from palaestra.core.task import ContextFile, Task
from palaestra.core.trajectory import Trajectory
from palaestra.models.scripted import ScriptedModel
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.models.tokens import cut_by_characters, cutter_for
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory


class Reader:
    """A model that is asked to take notes; it remembers what it was shown."""

    def __init__(self, *replies: str) -> None:
        self.shown: list[str] = []
        self.limits: list[int | None] = []
        self._replies = replies

    def __call__(self, messages: Sequence[Message], sampling: Sampling) -> str:
        assert len(messages) == 1
        self.shown.append(messages[0].content)
        self.limits.append(sampling.max_tokens)
        return self._replies[min(len(self.shown), len(self._replies)) - 1]


def run(config: MemoryConfig, reader: Reader, task: Task, budget: Budget | None = None) -> Trajectory:
    context = AgentContext(
        trajectory_id="t#0",
        models=[ScriptedModel("scripted/reader", reader)],
        sandbox=sandbox_factory(SandboxConfig()),
        meter=Meter(budget or Budget()),
        sampling=Sampling(),
        emit=discard,
    )
    return asyncio.run(MemoryAgent(config).run(task, context))


def test_memory_is_overwritten_and_the_answer_comes_from_it_alone() -> None:
    reader = Reader("first notes", "", "third notes", "forty-two")
    task = Task(id="t", prompt="How many?", answer_format="In words.", context="aaaabbbbcc")
    trajectory = run(MemoryConfig(chunk_tokens=1, memory_tokens=50), reader, task)
    assert (trajectory.status, trajectory.answer) == ("finished", "forty-two")
    assert len(reader.shown) == 3 + 1
    for chunk, memory, shown in zip(
        ("aaaa", "bbbb", "cc"), (NO_MEMORY, "first notes", "first notes"), reader.shown, strict=False
    ):
        assert f"<section>\n{chunk}\n</section>" in shown
        assert f"<memory>\n{memory}\n</memory>" in shown
        assert "How many?\n\nIn words." in shown
    assert "third notes" in reader.shown[3]
    assert "section" not in reader.shown[3]
    assert reader.limits == [50] * 4
    assert [step.observation for step in trajectory.steps[:3]] == [
        f"read {characters} characters" for characters in (4, 4, 2)
    ]


def test_with_a_plan_the_form_of_the_answer_is_told_at_the_end_only() -> None:
    reader = Reader(
        "<memory>\nm1\n</memory>\n<plan>\np1\n</plan>", "<memory>m2</memory><plan>p2 is cut o", "no tags", "y"
    )
    task = Task(id="t", prompt="How many?", answer_format="In words.", context="aaaabbbbcccc")
    trajectory = run(MemoryConfig(form="plan", chunk_tokens=1), reader, task)
    assert trajectory.answer == "y"
    for shown, memory, plan in zip(reader.shown[1:3], ("m1", "m2"), ("p1", "p2 is cut o"), strict=True):
        assert f"<memory>\n{memory}\n</memory>" in shown
        assert f"<plan>\n{plan}\n</plan>" in shown
    assert [("In words." in shown) for shown in reader.shown] == [False, False, False, True]
    assert "<memory>\nno tags\n</memory>" in reader.shown[3]
    assert "p2" not in reader.shown[3]


def test_a_limit_leaves_the_memory_as_the_answer() -> None:
    trajectory = run(
        MemoryConfig(chunk_tokens=1),
        Reader("notes"),
        Task(id="t", prompt="?", context="x" * 40),
        Budget(calls=3),
    )
    assert (trajectory.status, trajectory.answer, len(trajectory.steps)) == ("limit", "notes", 3)


def test_chunks_are_not_turns() -> None:
    task = Task(id="t", prompt="?", context="x" * 160)
    trajectory = run(MemoryConfig(chunk_tokens=1), Reader("notes"), task, Budget(turns=2))
    assert (trajectory.status, len(trajectory.steps)) == ("finished", 41)


@given(text=st.text(), sizes=st.lists(st.integers(1, 9), max_size=8), tokens=st.integers(1, 5))
def test_chunks_are_the_text_and_do_not_depend_on_its_pieces(
    text: str, sizes: list[int], tokens: int
) -> None:
    pieces, rest = [], text
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    made = list(chunks([*pieces, rest], tokens, cut_by_characters))
    assert "".join(made) == text
    assert made == list(chunks([text], tokens, cut_by_characters))
    assert all(len(chunk) == 4 * tokens for chunk in made[:-1])


def test_chunks_are_exact_in_the_models_own_tokens(tmp_path: Path) -> None:
    text = Path(__file__).read_text(encoding="utf-8")[:6000]
    model = TinyModel.build("tiny/test", [text], TinyConfig())
    model.save(tmp_path)
    cut = cutter_for(f"hf/{tmp_path}")
    made = list(chunks([text[:200], text[200:]], 16, cut))
    counts = [len(model.tokenizer.encode(chunk, add_special_tokens=False)) for chunk in made]
    assert "".join(made) == text
    assert max(counts) == 16
    assert sum(count == 16 for count in counts) > 0.9 * len(counts)
    assert len(made) <= 1.1 * len(model.tokenizer.encode(text, add_special_tokens=False)) / 16


def test_a_file_is_read_in_pieces_and_a_changed_one_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    with file.open("w") as long:
        for _ in range(40):
            long.write("é" * 500_000)
    data = hashlib.sha256(file.read_bytes()).hexdigest()
    context = ContextFile(path=str(file), sha256=data, characters=20_000_000)
    task = Task(id="t", prompt="?", context=context)
    tracemalloc.start()
    trajectory = run(MemoryConfig(chunk_tokens=500_000), Reader("notes"), task, Budget(calls=2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert trajectory.status == "limit"
    assert peak < 80_000_000
    file.write_text("x" * 100)
    changed = run(MemoryConfig(), Reader("notes"), task)
    assert changed.status == "error"
    assert "has changed since the task was made" in changed.reason


def test_a_tokenizer_that_is_none_is_named() -> None:
    with pytest.raises(Exception, match="cannot load a tokenizer from /nowhere"):
        cutter_for("openai/x", "/nowhere")
