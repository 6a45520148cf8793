"""The main result: in sentences, in a few large figures, and model by model."""

from __future__ import annotations

from collections.abc import Sequence

from tenter.metrics.definitions import HEADLINE, PRIMARY, judging, order
from tenter.reporting import words
from tenter.reporting.page import Card, Column, Table
from tenter.statistics.lines import ComparisonLine, Distribution, SummaryLine, pick

_TEXT = False


def headline(lines: Sequence[SummaryLine], model: str, kind: str) -> list[SummaryLine]:
    """The measured lines by which a model is judged, over all folds and labels."""
    candidates = [
        pick(lines, model=model, set=kind, role=role, metric=metric) for role, metric in HEADLINE
    ]
    return [line for line in candidates if line is not None]


def summary(
    lines: Sequence[SummaryLine],
    model: str,
    kind: str,
    structure: str,
    *,
    of_two: bool = False,
    applied: bool = False,
    learned: bool = True,
) -> str:
    """The result of one model in plain language.

    Args:
        lines: of `summary.tsv`.
        model: the model.
        kind: `cv` or `test`.
        structure: name for the structures: that of the only one, or `structures`.
        of_two: whether the two images of a pair show two patients.
        applied: whether a finished model was applied, without training in this study.
        learned: whether networks registered the pairs.
    """
    known = headline(lines, model, kind)
    if not known:
        return _unlabelled(lines, model, kind)
    how = _by_network(kind, of_two=of_two, applied=applied) if learned else ""
    sentences = [_subject_sentence(known, f"{'Model' if learned else 'Baseline'} {model}", how)]
    sentences += [
        _change_sentence(line, structure) for line in known if line.definition.naming.subject
    ]
    sentences += _failures(known, structure)
    return " ".join(sentences)


def sentences(lines: Sequence[SummaryLine], model: str) -> str:
    """The result of one model in plain language, for all sets of pairs."""
    sets = {line.set for line in lines if line.model == model}
    labels = {line.label for line in lines if line.role == "structure" and line.label}
    structure = labels.pop() if len(labels) == 1 else "structures"
    kinds = [kind for kind in ("cv", "test") if kind in sets]
    return " ".join(summary(lines, model, kind, structure) for kind in kinds)


def _by_network(kind: str, *, of_two: bool, applied: bool) -> str:
    """Which network registered the pairs, in words."""
    if applied:
        return ", none of which was used for training in this study"
    if kind == "test":
        return " that took no part in cross-validation"
    patients = "either of its patients" if of_two else "its patient"
    return f", each with a network that had never seen {patients}"


def _subject_sentence(known: Sequence[SummaryLine], subject: str, how: str) -> str:
    widest = max(known, key=lambda line: line.pairs)
    pairs, patients = (
        words.count(widest.pairs, "image pair"),
        words.count(widest.patients, "patient"),
    )
    return f"{subject} registered {pairs} of {patients}{how}."


def _change_sentence(line: SummaryLine, structure: str) -> str:
    meaning = line.definition
    name = line.definition.naming.subject.format(structure=structure)
    before, after = line.before.median, line.after.median
    if before is None or after is None:
        return f"{name} was {words.number(after, meaning)} in the median{_interval(line)}."
    figures = words.number(before, meaning), words.number(after, meaning)
    if figures[0] == figures[1]:
        bounds = _interval(line, "after")
        return f"{name} did not change: its median is {figures[1]} before and after{bounds}."
    change = f"{'rose' if after > before else 'fell'} from a median of {figures[0]} to {figures[1]}"
    return f"{name} {change}{_interval(line, 'of the latter')}."


def _interval(line: SummaryLine, subject: str = "") -> str:
    low, high = line.after.low, line.after.high
    if low is None or high is None:
        return ""
    unit = f"\N{NO-BREAK SPACE}{line.definition.symbol}" if line.definition.symbol else ""
    bounds = f"{words.interval(low, high, line.definition)}{unit}"
    return f" (95\N{NO-BREAK SPACE}% interval {f'{subject}: ' if subject else ''}{bounds})"


