"""Names that desktops, editors and file servers leave in folders."""

import re

_FOREIGN = re.compile(
    r"\..*"  # .DS_Store, ._x of macOS, .nfs... of a file server, .x.swp and .#x of editors
    r"|.*~|#.*#|Icon\r|desktop\.ini|Thumbs\.db"
    r"|.*\(.*conflicted copy.*\).*",  # of a shared folder
    re.IGNORECASE | re.DOTALL,
)


def is_foreign(name: str) -> bool:
    """Whether an entry of a folder is surely no data of a user, by its name."""
    return _FOREIGN.fullmatch(name) is not None
