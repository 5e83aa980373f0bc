import pytest

from palaestra.agents.reply import Block, read_reply


def test_blocks_and_the_text_around_them() -> None:
    reply = read_reply("First.\n```repl\na = 1\n```\nThen.\n~~~python\nb = 2\n~~~\nLast.")
    assert reply.thought == "First.\nThen.\nLast."
    assert reply.cells == ["a = 1", "b = 2"]
    assert not reply.unclosed


@pytest.mark.parametrize("language", ["repl", "python", "py", "", "Python", " repl", "repl title=x"])
def test_languages_that_run(language: str) -> None:
    assert read_reply(f"```{language}\n1\n```").cells == ["1"]


def test_other_languages_and_unclosed_blocks_do_not_run() -> None:
    reply = read_reply("```bash\nls\n```\n```json\n{}\n```\n```repl\nprint(")
    assert reply.cells == []
    assert reply.not_run == ["bash", "json"]
    assert reply.unclosed


def test_a_longer_fence_holds_shorter_ones() -> None:
    code = 'text = """\n```\ninner\n```\n"""'
    assert read_reply(f"````repl\n{code}\n````").blocks == (Block("repl", code, closed=True),)


def test_line_separators_inside_code_are_kept() -> None:
    assert read_reply("```repl\nx = 'a\u2028b\x0c'\n```").cells == ["x = 'a\u2028b\x0c'"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("FINAL(42)", "FINAL('42')"),
        ("So:\n  FINAL(f(x) = (a, b))  \n", "FINAL('f(x) = (a, b)')"),
        ("FINAL(42)\n\nThis follows from the table (see above).", "FINAL('42')"),
        ("FINAL(two\nlines)", "FINAL('two\\nlines')"),
        ("FINAL_VAR(total)", "FINAL_VAR('total')"),
        ("FINAL_VAR('total')\nFINAL(no)", "FINAL_VAR('total')"),
    ],
)
def test_answers_in_the_text_forms_become_the_last_cell(text: str, cell: str) -> None:
    assert read_reply(f"```repl\n1\n```\n{text}").cells == ["1", cell]


@pytest.mark.parametrize("text", ["I shall call FINAL(x) later.", "`FINAL(x)`", "FINALLY (x)"])
def test_talk_of_an_answer_is_no_answer(text: str) -> None:
    assert read_reply(text).cells == []
