"""What can be taken out of a network: channels, attention heads, single weights, whole blocks; each by the same few steps.

A network under way is a ``Network``. A granularity names the *units* that it has left (``there``), lets a criterion score
them (``scores``), and makes the network that keeps only some (``keeping``), or masks that silence the others (``masks``).
"""

from typing import Literal

from joulefront.prune.axes import NO_GROUPS
from joulefront.prune.granularities.blocks import Blocks
from joulefront.prune.granularities.channels import Channels
from joulefront.prune.granularities.network import Granularity, Network, There, check_excluded
from joulefront.prune.granularities.weights import Weights, sparsity_of

Name = Literal["channel", "head", "weight", "block"]

__all__ = [
    "NO_GROUPS",
    "Blocks",
    "Channels",
    "Granularity",
    "Name",
    "Network",
    "There",
    "Weights",
    "check_excluded",
    "sparsity_of",
]
