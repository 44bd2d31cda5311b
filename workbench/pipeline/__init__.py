"""The stages of attribution as plain functions, frame → frame, each through the store.

x → `invert` → p̂ → `generate` → C_k → `encode` → φ → `similarity` → a_kj, and from there
`workbench.ranking` (Li et al. 2024, arXiv:2403.01489); before all, perhaps, `attack`. Every stage
first asks the store, loads weights only where something is missing, makes that in full batches, and
writes each batch as it comes (`cache`): a killed run loses the batch in the making and the one
being written, and nothing is made twice, not even by two processes at once.
"""

from workbench.pipeline.agreement import agreement as agreement
from workbench.pipeline.aspect import views as views
from workbench.pipeline.attack import attack as attack
from workbench.pipeline.attack import attacked as attacked
from workbench.pipeline.comparison import similarity as similarity
from workbench.pipeline.encoding import encode as encode
from workbench.pipeline.encoding import encode_layers as encode_layers
from workbench.pipeline.encoding import encode_texts as encode_texts
from workbench.pipeline.encoding import pictures_of as pictures_of
from workbench.pipeline.generation import generate as generate
from workbench.pipeline.generation import reconstruct as reconstruct
from workbench.pipeline.generation import redrawn as redrawn
from workbench.pipeline.generation import stored as stored
from workbench.pipeline.inversion import invert as invert
from workbench.pipeline.inversion import inverted as inverted
from workbench.pipeline.queries import attacked_queries as attacked_queries
from workbench.pipeline.queries import make_queries as make_queries
from workbench.pipeline.queries import stored_queries as stored_queries
from workbench.pipeline.treatment import treated as treated
from workbench.pipeline.treatment import treatments as treatments
