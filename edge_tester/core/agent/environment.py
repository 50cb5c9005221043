"""The environment of a session: what Python, libraries and runtimes read, and no secret."""

from __future__ import annotations

import os
import re
import site
from collections.abc import Mapping
from pathlib import Path

_NAMES = frozenset(
    {
        *("PATH", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
        *("LD_PRELOAD", "SYSTEMROOT"),
    }
)
# Of each the runtimes read a few dozen; EDGE_TESTER_ is for whatever else an owner's modules need.
_PREFIXES = (
    *("LC_", "PYTHON", "EDGE_TESTER_", "MALLOC_", "GLIBC_", "DYLD_", "CUDA", "NVIDIA_", "ROCR_"),
    *("HSA_", "HIP_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "DNNL_", "ONEDNN_", "TBB_"),
    *("TVM_", "TORCH", "PYTORCH_", "TF_", "XLA_", "ORT_", "ONNX", "OPENVINO_", "OV_", "EDGETPU_"),
    *("NUMEXPR_", "NPY_", "XNNPACK_", "OCL_", "VK_", "COREML"),
)
_SECRET = re.compile("TOKEN|KEY|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)


def session_environment(own: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a session process is given of the agent's environment.

    Parameters
    ----------
    own : Path
        Its folder, which becomes its home and the place of its temporary files.
    environment : mapping of str to str, optional
        That of this process by default.
    """
    given = os.environ if environment is None else environment
    kept = {
        name: value
        for name, value in given.items()
        if (name in _NAMES or name.startswith(_PREFIXES)) and not _SECRET.search(name)
    }
    # Packages that were installed for a user alone are found by that user's home.
    kept.setdefault("PYTHONUSERBASE", site.getuserbase())
    return {**kept, "TMPDIR": str(own), "HOME": str(own)}
