"""What a case says in words: the call, the forced choice, the abstention, none of these."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.ranking import conformal

if TYPE_CHECKING:
    from workbench.attribution.result import Case


CAVEAT = (
    "This does not prove that {best} made it: a photograph, or a picture of a model that is not "
    "in the zoo, gets a first place too."
)
REJECTED = (
    "{best} comes nearest, but for every candidate model at most {share} of its own calibration "
    "pictures scores so low (p = {p:.3f}). A picture of the zoo can look like this too, where its "
    "prompt was inverted badly."
)
AMONG = (
    "{models}: {coverage} of such sets hold the true model, if it is a candidate model and all of "
    "them are equally likely."
)


@dataclass(frozen=True)
class Verdict:
    """A decision in words; ``kind`` is attributed, abstained, forced, rejected or failed."""

    kind: str
    headline: str
    text: str


def verdict(case: Case, threshold: float | None) -> Verdict:
    """Put a decision into words that claim no more than was found.

    Args:
        case: one test image's outcome.
        threshold: smallest accepted margin; None where the setting is not calibrated.
    """
    if case.error is not None:
        return Verdict("failed", "Not attributed.", f"{case.error[:1].upper()}{case.error[1:]}.")
    best, second = case.best, case.ranking[1][0]
    likeness = f"The picture is most like what {best} makes of this prompt."
    if case.rejected:
        share = f"1 in {1 / conformal.ALPHA:.0f}"
        unlike = REJECTED.format(best=best, share=share, p=case.p_known)
        return Verdict("rejected", "None of these.", unlike)
    if case.margin is None:
        alone = f"Only {best} made a picture that could be compared."
        return Verdict("abstained", "No call.", alone)
    if not case.margin:
        ties = f"{best} and {second} cannot be told apart here."
        return Verdict("abstained", "No call.", ties)
    if threshold is None:
        unknown = "A forced choice, not calibrated for this setting: how often it errs is unknown. "
        return Verdict("forced", likeness, unknown + CAVEAT.format(best=best))
    if case.accepted:
        sure = (
            f"The margin {case.margin:.4f} is at least {threshold:.4f}: on calibration pictures of "
            "these models, such calls were wrong at most 1 time in 20 (95 % confidence). "
        )
        return Verdict("attributed", likeness, sure + CAVEAT.format(best=best))
    if math.isinf(threshold):
        never = (
            "No margin was reliable on the calibration pictures, so this setting always abstains."
        )
        return Verdict("abstained", "No call.", f"{likeness} {never}")
    small = f"But the margin over {second}, {case.margin:.4f}, is below {threshold:.4f}, too small."
    return Verdict("abstained", "No call.", f"{likeness} {small}")


def among(case: Case) -> str:
    """Put the attribution set into words; "" where there is none, or where it is rejected."""
    if case.included is None or case.rejected:
        return ""
    names = ", ".join(case.included)
    models = names if len(case.included) == 1 else f"One of {names}"
    return AMONG.format(models=models, coverage=f"{100 * conformal.COVERAGE:.0f} %")


def bar(case: Case, score: float | None) -> float:
    """Scale a score to a bar's length in [0, 1]: the best has 1, the last a twelfth.

    Scores of different similarities have no common zero, so bars span one picture's scores.
    """
    known = [value for _, value, _ in case.ranking if value is not None]
    if score is None:
        return 0.0
    low, high = min(known), max(known)
    return 1.0 if high == low else (1 + 11 * (score - low) / (high - low)) / 12
