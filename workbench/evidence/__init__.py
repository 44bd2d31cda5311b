"""What a file itself tells of its origin: looked at first, never mixed into a score.

Three places: a signed C2PA manifest (`c2pa`), the generation parameters of front ends
(`parameters`, `frontends`), and the invisible watermark of the Stable Diffusion scripts
(`watermark`). `inspection` asks all three of a file.
"""

from workbench.evidence.base import STATES as STATES
from workbench.evidence.base import Evidence as Evidence
from workbench.evidence.inspection import frame as frame
from workbench.evidence.inspection import inspect as inspect
from workbench.evidence.inspection import parameters as parameters
