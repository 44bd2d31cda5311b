"""The main job: pictures in, a ranking of the candidate models and a verdict out.

``attribute``: the call. ``result``: its data. ``verdict``: what it says. ``report``: the page.
``replay``: a run made again. ``fitting``: what learns, fitted on calibration pictures. ``plan`` is
`catalogue.setting.settle`, which settles the options of a call before any work.
"""

from workbench.attribution import replay as replay
from workbench.attribution import report as report
from workbench.attribution import verdict as verdict
from workbench.attribution.attribute import attribute as attribute
from workbench.attribution.result import Attribution as Attribution
from workbench.attribution.result import Candidate as Candidate
from workbench.attribution.result import Case as Case
from workbench.catalogue.setting import settle

plan = settle
