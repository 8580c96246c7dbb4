"""The reader of LaTeX: what formulas are worth, how they are shown, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl import equations
from minimtl.equations import Formula, UnreadableError
from minimtl.equations.numbers import OutsideError, Sample

x, y = np.array([0.5, -1.25, 2.0]), np.array([1.0, 3.0, -2.0])
A, B = np.arange(6.0).reshape(2, 3) - 2, np.arange(12.0).reshape(3, 4) / 8

# the right side of z = …, the values of its symbols, what it is worth
WORTH = [
    (r"\frac{a}{b} c", {"a": 3.0, "b": 4.0, "c": 2.0}, 1.5),
    (r"c \frac{a}{b}", {"a": 3.0, "b": 4.0, "c": 2.0}, 1.5),
    (r"a / b \cdot c / b", {"a": 3.0, "b": 4.0, "c": 2.0}, 0.375),
    (r"\max\{a, b\}", {"a": 3.0, "b": 4.0}, 4.0),
    (r"\lVert x \rVert_\infty", {"x": x}, 2.0),
    (r"e^2 + \pi, \quad e = 2 a, \quad \pi = b", {"a": 3.0, "b": 4.0}, 40.0),
    (r"\sum_{e=1}^{3} e^2", {}, 14),
    (r"\begin{cases} a, & \text{if } a > b \\ b, & \text{otherwise} \end{cases}", {"a": 3.0, "b": 4.0}, 4.0),
    (r"a - b - c", {"a": 3.0, "b": 4.0, "c": 2.0}, -3.0),
    (r"-a^2", {"a": 3.0}, -9.0),
    (r"(-a)^2", {"a": 3.0}, 9.0),
    (r"a^{b-1}", {"a": 3.0, "b": 4.0}, 27.0),
    (r"2 a \cdot 3 \times b", {"a": 3.0, "b": 4.0}, 72.0),
    (r"a \, (b + c)", {"a": 3.0, "b": 4.0, "c": 2.0}, 18.0),
    (r"\sqrt{a^2 + b^2}", {"a": 3.0, "b": 4.0}, 5.0),
    (r"\sqrt 4 a", {"a": 3.0}, 6.0),
    (r"e^{-a}", {"a": 3.0}, math.exp(-3)),
    (r"e^{-a}", {"a": 3.0, "e": 2.0}, 0.125),
    (r"\exp(-a) + \ln b", {"a": 3.0, "b": 4.0}, math.exp(-3) + math.log(4)),
    (r"\ln(\frac{a}{b}) c + \exp(a)^2 + c \ln \frac{a}{b}", {"a": 3.0, "b": 4.0, "c": 2.0}, 4 * math.log(0.75) + math.exp(6)),
    (r"\tanh(a) \sin(b) \cos(\pi c)", {"a": 1.0, "b": 2.0, "c": 2.0}, math.tanh(1) * math.sin(2)),
    (r"\pi \mathrm{pi} + \mathrm{in} + \mathrm{exp}", {"pi": 2.0, "in": 3.0, "exp": 4.0}, 2 * math.pi + 7),
    (r"\beta_1^2", {"β1": 3.0, "β12": 5.0}, 9.0),
    (r"a^2 + \theta^k", {"a": 3.0, "a2": 5.0, "θ": 2.0, "θk": 7.0, "k": 3}, 17.0),
    (r"\mathrm{erf}(a) + \mathrm{sign}(-b)", {"a": 1.0, "b": 2.0}, math.erf(1) - 1),
    (r"|a - b| + \lvert b \rvert", {"a": 3.0, "b": 4.0}, 5.0),
    (r"\lfloor a / b \rfloor + \lceil a / b \rceil", {"a": 7.0, "b": 4.0}, 3),
    (r"a \bmod b", {"a": 7, "b": 4}, 3),
    (r"[a < b] + [a = b] + [a \ne b \land b \ge 4] + [a > b \lor a \le 3]", {"a": 3.0, "b": 4.0}, 3),
    (r"[0 \le a < 3]", {"a": 3.0}, 0),
    (r"\sum_{i=1}^{n} x_i y_i", {"n": 3, "x": x, "y": y}, x @ y),
    (r"\sum_{i=1}^{n} x_i + 1", {"n": 3, "x": x}, x.sum() + 1),
    (r"\sum_{i=1}^{n} (x_i + 1)", {"n": 3, "x": x}, x.sum() + 3),
    (r"a \sum_{i=1}^{n} x_i \sum_{j=1}^{n} y_j", {"a": 2.0, "n": 3, "x": x, "y": y}, 2 * x.sum() * y.sum()),
    (r"\sum_{i \in S} x_i", {"S": [1, 3], "x": x}, 2.5),
    (r"\sum_{0 \le i < n} i^2", {"n": 4}, 14),
    (r"\prod_{i=2}^{n} i", {"n": 5}, 120),
    (r"\prod_{i=1}^{0} x_i + \sum_{i=1}^{0} x_i", {"x": x}, 1),
    (r"\max_{1 \le i \le n} x_i - \min_{1 \le i \le n} x_i", {"n": 3, "x": x}, 3.25),
    (r"\max(a, b) \min(a, b)", {"a": 3.0, "b": 4.0}, 12.0),
    (r"\lVert x \rVert_1 + \|x\|^2 + \lVert A \rVert", {"x": x, "A": A}, 3.75 + x @ x + np.linalg.norm(A)),
    (r"\langle x, y \rangle", {"x": x, "y": y}, x @ y),
    (r"(A B)_{ij}", {"A": A, "B": B, "i": 2, "j": 3}, (A @ B)[1, 2]),
    (r"A^\top_{ij}", {"A": A, "i": 3, "j": 2}, A[1, 2]),
    (r"(2 A - A)_{2,1}", {"A": A}, A[1, 0]),
    (r"x_{s_i + 1}", {"x": x, "s": np.array([0, 2]), "i": 2}, 2.0),
    (r"A_{i+1, j}", {"A": A, "i": 1, "j": 2}, A[1, 1]),
    (r"\beta_1 \beta_2 + \beta'", {"β1": 2.0, "β2": 3.0, "βʹ": 4.0}, 10.0),
    (r"\sigma^2 + \hat{m} + \bar x", {"σ2": 2.0, "m̂": 3.0, "x̄": 4.0}, 9.0),
    (r"\varphi \varepsilon \ell", {"φ": 2.0, "ε": 3.0, "l": 4.0}, 24.0),
    (r"K_H K_{W}", {"KH": 2, "KW": 3}, 6),
    (r"f(a) + g_2(a; b)", {"f": math.exp, "g": [math.fmod, math.pow], "a": 2.0, "b": 3.0}, math.exp(2) + 8),
    (r"f^{(2)}(a)", {"f": [math.sin, math.cos], "a": 2.0}, math.cos(2)),
    (r"\begin{cases} a & a > b \\ b & a = b \\ 0 & \text{otherwise} \end{cases}", {"a": 3.0, "b": 4.0}, 0),
    (r"a m + s, \quad m = 2 s, \quad s = \frac{b}{2}", {"a": 3.0, "b": 4.0}, 14.0),
    (r"\sigma(a) + \sigma(b), \quad \sigma(u) = 1 / u", {"a": 2.0, "b": 4.0}, 0.75),
    (r"\left( a + b \right) c.", {"a": 3.0, "b": 4.0, "c": 2.0}, 14.0),
    (r".5 a", {"a": 3.0}, 1.5),
]


@pytest.mark.parametrize(("latex", "values", "worth"), WORTH, ids=[latex for latex, *_ in WORTH])
def test_worth(latex, values, worth):
    ((ours, _),) = Formula(f"z = {latex}", set(values)).evaluate(values, worth)
    assert ours == pytest.approx([worth], rel=1e-14)


def test_the_table_of_a_matrix_is_a_table():
    formula = Formula(r"z_{ij} = A_{ji} + i", {"A"}, base=0)
    ((ours, theirs),) = formula.evaluate({"A": A}, A.T + np.arange(3)[:, None])
    assert ours == theirs == [*(A.T + np.arange(3)[:, None]).ravel()]
    ((whole, _),) = Formula(r"Z = A B", {"A", "B"}).evaluate({"A": A, "B": B}, A @ B)
    assert whole == pytest.approx([*(A @ B).ravel()])


def test_all_sides_must_agree():
    pairs = Formula(r"z = a + b = b + a = a", {"a", "b"}).evaluate({"a": 1.0, "b": 2.0}, 3.0)
    assert pairs == [([3.0], [3.0]), ([3.0], [3.0]), ([1.0], [3.0])]


def test_only_the_indices_that_are_said():
    ((ours, theirs),) = Formula(r"z_{ij} = 0 \quad \text{for } i \ne j", set()).evaluate({}, np.eye(3))
    assert ours == theirs == [0.0] * 6


def test_steps_are_taken_one_after_the_other():
    formula = Formula(r"a \leftarrow a + b, \quad b \leftarrow a b", {"a", "b"})
    pairs = formula.evaluate({"a": np.array([1.0, 2.0]), "b": 3.0}, {"a": [4, 5], "b": [12, 15]})
    assert pairs == [([4, 5], [4, 5]), ([12, 15], [12, 15])]


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=5), st.data())
def test_signs_and_brackets_are_read_as_python_reads_them(numbers, data):
    text = "a"
    values = {"a": 1.5} | {f"n{i}": v for i, v in enumerate(numbers)}
    for name in values:
        if name != "a":
            sign = data.draw(st.sampled_from(["+", "-", r"\cdot"]))
            text = f"({text} {sign} n_{name[1:]})" if data.draw(st.booleans()) else f"{text} {sign} n_{name[1:]}"
    ((ours, _),) = Formula(f"z = {text}", set(values)).evaluate(values, 0.0)
    wanted = eval(text.replace(r"\cdot", "*").replace("n_", "n"), {}, values)
    assert ours == pytest.approx([wanted])


SHOWN = [
    (r"y_i = \frac{e^{x_i}}{\sum_{j=1}^{n} e^{x_j}}", "yᵢ = e^{xᵢ} / (Σⱼ e^{xⱼ})"),
    (r"y = \frac{1}{n} \sum_{i=1}^{n} x_i^2", "y = 1/n Σᵢ xᵢ²"),
    (r"y = \frac{a + b}{\sqrt{c}} a", "y = (a + b) / √c · a"),
    (r"y = - (a + b) \, (a - b)^2 \cdot 2", "y = −(a + b) (a − b)² · 2"),
    (r"\frac{\partial L}{\partial x_{ij}} = g_{ij} [x_{ij} > 0]", "∂L/∂xᵢⱼ = gᵢⱼ [xᵢⱼ > 0]"),
    (r"y_{m,f} = x_{m, 2 f - 1}", "y[m,f] = x[m, 2 f − 1]"),
    (r"y = \ln(a + b) - \ln a", "y = ln(a + b) − ln a"),
    (r"\theta' \leftarrow \theta' - \eta \beta_1 g", "θ′ ← θ′ − η β₁ g"),
    (r"y = \begin{cases} a & a > b \\ b & \text{otherwise} \end{cases}", "y = a where a > b, else b"),
]


@pytest.mark.parametrize(("latex", "text"), SHOWN, ids=[text for _, text in SHOWN])
def test_how_a_formula_is_shown(latex, text):
    assert Formula(latex, {"x", "a", "b", "c", "g", "n", "η", "β1", "θʹ"}).text == text


REFUSED = {
    r"y = a \odot b": r"\odot",
    r"y = a @ b": "@",
    r"y = \arg\min_{a} b": r"\arg",
    r"y = \mathbb{E}[a]": r"\mathbb",
    r"y = q + a": "q is not declared",
    r"y = \sum_{i \ne b} x_i": "i is not declared",
    r"y = \sum_{a=1}^{b} x_a": "the index a is the name of a symbol too",
    r"y_a = x_a": "the index a of yₐ is the name of a symbol too",
    r"y = \sum_i x_i": "what i runs over is not said",
    r"y = \max_i x_i": "what i runs over is not said",
    r"y = \frac12 a": "braces",
    r"y = x_10": "braces",
    r"y = a / b a": "below the stroke",
    r"y = e^{-a / 2 b}": "below the stroke",
    r"y = a \bmod b a": "below the stroke",
    r"y = \ln a b": "where the argument of ln ends",
    r"y = \sin 2 a": "where the argument of sin ends",
    r"y = \cos \pi a": "where the argument of cos ends",
    r"y \leftarrow a, \quad x = a = b": "one side on the right",
    r"y_i \leftarrow a": "one letter on the left",
    r"y = a \leftarrow b": "the signs",
    r"y = a \sim U(0, 1)": "the signs",
    r"y = a, \quad 5 b + a": "has no sign",
    r"y = \min_{a} a^2": "what a runs over is not said",
    r"y = s, \quad s = a, \quad s = b": "s is defined twice",
    r"y = \phi - \varphi": "written in two ways",
    r"y = \mathbf{a} - a": "written in two ways",
    r"y = x_{2i}": "a comma or a sign is missing",
    r"y = x_a_b": "second index",
    r"y = a^b^a": "second index or power",
    r"y = x^2_i": "second index or power",
    r"y_i = \sum_{i=1}^{3} x_i": "another index",
    r"y = x^{(1 a}": ") is needed",
    r"y = \sum_{k=1}^{3} \sum_{k=1}^{3} x_k": "another index",
    r"y \sim V(0, 1)": "V is not declared",
    r"y = s, \quad s = a = 7": "one side and no condition",
    r"y = s, \quad s = a \quad \text{for } a = 5": "one side and no condition",
    r"y = \cos \pi / 2": "where the argument of cos ends",
    r"y = \sin 2 \cdot a": "where the argument of sin ends",
    r"y = \ln a \, (b + a)": "where the argument of ln ends",
    r"y = s, \quad s^{-1} = a": "has a power",
    r"y^2 = a": "has a power",
    "y = aⁿ": "ⁿ",
    "y = xₖ": "ₖ",
    r"y = 1\,000 a": "two numbers",
    "y = a.5": ".5",
    "y = 007 a": "begin with 0",
    r"y = \mathbf x - x": "written in two ways",
    r"y = \mathrm{x} + x": "written in two ways",
    r"y_i = x_i^{(i)}": "below and one above",
    r"y_{ij} = x_{ij+1}": "several indices, or a product",
    r"y_{ij} = x_{i j' + 1}": "not declared",
    r"y_{ii} = x_i": "different letters",
    r"y_1 = x_1": "different letters",
    r"y = \hat{x_i}": "a symbol is needed",
    r"y = 2^\top a": "has no transpose",
    r"y = \begin{cases} a & a > b \\ b & \text{otherwise} \end{foo}": "end with",
    "y = " + "(" * 300 + "a" + ")" * 300: "nested",
    r"y = a \le b": r"\le",
    r"y = [a]": "a condition needs",
    r"y = (a + b": ") is needed",
    r"y = a + b)": ")",
    r"y = x_": "the formula ends",
    r"y = \frac{a}": "the formula ends",
    r"y = \sqrt[3]{a}": "root of another degree",
    r"y = \tanh^2 a": "behind its argument",
    r"y = \begin{matrix} a \end{matrix}": "only cases",
    r"y = \begin{cases} a & a > b \\ b & \text{else} \end{cases}": "otherwise",
    r"y = s, \quad s_{ij} = x_i x_j": "2 indices",
    r"y = a \text{ where } b": r"\text",
    r"y = a^": "the formula ends",
    r"": "there is no formula",
}


@pytest.mark.parametrize("latex", REFUSED)
def test_what_is_not_read_is_refused_by_name(latex):
    with pytest.raises(UnreadableError) as refusal:
        Formula(latex, {"x", "a", "b"})
    assert REFUSED[latex] in str(refusal.value)


def test_a_number_is_not_applied():
    with pytest.raises(UnreadableError, match=r"p\(…\) is a function applied, and p is none"):
        Formula("y = p(a)", {"p", "a"}).evaluate({"p": 2.0, "a": 3.0}, 6.0)


@pytest.mark.parametrize("latex", ["y = x_0", "y = x_4", r"y = x_{\frac{1}{2}}", "y = x_{1,1}", r"y = \sum_{i=1}^{1/2} x_i"])
def test_what_lies_outside_is_no_number(latex):
    with pytest.raises(OutsideError):
        Formula(latex, {"x"}).evaluate({"x": x}, 0.0)


def test_a_vector_has_no_transpose_and_a_tensor_is_an_array():
    with pytest.raises(OutsideError, match="no transpose"):
        Formula(r"y = x^\top x", {"x"}).evaluate({"x": x}, 0.0)
    ((ours, theirs),) = Formula("y_i = 2 x_i", {"x"}).evaluate({"x": mm.tensor(x)}, 2 * mm.tensor(x).numpy())
    assert ours == theirs


def test_a_value_is_missing():
    with pytest.raises(UnreadableError, match="no value is given for b"):
        Formula("y = a b", {"a", "b"}).evaluate({"a": 1.0}, 1.0)


def test_what_no_index_meets_is_no_agreement():
    assert equations.difference(r"z = a \quad \text{for } b = c", {"a": 3.0, "b": 4.0, "c": 2.0}, 99.0) == math.inf


@pytest.mark.parametrize(
    ("latex", "values", "said"),
    [
        (r"y = \sigma^2", {"σ²": 2.0, "σ": 5.0}, "which is meant is not clear"),
        ("y = |x|", {"x": x}, r"\|x\| of an array"),
        ("y = A / A", {"A": A}, "no number"),
        ("y = [x = z]", {"x": x, "z": x}, "compared as a whole"),
        (r"y = a^\top", {"a": 2.0}, "cannot evaluate"),
        (r"y = \sqrt{a}", {"a": -2.0}, "cannot evaluate"),
        (r"y = \langle x, z \rangle", {"x": x, "z": x[:2]}, "cannot evaluate"),
        (r"y = \|A\|_1", {"A": A}, "Frobenius"),
        ("y = a", {"a": 1.0, "s": 3.0}, "s is given, and does not occur"),
        ("y = a / b", {"a": 1.0, "b": 0.0}, "cannot evaluate"),
        (r"y = \ln(x)", {"x": x}, "cannot evaluate"),
    ],
)
def test_values_that_do_not_fit(latex, values, said):
    with pytest.raises((UnreadableError, OutsideError), match=said):
        equations.difference(latex, values, 0.0)


def test_results_that_do_not_fit():
    with pytest.raises(UnreadableError, match="rows of different lengths"):
        equations.difference("y_{ij} = 0 i j", {}, [[0.0], [0.0, 99.0]])
    with pytest.raises(UnreadableError, match="a result for q"):
        equations.difference("y = a", {"a": 1.0}, {"y": 1.0, "q": 5.0})


def test_small_integers_do_not_wrap():
    small = np.array([1, 2], np.uint8)
    assert equations.difference("Y = -A", {"A": small}, [-1.0, -2.0]) == 0
    assert equations.difference("Y = A - B", {"A": small, "B": small + 1}, [-1.0, -1.0]) == 0


def test_the_formula_draws_from_the_distribution_that_it_prints():
    u, z = np.random.default_rng(3).random(4), np.random.default_rng(3).standard_normal(4)
    for latex, wanted in (
        (r"y_i = u_i, \quad u_i \sim U(2, 4)", 2 + 2 * u),
        (r"y_i = u_i, \quad u_i \sim \mathcal{N}(1, 9)", 1 + 3 * z),
    ):
        assert equations.difference(latex, {"u": Sample(3, 4)}, wanted) == 0


def test_outside_counts_as_what_is_said():
    formula = Formula(r"y = \sum_{i=-1}^{5} x_i", {"x"}, outside={"x": 10.0})
    ((ours, _),) = formula.evaluate({"x": x}, 0.0)
    assert ours == [40 + x.sum()]
