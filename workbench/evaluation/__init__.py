"""How well a setting does: outcomes, metrics, statistics, calibration, benchmarks."""

from workbench.evaluation.metrics import confusion as confusion
from workbench.evaluation.metrics import measure as measure
from workbench.evaluation.metrics import outcomes as outcomes
from workbench.evaluation.metrics import set_metrics as set_metrics
from workbench.evaluation.openset import auroc as auroc
from workbench.evaluation.openset import oscr as oscr
from workbench.evaluation.openset import oscr_area as oscr_area
from workbench.evaluation.signatures import signature as signature
