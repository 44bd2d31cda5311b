"""Evidence of origin in the file itself: read first, never mixed into a score.

Five places: a signed C2PA manifest (`c2pa`), the generation parameters of front ends (`parameters`,
`frontends`, `comfyui`, `infotext`), the invisible watermark of the Stable Diffusion scripts
(`watermark`), the makers that XMP, IPTC and EXIF name (`origin`), and traces of past compression
and enlarging (`traces`, by `quantisation` and `resampling`). `inspection` asks all five of a file,
and tells what was done to its colours.
"""

from workbench.evidence.base import STATES as STATES
from workbench.evidence.base import Evidence as Evidence
from workbench.evidence.inspection import frame as frame
from workbench.evidence.inspection import inspect as inspect
from workbench.evidence.inspection import parameters as parameters