def _failures(known: Sequence[SummaryLine], structure: str) -> list[str]:
    shares = []
    for line in known:
        name = line.definition.naming.worse_by.format(structure=structure)
        if name and line.worse_pairs is not None:
            shares.append(f"{words.share(line.worse_pairs, line.pairs)} {name}")
    sentences = [f"Pairs that registration made worse: {words.listed(shares)}."] if shares else []
    landmarks = next((line for line in known if line.metric == judging("landmark")), None)
    if landmarks is not None:
        gone = words.share(landmarks.vanished, landmarks.n)
        sentences.append(
            f"Landmarks that vanished when they were warped, and count as worst: {gone}."
        )
    return sentences


def _unlabelled(lines: Sequence[SummaryLine], model: str, kind: str) -> str:
    folding = pick(lines, model=model, set=kind, role="field", metric="folding")
    if folding is None:
        return f"Model {model} has no figures."
    median = words.number(folding.after.median, folding.definition)
    return (
        f"Model {model} registered {words.count(folding.pairs, 'image pair')} of "
        f"{words.count(folding.patients, 'patient')}. They have no labels or points, so how well "
        "they match is not known. Only the plausibility of the deformations is known: in the "
        f"median pair {median} of the voxels fold."
    )


def cards(lines: Sequence[SummaryLine], model: str, kind: str, structure: str) -> tuple[Card, ...]:
    """A model's main figures before and after, with intervals and counts."""
    shown_cards = []
    for line in headline(lines, model, kind):
        before = words.number(line.before.median, line.definition, unit=False)
        after = words.number(line.after.median, line.definition)
        labelled = "" if line.n == line.pairs else f"{words.count(line.n, 'label')}, "
        behind = (
            f"{labelled}{words.count(line.pairs, 'pair')}, {words.count(line.patients, 'patient')}"
        )
        interval = words.interval(line.after.low, line.after.high, line.definition)
        known = f"95\N{NO-BREAK SPACE}% interval {interval}"
        detail = ("too few patients for an interval" if interval == words.NONE else known, behind)
        title = (line.definition.naming.card or line.definition.title).format(structure=structure)
        shown_cards.append(Card(title, before, after, detail))
    folding = pick(lines, model=model, set=kind, role="field", metric="folding")
    if folding is not None and len(shown_cards) < 4:
        detail = ("of the voxels fold", words.count(folding.pairs, "pair"))
        shown_cards.append(
            Card("Folding", "", words.number(folding.after.median, folding.definition), detail)
        )
    return tuple(shown_cards)


def by_model(lines: Sequence[SummaryLine], models: Sequence[str], kind: str) -> Table:
    """The main figures of every model, metric by metric, with intervals."""
    main_lines = [line for model in models for line in headline(lines, model, kind)]
    metrics = list(dict.fromkeys(line.metric for line in main_lines))
    main_lines.sort(key=lambda line: metrics.index(line.metric))
    columns = [
        Column("Metric", _TEXT),
        Column("model", _TEXT),
        Column("n"),
        Column("pairs"),
        Column("patients"),
    ]
    columns += [Column("before"), Column("after"), Column("worse pairs"), Column("vanished")]
    rows = [
        (
            line.definition.axis,
            line.model,
            str(line.n),
            str(line.pairs),
            str(line.patients),
            _bounded(line, line.before),
            _bounded(line, line.after),
            words.NONE if line.worse_pairs is None else _rate(line.worse_pairs, line.pairs),
            _rate(line.vanished, line.n),
        )
        for line in main_lines
    ]
    note = (
        "Medians with 95\N{NO-BREAK SPACE}% intervals, if there are enough patients. Worse pairs: "
        "those whose figure was better with the alignment alone; a vanished landmark makes its "
        "pair worse."
    )
    return Table("Models side by side", tuple(columns), tuple(rows), note)


def _rate(part: int, total: int) -> str:
    return words.share(part, total).replace(f" of {total}", "")


def _bounded(line: SummaryLine, side: Distribution) -> str:
    median = words.number(side.median, line.definition, unit=False)
    bounds = words.span(side.low, side.high, line.definition)
    return median if bounds == words.NONE else f"{median} ({bounds})"


