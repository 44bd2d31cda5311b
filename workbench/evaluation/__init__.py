"""Evaluation of settings: outcomes, metrics, statistics, calibration, benchmarks."""

from workbench.evaluation import benchmark as benchmark
from workbench.evaluation import calibration as calibration
from workbench.evaluation import likelihood as likelihood
from workbench.evaluation import projection as projection
from workbench.evaluation import prompts as prompts
from workbench.evaluation import statistics as statistics
from workbench.evaluation.metrics import confusion as confusion
from workbench.evaluation.metrics import measure as measure
from workbench.evaluation.metrics import outcomes as outcomes
from workbench.evaluation.metrics import set_metrics as set_metrics
from workbench.evaluation.openset import area_interval as area_interval
from workbench.evaluation.openset import auroc as auroc
from workbench.evaluation.openset import oscr as oscr
from workbench.evaluation.openset import oscr_area as oscr_area
from workbench.evaluation.signatures import signature as signature
