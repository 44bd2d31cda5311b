"""From similarities to a decision: aggregate, rank, decide, and how sure one may be.

``aggregate``: s_k = α({a_k1 … a_kγ}). ``rank``: ranks and ties. ``confidence``: the probability of
each model. ``fixed_sequence``: the threshold of a margin or a confidence. ``conformal``:
attribution sets, and none of these. ``elimination``: adaptive γ.
"""

from workbench.ranking import conformal as conformal
from workbench.ranking import elimination as elimination
from workbench.ranking.aggregate import AGGREGATIONS as AGGREGATIONS
from workbench.ranking.aggregate import knn as knn
from workbench.ranking.aggregate import maximum as maximum
from workbench.ranking.aggregate import mean as mean
from workbench.ranking.aggregate import softmax as softmax
from workbench.ranking.confidence import Confidence as Confidence
from workbench.ranking.confidence import fit_confidence as fit_confidence
from workbench.ranking.fixed_sequence import enough as enough
from workbench.ranking.fixed_sequence import threshold as threshold
from workbench.ranking.fixed_sequence import thresholds as thresholds
from workbench.ranking.rank import decide as decide
from workbench.ranking.rank import first as first
from workbench.ranking.rank import rank as rank
from workbench.ranking.rank import score as score
from workbench.ranking.rank import tie_order as tie_order