def compared(contrasts: Sequence[ComparisonLine]) -> Table:
    """Each model against the reference."""
    columns = [
        Column("Metric", _TEXT),
        Column("of", _TEXT),
        Column("model", _TEXT),
        Column("units"),
    ]
    columns += [Column("median, model"), Column("median, reference"), Column("difference")]
    columns += [
        Column("95\N{NO-BREAK SPACE}% interval"),
        Column("p"),
        Column("p (Holm)"),
        Column("better", _TEXT),
    ]
    rows = [
        (
            contrast.definition.axis,
            contrast.role,
            contrast.model,
            _units(contrast),
            words.number(contrast.model_median, contrast.definition, unit=False),
            words.number(contrast.reference_median, contrast.definition, unit=False),
            words.number(contrast.difference, contrast.definition, unit=False, sign=True),
            words.interval(contrast.low, contrast.high, contrast.definition),
            words.p_value(contrast.p),
            words.p_value(contrast.p_holm),
            _better(contrast),
        )
        for contrast in sorted(contrasts, key=_order)
    ]
    note = (
        "Difference: model minus reference, paired by image pair and label; the median over units "
        "of each unit's median. p: Wilcoxon's signed-rank test over units, two-sided. Interval and "
        "p account for patients that several units share, and are missing if there are too few "
        "patients. p (Holm): corrected for the number of models and primary outcomes; other "
        "metrics are exploratory and have none. Better: named if the interval excludes 0 and "
        "p (Holm) is below 0.05."
    )
    reference = words.listed(sorted({contrast.reference for contrast in contrasts}))
    return Table(
        f"Differences from the reference model {reference}", tuple(columns), tuple(rows), note
    )


def _units(contrast: ComparisonLine) -> str:
    units = words.count(contrast.units, contrast.test_unit)
    if contrast.patients is None or contrast.patients == contrast.units:
        return units
    return f"{units} ({words.count(contrast.patients, 'patient')})"


def _order(contrast: ComparisonLine) -> tuple[object, ...]:
    key = (contrast.role, contrast.metric)
    return (
        HEADLINE.index(key) if key in HEADLINE else len(HEADLINE),
        order(contrast.metric),
        contrast.role,
    )


def versus(
    lines: Sequence[SummaryLine],
    contrasts: Sequence[ComparisonLine],
    model: str,
    kind: str,
    structure: str,
) -> str:
    """Another model in one line: its main figures and its differences from the reference."""
    parts = []
    for line in headline(lines, model, kind):
        name = line.definition.naming.short.format(structure=structure)
        if not name:
            continue
        contrast = next((candidate for candidate in contrasts if _same(candidate, line)), None)
        parts.append(
            f"{name} {words.number(line.after.median, line.definition)}{_difference(contrast)}"
        )
    return f"Model {model}: {'; '.join(parts)}." if parts else ""


def _same(contrast: ComparisonLine, line: SummaryLine) -> bool:
    return (contrast.model, contrast.set, contrast.role, contrast.metric) == (
        line.model,
        line.set,
        line.role,
        line.metric,
    )


def _difference(contrast: ComparisonLine | None) -> str:
    if contrast is None:
        return ""
    bounds = words.interval(contrast.low, contrast.high, contrast.definition)
    difference = words.number(contrast.difference, contrast.definition, unit=False, sign=True)
    if bounds == words.NONE:
        return f" ({difference} against {contrast.reference}; too few patients for an interval)"
    better = _better(contrast)
    verdict = f"{better} is better" if better in {contrast.model, contrast.reference} else better
    return (
        f" ({difference} against {contrast.reference}, "
        f"95\N{NO-BREAK SPACE}% interval {bounds}: {verdict})"
    )


def _better(contrast: ComparisonLine) -> str:
    if (contrast.role, contrast.metric) not in PRIMARY:
        return words.NONE
    if contrast.low is None or contrast.high is None or contrast.p_holm is None:
        return "not\N{NO-BREAK SPACE}told\N{NO-BREAK SPACE}apart"
    if contrast.p_holm >= 0.05 or contrast.low <= 0 <= contrast.high:
        return "not\N{NO-BREAK SPACE}told\N{NO-BREAK SPACE}apart"
    if contrast.definition.better == "neither":
        return "differs"
    model_higher = contrast.low > 0
    return (
        contrast.model
        if model_higher == (contrast.definition.better == "higher")
        else contrast.reference
    )
