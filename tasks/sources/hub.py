"""Models and data of a hub: pinned snapshots, from the local cache or fetched."""

import re
from pathlib import Path

from tasks.contract.cell import NodeError, importing, reason_of, without_names
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
    with importing("huggingface_hub"):
        from huggingface_hub import errors, snapshot_download

    where = f"{kind} {repo}@{revision}" if revision else f"{kind} {repo}"
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
    except Exception as error:  # a proxy's page or a cut line reaches us as the library meets it
        if isinstance(error, errors.LocalEntryNotFoundError) and not download:
            raise NotHereError(f"{where} is not on this machine yet") from None
        raise NodeError(f"{where} {_refusal(error, kind, repo, revision)}") from error


def commit_of(repo: str, revision: str | None) -> str:
    """The commit that a model's revision means now.

    Raises:
        NodeError: The hub does not have it, or cannot be reached.
    """
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    with importing("huggingface_hub"):
        from huggingface_hub import HfApi

    try:
        return str(HfApi().model_info(repo, revision=revision).sha)
    except Exception as error:  # as above
        said = _refusal(error, content.MODEL, repo, revision)
        raise NodeError(
            f"model {repo} {said}; or give its commit as model_revision, then the hub is not asked"
        ) from error


def _refusal(error: Exception, kind: str, repo: str, revision: str | None) -> str:
    """Why nothing came from the hub, and what to do."""
    from huggingface_hub import constants, errors

    cause: BaseException = error
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        cause = error.__cause__  # what the library met before it looked into its cache
    at = f" --revision {revision}" if revision else ""
    fetch = f"hf download {repo} --repo-type {kind}{at}"
    hub = without_names(constants.ENDPOINT)
    page = f"{hub}/{'datasets/' if kind == content.DATASET else ''}{repo}"
    match cause:
        case errors.GatedRepoError():
            return f"is gated; accept its conditions at {page}, then: hf auth login"
        case errors.RevisionNotFoundError():
            return f"has no revision {revision} on the hub; see {page}/commits"
        case errors.RepositoryNotFoundError():
            return f"is not on the hub, or it needs `hf auth login`; see {page}"
        case errors.HFValidationError():
            return f"is no hub id ({cause})"
        case errors.OfflineModeIsEnabled():
            return (
                "is not on this machine and the hub may not be asked: HF_HUB_OFFLINE=1 is set; "
                f"unset it and try: {fetch}"
            )
        case errors.HfHubHTTPError() if cause.response.status_code in (401, 403):
            return f"is refused by the hub ({reason_of(cause)}); see {page}, or: hf auth login"
        case OSError() if cause.errno is not None and not isinstance(cause, ConnectionError):
            return (
                f"cannot be kept in {constants.HF_HUB_CACHE} ({cause.strerror}); "
                "make room there, or set HF_HOME to another folder"
            )
        case _:
            return (
                f"is not on this machine and the hub did not give it ({reason_of(cause)}); "
                f"try: {fetch}"
            )
