"""Models and data of a hub: pinned snapshots, from the local cache or fetched."""

import re
from pathlib import Path

from tasks.contract.cell import NodeError
from tasks.sources import host_copies as content

COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class NotHereError(NodeError):
    """The snapshot is not on this machine and was not to be fetched."""


def snapshot(
    repo: str,
    revision: str | None,
    patterns: tuple[str, ...],
    *,
    data: bool = False,
    download: bool,
) -> Path:
    """Folder of a repository's files at one commit; its name is the commit.

    Args:
        repo: Hub id, e.g. `Qwen/Qwen2.5-7B-Instruct`.
        revision: Commit, tag or branch; None for the default branch.
        patterns: Files that are wanted.
        data: Whether it is a data set rather than a model.
        download: Whether files that are not in the local cache may be fetched.

    Raises:
        NotHereError: Not in the cache, and `download` is false.
        NodeError: The hub does not have it, or cannot be reached.
    """
    kind = content.DATASET if data else content.MODEL
    if copied := content.named(kind, repo, revision):
        return copied
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                repo_type=kind,
                allow_patterns=list(patterns),
                local_files_only=not download,
            )
        )
    except errors.LocalEntryNotFoundError:
        where = f"{repo}@{revision}" if revision else repo
        if not download:
            raise NotHereError(f"{kind} {where} is not on this machine yet") from None
        raise NodeError(
            f"{kind} {where} is not on this machine and the hub cannot be reached; "
            f"try: hf download {repo} --repo-type {kind}"
        ) from None
    except errors.RepositoryNotFoundError:
        raise NodeError(
            f"{kind} {repo}: the hub has no such repository, or it needs `hf auth login`"
        ) from None
    except errors.HFValidationError as error:
        raise NodeError(f"{kind} {repo}: no hub id ({error})") from None
    except (errors.HfHubHTTPError, OSError) as error:
        line = str(error).splitlines()[0]
        raise NodeError(f"{kind} {repo}: cannot be fetched ({line})") from None


def commit_of(repo: str, revision: str | None) -> str:
    """The commit that a model's revision means now.

    Raises:
        NodeError: The hub does not have it, or cannot be reached.
    """
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, errors

    try:
        return str(HfApi().model_info(repo, revision=revision).sha)
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        line = str(error).splitlines()[0]
        raise NodeError(
            f"model {repo}: the hub does not say which commit that is ({line}); "
            "give the commit as model_revision"
        ) from None
