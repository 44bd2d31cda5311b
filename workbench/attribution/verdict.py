"""Word the outcome of a case: the set it is narrowed to, then the call, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.ranking import conformal
from workbench.ranking.likelihood import verbal

if TYPE_CHECKING:
    from workbench.attribution.result import Case

REJECTED = (
    "{best} comes nearest, but for every candidate model at most {share} of its own calibration "
    "pictures scores so low (p = {p:.3f}). A picture of the zoo can look like this too, where its "
    "prompt was inverted badly."
)
SETS = (
    "Narrowed to: such sets hold the true model {times} times in 10, if it is a candidate model "
    "and all of them are equally likely."
)
CALLED = (
    "Called: on calibration pictures of these models, calls as sure as these were wrong at most "
    "1 time in 20 (one-sided 95 % confidence). They are of the candidate models alone."
)
PROBABLE = (
    "The probability is calibrated among the candidate models, each as likely beforehand. The "
    "likelihood ratio (LR) tells how many times more probable the scores are if that model made "
    "the picture than if another candidate did; words after the ENFSI guideline (2015)."
)
REDRAWN = (
    "Drawn from a further seed of their own, since the model's safety checker blacked the first: "
    "{counts}."
)
FORCED = "Forced choices are not calibrated for this setting: how often they err is unknown."
NEVER = "No call was reliable on the calibration pictures, so this setting never calls a model."
CAVEAT = (
    "None of this proves that a model made a picture: a photograph, or a picture of a model that "
    "is not in the zoo, gets a first place too."
)


@dataclass(frozen=True)
class Verdict:
    """A decision in words.

    ``kind`` is attributed, family, abstained, forced, rejected or failed; ``narrowed`` says what
    the evidence narrows to, "" where no set is calibrated; ``headline`` is the call, or that there
    is none, and ``text`` the reason.
    """

    kind: str
    headline: str
    text: str
    narrowed: str = ""


def verdict(case: Case, threshold: float | None) -> Verdict:
    """Return a decision in words that claim no more than was found.

    Args:
        case: one test image's outcome.
        threshold: smallest accepted margin; None where the setting is not calibrated.
    """
    if case.error is not None:
        return Verdict("failed", "Not attributed.", f"{case.error[:1].upper()}{case.error[1:]}.")
    best, second = case.best, case.ranking[1][0]
    if case.not_drawn:
        return _incomplete(case)
    if case.rejected:
        share = f"1 in {1 / conformal.ALPHA:.0f}"
        unlike = REJECTED.format(best=best, share=share, p=case.p_known)
        return Verdict("rejected", "None of these.", unlike)
    narrowed = f"Narrowed to: {', '.join(case.included)}." if case.included is not None else ""
    if not case.margin:
        ties = f"{best} and {second} cannot be told apart here."
        return Verdict("abstained", "No call.", ties, narrowed)
    if case.confidence is None and threshold is None:
        return _forced(case)
    if case.accepted:
        return Verdict("attributed", f"Called: {best}.", _sure(case, threshold), narrowed)
    if case.family is not None:
        kin = f"Called as a family: {case.family}."
        return Verdict("family", kin, f"Which of them it is cannot be said: {_why(case)}", narrowed)
    why = _why(case, threshold)
    return Verdict("abstained", "No call.", f"{why[:1].upper()}{why[1:]}", narrowed)


def notes(
    cases: Iterable[Case], threshold: float | None, redrawn: Mapping[str, int] | None = None
) -> list[str]:
    """Return the notes needed to read the verdicts of a run, the same for every picture.

    `redrawn` counts by model the candidate images of a further seed (`pipeline.redrawn`).
    """
    counts = ", ".join(f"{count} of {name}" for name, count in (redrawn or {}).items())
    cases = [case for case in cases if case.error is None]
    verdicts = [verdict(case, threshold) for case in cases]
    kinds = {each.kind for each in verdicts}
    calibrated = threshold is not None or any(case.probabilities for case in cases)
    limits = [threshold] if threshold is not None else []
    limits = [case.limit for case in cases if case.limit is not None] or limits
    never = bool(limits) and all(math.isinf(limit) for limit in limits)
    said = {
        SETS.format(times=f"{10 * conformal.COVERAGE:.0f}"): any(x.narrowed for x in verdicts),
        CALLED: calibrated and "attributed" in kinds,
        PROBABLE: any(case.probabilities for case in cases),
        NEVER: never,
        REDRAWN.format(counts=counts): bool(counts),
        FORCED: "forced" in kinds,
        CAVEAT: bool(cases),
    }
    return [sentence for sentence, needed in said.items() if needed]


def _sure(case: Case, threshold: float | None) -> str:
    if case.confidence is None:
        return f"The margin {case.margin:.4f} is at least {threshold:.4f}."
    return f"Probability {percent(case.confidence)}, at least {percent(case.limit)}. {_lr(case)}"


def _why(case: Case, threshold: float | None = None) -> str:
    """Return why the model ranked first is not called."""
    best, second = case.best, case.ranking[1][0]
    if case.confidence is not None:
        known = f"{best} comes first with a probability of {percent(case.confidence)}"
        likelier = max(case.probabilities, key=lambda name: case.probabilities[name])
        if case.probabilities[likelier] > case.confidence:
            known += f", though {likelier} is likelier ({percent(case.probabilities[likelier])})"
        if case.limit is None or math.isinf(case.limit):
            return f"{known}. {_lr(case)}"
        return f"{known}, below {percent(case.limit)}. {_lr(case)}"
    known = f"{best} comes first with a margin of {case.margin:.4f} over {second}"
    if threshold is None or math.isinf(threshold):
        return f"{known}."
    return f"{known}, below {threshold:.4f}."


def _lr(case: Case) -> str:
    """Return the likelihood ratio of the model ranked first, as a number and in words."""
    if case.log10_lr is None:
        return ""
    words = verbal(case.log10_lr).replace("this model", str(case.best))
    if math.isinf(case.log10_lr) or abs(case.log10_lr) > 6:
        sign = "more than 10⁶" if case.log10_lr > 0 else "less than 10⁻⁶"
        return f"LR {sign}: {words}."
    return f"LR {10**case.log10_lr:,.3g}: {words}."


def _forced(case: Case) -> Verdict:
    """Word a forced choice: the margin first, and no headline for a near-tie."""
    best, second = case.best, case.ranking[1][0]
    margin = f"Margin {case.margin:.4f}"
    spread = case.spread
    if spread is not None and case.margin is not None and case.margin < spread:
        near = f"{margin}: too close to choose between {best} and {second}."
        inside = (
            f"The candidate images of {best} differ by more among themselves (standard deviation "
            f"{spread:.4f})."
        )
        return Verdict("forced", near, inside)
    beyond = "" if spread is None else f" Its candidate images differ by {spread:.4f} (s.d.)."
    likeness = f"The picture is most like what {best} makes of this prompt.{beyond}"
    return Verdict("forced", f"{margin}, a forced choice: {best} before {second}.", likeness)


def _incomplete(case: Case) -> Verdict:
    """Word a case for which some candidate model could not draw."""
    reasons = ", ".join(
        f"{name} ({reason})" if reason else name for name, reason in case.not_drawn.items()
    )
    if case.margin is None:
        alone = f"Not drawn: {reasons}. Only {case.best} made a picture that could be compared."
        return Verdict("abstained", "No call.", alone)
    if case.accepted:
        left = f"A forced choice without {', '.join(case.not_drawn)}: {case.best} comes first."
        return Verdict("forced", left, f"Not drawn: {reasons}. It cannot be ruled out.")
    return Verdict(
        "abstained",
        "No call.",
        f"Not drawn: {reasons}. What could not be drawn cannot be ruled out; --without-missing "
        "ranks the others by forced choice.",
    )


def percent(value: float | None) -> str:
    """Write a probability with as many digits as tell it from 1."""
    if value is None or math.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if value < 0.9995 else "over 99.9 %"


def bar(case: Case, score: float | None) -> float:
    """Return the length of a score's bar in [0, 1]: the best has 1, the last a twelfth.

    Scores of different similarities have no common zero, so bars span one picture's scores.
    """
    known = [value for _, value, _ in case.ranking if value is not None]
    if score is None:
        return 0.0
    low, high = min(known), max(known)
    return 1.0 if high == low else (1 + 11 * (score - low) / (high - low)) / 12
