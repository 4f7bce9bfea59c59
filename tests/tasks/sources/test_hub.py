"""What a hub may answer: the model, or one sentence with a next step."""

import resource
import shutil

import pytest
from huggingface_hub import constants

from tasks.contract.cell import NodeError
from tasks.sources.hub import NotHereError, commit_of
from tasks.sources.model_files import SHIPPED, locate
from tests.tasks.sources.stand_in import ANSWERS, BODIES, COMMIT, serving

TINY = SHIPPED["tiny"]
GATED = "model o/m is gated; accept its conditions at http://127.0.0.1"
ABSENT = "model o/m is not on this machine and the hub did not give it"
SAYS = dict.fromkeys((*ANSWERS, *BODIES, "silent", "no file"), ABSENT) | {
    "no token": "model o/m is refused by the hub",
    "gated": GATED,
    "gated, no token": GATED,
    "no such repository": "model o/m is not on the hub, or it needs `hf auth login`",
    "no such revision": "model o/m has no revision None on the hub; see http://127.0.0.1",
    "disabled": "model o/m is refused by the hub",
}


@pytest.fixture
def hub(no_hub, monkeypatch):
    with serving(TINY, monkeypatch) as hub:
        yield hub


def one_sentence(error: pytest.ExceptionInfo) -> str:
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < 600
    return said


@pytest.mark.parametrize("fault", SAYS)
def test_a_model_that_the_hub_does_not_give_is_one_sentence(hub, fault):
    hub.fault = fault
    with pytest.raises(NodeError) as error:
        locate("o/m", None, download=True)
    assert one_sentence(error).startswith(SAYS[fault])
    if fault != "no file":
        with pytest.raises(NodeError, match="or give its commit as model_revision") as error:
            commit_of("o/m", None)
        one_sentence(error)


@pytest.mark.parametrize("fault", ["no token", "gated", "no such repository", "disabled", "busy"])
def test_a_password_in_the_address_of_the_hub_is_in_no_message(hub, fault, monkeypatch):
    hub.fault = fault
    address = constants.ENDPOINT.replace("://", "://user:secret@")
    monkeypatch.setattr(constants, "ENDPOINT", address)
    for ask in (lambda: locate("o/m", None, download=True), lambda: commit_of("o/m", None)):
        with pytest.raises(NodeError) as error:
            ask()
        assert "secret" not in one_sentence(error)


def test_a_revision_that_the_hub_does_not_have_is_named(hub):
    hub.fault = "no such revision"
    with pytest.raises(NodeError, match="o/m@v9 has no revision v9 on the hub"):
        locate("o/m", "v9", download=True)


@pytest.mark.parametrize("fault", ["down", "silent", "a page of a hotel", "no token", "gated"])
def test_a_model_with_a_commit_that_is_here_asks_no_hub(hub, fault):
    first, files = locate("o/m", COMMIT, download=True)
    assert files.digest == locate("tiny", None, download=False)[1].digest
    hub.fault = fault
    assert locate("o/m", COMMIT, download=False)[0] == first


def test_what_a_download_that_was_cut_off_left_is_no_model_and_the_next_one_is_whole(
    hub, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.fault = "cut"
    with pytest.raises(NodeError) as error:
        locate("o/m", None, download=True)
    assert ABSENT in one_sentence(error)
    with pytest.raises(NotHereError):
        locate("o/m", None, download=False)
    hub.fault = ""
    files = locate("o/m", None, download=True)[1]
    assert files.digest == locate("tiny", None, download=False)[1].digest


def test_a_disk_that_takes_no_more_is_one_sentence_with_the_folder(hub, no_hub):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))  # a file system says EFBIG
    try:
        with pytest.raises(NodeError) as error:
            locate("o/m", None, download=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = one_sentence(error)
    assert said.startswith(f"model o/m cannot be kept in {no_hub} (")
    assert "set HF_HOME" in said


def test_a_cache_that_is_no_folder_is_one_sentence(hub, no_hub):
    no_hub.write_text("")
    with pytest.raises(NodeError, match="cannot be kept in"):
        locate("o/m", None, download=True)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_file_in_the_cache_is_named_with_the_next_step(hub, name):
    folder = locate("o/m", None, download=True)[1].folder
    (folder / name).resolve().write_bytes(b"")
    with pytest.raises(NodeError) as error:
        locate("o/m", None, download=False)
    assert str(folder / name) in one_sentence(error)
    command, _, wrong = str(error.value).rpartition(": ")[2].rpartition(" ")
    assert command == "rm -r"
    shutil.rmtree(wrong)
    locate("o/m", None, download=True)


def test_offline_says_which_variable_forbids_it(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for revision in (None, COMMIT):
        with pytest.raises(
            NodeError, match="HF_HUB_OFFLINE=1 is set; unset it and try: hf download"
        ):
            locate("o/m", revision, download=True)
