"""What a file itself tells of its origin: looked at first, never mixed into a score.

Five places: a signed C2PA manifest (`c2pa`), the generation parameters of front ends (`parameters`,
`frontends`, `comfyui`, `infotext`), the invisible watermark of the Stable Diffusion scripts
(`watermark`), the makers that XMP, IPTC and EXIF name (`origin`), and traces of past compression
(`traces`). `inspection` asks all five of a file.
"""

from workbench.evidence.base import STATES as STATES
from workbench.evidence.base import Evidence as Evidence
from workbench.evidence.inspection import frame as frame
from workbench.evidence.inspection import inspect as inspect
from workbench.evidence.inspection import parameters as parameters
