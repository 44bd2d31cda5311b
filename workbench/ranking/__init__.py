"""From similarities to a decision: aggregate, rank, decide, and how sure one may be.

``aggregate``: s_k = α({a_k1 … a_kγ}). ``rank``: ranks and ties. ``confidence``: the threshold.
``conformal``: attribution sets, and none of these. ``elimination``: adaptive γ.
"""

from workbench.ranking.aggregate import AGGREGATIONS as AGGREGATIONS
from workbench.ranking.aggregate import knn as knn
from workbench.ranking.aggregate import maximum as maximum
from workbench.ranking.aggregate import mean as mean
from workbench.ranking.aggregate import softmax as softmax
from workbench.ranking.confidence import threshold as threshold
from workbench.ranking.rank import decide as decide
from workbench.ranking.rank import rank as rank
from workbench.ranking.rank import score as score
