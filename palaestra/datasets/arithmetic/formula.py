"""Formulas of whole numbers, + - * / and brackets, in exact rational arithmetic.

The published verifier of GeneralPoints computes with floats and refuses 8/(3-8/3) = 24.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

OPERATIONS: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_SIGNS: Mapping[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_FORMULA = re.compile(r"[0-9+\-*/() ]{1,200}")
_OTHER_SIGNS = str.maketrans({"×": "*", "÷": "/", "−": "-"})


class Formula(NamedTuple):
    value: Fraction
    numbers: tuple[int, ...]
    """As written, from left to right."""


def read_formula(answer: str) -> Formula | None:
    """The formula in the last line of an answer, up to an equals sign.

    None when there is none, when something is divided by 0, and when it has more than the four operations on
    whole numbers: a sign before a bracket, `**`, `//`.
    """
    lines = answer.translate(_OTHER_SIGNS).strip().splitlines()
    text = lines[-1].partition("=")[0].strip() if lines else ""
    if not _FORMULA.fullmatch(text):
        return None
    try:
        return _evaluate(ast.parse(text, mode="eval").body)
    except (SyntaxError, ZeroDivisionError):
        return None


def remark(answer: str, target: int) -> str:
    """What an answer that was to make `target` made instead."""
    formula = read_formula(answer)
    if formula is None:
        return "The last line is no formula that can be computed."
    used = ",".join(map(str, formula.numbers))
    return f"That is {formula.value} of the numbers {used}; {target} is wanted, of the numbers given."


def _evaluate(node: ast.expr) -> Formula | None:
    match node:
        case ast.Constant(value=int(number)):
            return Formula(Fraction(number), (number,))
        case ast.BinOp(op=operation) if type(operation) in _SIGNS:
            first, second = _evaluate(node.left), _evaluate(node.right)
            if first is None or second is None:
                return None
            value = OPERATIONS[_SIGNS[type(operation)]](first.value, second.value)
            return Formula(value, first.numbers + second.numbers)
    return None
