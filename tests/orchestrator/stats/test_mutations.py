"""The golden cases notice a changed formula: each mutation of the source fails a named case."""

import shutil
import sys
from pathlib import Path

import pytest

import orchestrator.stats
from tests.orchestrator.stats.golden import CHECKS, Case, Copy

SOURCE = Path(orchestrator.stats.__file__).parent
UNPAIRED = "sqrt(sum(variance_of_mean(Summary.of(both[:, i])) for i in (0, 1)))"

# (what goes wrong, module, source, mutated source, case)
MUTATIONS = [
    ("sd divided by n", "records", "std(ddof=1)", "std(ddof=0)", "G02"),
    ("a None is 0", "means", "(x, y) for x, y in zip(a, b, strict=True) if x is not None and "
     "y is not None", "(x or 0.0, y or 0.0) for x, y in zip(a, b, strict=True)", "G12"),
    ("pairs as if unpaired", "means", "sqrt(variance_of_mean(found))", UNPAIRED, "G02"),
    ("one side of the p", "means", "2 * special.stdtr", "1 * special.stdtr", "G01"),
    ("one side of the interval", "means", "(1 + level) / 2", "level", "G01"),
    ("Welch with Student's df", "means", "1 / sum((variance / total) ** 2 / df for variance, df "
     "in parts)", "float(sum(df for _, df in parts))", "G01"),
    ("Student without pooling", "means", "se = pooled_sd(a, b)", "se = a.sd", "G01"),
    ("bias kept in g", "effect", "return exp(special", "return 1 + 0 * exp(special", "G01"),
    ("g of the wrong df", "effect", "a.n + b.n - 2", "a.n + b.n - 1", "G03"),
    ("g's bounds swapped", "effect", "(1 - tail, tail)", "(tail, 1 - tail)", "G02"),
    ("one side of an exact p", "exact", "2 * min(greater, less)", "min(greater, less)", "G03"),
    ("the observed order not counted", "exact", "null >= observed - slack",
     "null > observed + slack", "G02"),
    ("one side of F", "spread", "2 * min(greater, less)", "min(greater, less)", "G04"),
    ("reduction of the other arm", "spread", "left = b.sd / a.sd", "left = a.sd / b.sd", "G04"),
    ("variance for sd", "spread", "100 * (1 - left**2)", "100 * (1 - left)", "G04"),
    ("Levene for Brown-Forsythe", "spread", "np.median(x)", "np.mean(x)", "G04"),
    ("log variance for log sd", "spread", "Summary.of(left / 2)", "Summary.of(left)", "G04"),
    ("three seeds tested", "spread", "MIN_N = 4", "MIN_N = 3", "G04"),
    ("Wilson is exact", "proportions", 'method="wilson"', 'method="exact"', "G05"),
    ("upper bound at 90 %", "proportions", "1 - (1 - level) **", "1 - 2 * (1 - level) **", "G05"),
    ("Wald for Agresti-Min", "proportions", "total, net = n + 2", "total, net = n", "G06"),
    ("bounds without the loss", "proportions", "min(b, n - a)", "b", "G06"),
    ("one side of McNemar", "proportions", "gain + loss, alternative=alternative.value",
     'gain + loss, alternative="greater"', "G06"),
    ("Q with a prompt's variance", "proportions", "float(k * (k - 1)", "float(k * k", "G07"),
    ("strict p is the smallest", "trend", "return max(known)", "return min(known)", "G08"),
    ("steps two-sided", "trend", "paired(above, below, Alternative.GREATER)",
     "paired(above, below)", "G08"),
    ("ranks across seeds", "trend", "finite(complete), axis=1", "finite(complete), axis=0", "G08"),
    ("the observed J not counted", "trend", "counts[round(statistic) :]",
     "counts[round(statistic) + 1 :]", "G08"),
    ("F without its df", "dose", "/ df[0] /", "/", "G09"),
    ("noise around the line", "dose", "pure / df[1]", "pure / (df[1] + df[0])", "G09"),
    ("TOST by the easier side", "means", "max(lower, upper)", "min(lower, upper)", "G10"),
    ("TOST beside a 95 % interval", "means", "1 - 2 * alpha)", "1 - alpha)", "G10"),
    ("entries pooled", "crossed", "se = sqrt(variance / (s * p))",
     "se = float(table.std(ddof=1)) / sqrt(s * p)", "G11"),
    ("noise counted twice", "crossed", "seed + probe - resid", "seed + probe", "G11"),
    ("sum below its parts", "crossed", "if probe > total", "if False", "G11"),
    ("seeds for probes", "crossed", "seeds=_one(mean, ms_seed", "seeds=_one(mean, ms_probe", "G11"),
    ("Holm does nothing", "multiplicity", "ps[order] * np.arange(len(ps), 0, -1)", "ps[order]",
     "G12"),
    ("Bonferroni for Holm", "multiplicity", "np.arange(len(ps), 0, -1)", "len(ps)", "G12"),
    ("BH is Holm", "multiplicity", "stats.false_discovery_control", "_holm", "G12"),
    ("power of one sample", "power", "d * sqrt(n / 2)", "d * sqrt(n)", "G12"),
    ("power of one side", "power", "special.stdtrit(df, 1 - alpha / 2)",
     "special.stdtrit(df, 1 - alpha)", "G12"),
    ("attainable p of one side", "exact", "(2 if alternative is", "(1 if alternative is", "G12"),
]  # fmt: skip


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Makes an importable copy of the package, one module of it changed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def make(name: str, module: str = "records", old: str = "", new: str = "") -> Copy:
        package = shutil.copytree(SOURCE, tmp_path / name)
        for file in package.glob("*.py"):
            file.write_text(file.read_text().replace("orchestrator.stats", name))
        if old:
            file = package / f"{module}.py"
            text = file.read_text()
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {module}.py"
            file.write_text(text.replace(old, new))
        return Copy(name)

    yield make
    for name in set(sys.modules) - before:
        if name.startswith("mutant"):
            del sys.modules[name]


@pytest.mark.parametrize("case", CHECKS)
def test_a_faithful_copy_passes(copy, case):
    CHECKS[case](copy("mutant_of_nothing"), Case(case))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "old", "new", "case"),
    [m[1:] for m in MUTATIONS],
    ids=[m[0].replace(" ", "-") for m in MUTATIONS],
)
def test_a_changed_formula_fails_its_case(copy, module, old, new, case):
    mutant = copy("mutant", module, old, new)
    with pytest.raises(AssertionError):
        CHECKS[case](mutant, Case(case))
