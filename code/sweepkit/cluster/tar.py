"""`tarfile` with the filters that keep an archive's members inside the folder they are unpacked to (PEP 706).

Python has them since 3.11.4; Debian 12 comes with 3.11.2, for which its maintainers keep a copy as `backports.tarfile`.
"""

import tarfile

if not hasattr(tarfile, "data_filter"):
    from backports import tarfile  # type: ignore[no-redef]

__all__ = ["tarfile"]
