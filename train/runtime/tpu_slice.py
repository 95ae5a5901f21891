"""How many hosts the TPU slice of this machine has: each of them runs one process of a run.

A slice is what `jax.distributed` joins by itself, from the same sources as these
(jax/_src/clusters/cloud_tpu_cluster.py).
"""

import urllib.request
from collections.abc import Mapping
from pathlib import Path

_METADATA = "computeMetadata/v1/instance/attributes/worker-network-endpoints"
_SECONDS_TO_ANSWER = 2


def count_hosts(environment: Mapping[str, str], devices: int, chips: int) -> int:
    """Return the number of hosts, 1 where nothing says that there are more.

    Args:
      environment: of this process. GKE lists the hosts there.
      devices: of the run. If this machine has as many chips, nobody else is asked.
      chips: the number of TPU chips in this machine.
    """
    if not chips:
        return 1
    listed = _listed_hosts(environment)
    if listed is None and devices > chips and "TPU_SKIP_MDS_QUERY" not in environment:
        listed = _ask_metadata_server(environment)
    slices = environment.get("MEGASCALE_NUM_SLICES", "")
    return len((listed or "one").split(",")) * (int(slices) if slices.isdecimal() else 1)


def _listed_hosts(environment: Mapping[str, str]) -> str | None:
    """Return the hosts that GKE lists, with commas; None elsewhere."""
    path = environment.get("TPU_PROCESS_ADDRESSES_PATH")
    if path and Path(path).is_file():
        return Path(path).read_text().strip()
    return environment.get("TPU_PROCESS_ADDRESSES", environment.get("TPU_WORKER_HOSTNAMES"))


def _ask_metadata_server(environment: Mapping[str, str]) -> str | None:
    """Return the hosts that Google's metadata server lists; None where there is no such server."""
    host = environment.get("GCE_METADATA_IP", "metadata.google.internal")
    request = urllib.request.Request(
        f"http://{host}/{_METADATA}", headers={"Metadata-Flavor": "Google"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER) as answer:
            return answer.read().decode()
    except (OSError, ValueError):
        return None
