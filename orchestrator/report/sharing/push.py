"""Puts a shared folder on a hub."""

from glob import escape
from pathlib import Path

from orchestrator.errors import UserError
from tasks.contract.cell import importing, reason_of
from tasks.sources.foreign import is_foreign


def push(folder: Path, repo: str, *, data: bool) -> str:
    """Make a private repository if there is none, and commit the folder's files to it.

    Args:
        folder: What `rho-sweep card` wrote.
        repo: `OWNER/NAME`.
        data: Whether it is a data set.

    Returns:
        The address of the commit.

    Raises:
        UserError: The hub refuses, or cannot be reached.
    """
    with importing("huggingface_hub"):
        from huggingface_hub import HfApi

    foreign = [p for p in folder.iterdir() if is_foreign(p.name)]
    kind = "dataset" if data else "model"
    try:
        api = HfApi()
        api.create_repo(repo, repo_type=kind, private=True, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            repo_type=kind,
            commit_message="rho-sweep card",
            ignore_patterns=[f"{escape(p.name)}{'/*' if p.is_dir() else ''}" for p in foreign],
        )
    except Exception as error:  # noqa: BLE001 - a proxy's page or a cut line, as the library has it
        raise UserError(
            f"{repo}: the hub did not take it ({reason_of(error)})",
            f"it is in {folder}; to try again: hf auth login, then the same command",
        ) from None
    return str(done.commit_url)
