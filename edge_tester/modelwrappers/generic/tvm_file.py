"""Any library that this package compiled with TVM (.so)."""

from __future__ import annotations

from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel


class TVMFile(GenericModel, FileModel):
    """Any library that this package compiled with TVM (.so), run as it is."""

    packages = ("tvm",)
    distributions = ("apache-tvm",)
    file_format = "tvm"
    runtime_name = "tvm"
