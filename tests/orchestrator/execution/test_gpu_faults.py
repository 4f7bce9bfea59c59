"""A fault of the GPU is a lost process: the cell is retried, and elsewhere after the second one.

The texts are from public reports of MLX on Macs, and from the names in Apple's IOGPU; none was
recorded by us.
"""

import pytest

from orchestrator.execution.engines.base import Ended, InlineEngine
from orchestrator.execution.gpu_faults import FAULTS, OTHER, gpu_fault
from orchestrator.execution.scheduling.hosts import HostUp
from tests.builders import a_failure, a_result
from tests.orchestrator.execution.test_run import SPECS, Script, ok, outcomes, run, work

FAILED = "RuntimeError: [METAL] Command buffer execution failed: "
CODE = "kIOGPUCommandBufferCallbackError"
TEXTS = {
    f"{FAILED}Insufficient Memory (00000008:{CODE}OutOfMemory)": "out of memory",
    f"{FAILED}Speicher reicht nicht (00000008:{CODE}OutOfMemory)": "out of memory",
    "RuntimeError: [malloc_or_wait] Unable to allocate 4294967296 bytes.": "out of memory",
    "RuntimeError: [malloc] Unable to allocate 4294967296 bytes.": "out of memory",
    f"{FAILED}Impacting Interactivity (0000000e:{CODE}ImpactingInteractivity)": "display",
    f"{FAILED}Caused GPU Timeout Error (00000002:{CODE}Timeout)": "took too long",
    f"{FAILED}Caused GPU Hang Error (00000003:{CODE}Hang)": "took too long",
    f"{FAILED}Discarded (victim of GPU error/recovery) (00000005:{CODE}InnocentVictim)": "another",
    f"{FAILED}Ignored (for causing prior/excessive GPU errors) "
    f"(00000004:{CODE}SubmissionsIgnored)": ("no more work"),
    f"{FAILED}Insufficient Permission (to submit GPU work from background) (00000006:{CODE}"
    "BackgroundExecutionNotPermitted)": "background",
    f"{FAILED}Internal Error (0000000e:Internal Error)": "the GPU failed",
    f"NodeError: /m: mlx-lm cannot load this model ({FAILED}x)": "the GPU failed",
}
THEIR_OWN = [
    "DivergedError: a loss is not finite",
    "RuntimeError: [metal::malloc] Attempting to allocate 9 bytes which is greater than the "
    "maximum allowed buffer size of 8 bytes.",  # the same everywhere
    "RuntimeError: [matmul] Last dimension of first input with shape (1,2)",
    "ValueError: the text says insufficient memory",
]


@pytest.mark.parametrize(("text", "kind"), TEXTS.items())
def test_a_fault_is_named_with_advice(text, kind):
    found = gpu_fault(text)
    assert kind in found
    assert "RuntimeError: [METAL]" not in found.removeprefix("NodeError")[:60]
    assert any(found.endswith(fault.advice) for fault in (*FAULTS, OTHER))


@pytest.mark.parametrize("text", THEIR_OWN)
def test_an_error_of_the_cell_is_none(text):
    assert gpu_fault(text) is None


MEMORY, *_ = TEXTS


def test_a_fault_raised_in_a_cell_is_a_lost_attempt_and_the_cell_goes_on(tmp_path, monkeypatch):
    texts = iter([MEMORY.partition(": ")[2], None])

    def cell(spec, *_):
        if text := next(texts):
            raise RuntimeError(text)
        return a_result(spec)

    monkeypatch.setattr("tasks.cell.run", cell)
    store = run(tmp_path, InlineEngine(), work(1))
    (_, lost, why), done = outcomes(store)
    assert lost == "lost"
    assert why.startswith("the GPU was out of memory ([METAL]")
    assert "fewer slots" in why
    assert done == (2, "ok", None)


def test_the_third_attempt_is_on_another_host_and_the_limit_holds(tmp_path, capsys):
    def fault(attempt, i=0):
        return Ended(SPECS[i].cell_id, attempt, a_failure(SPECS[i], message=MEMORY))

    two = [HostUp("m1", 1), HostUp("m2", 1)]
    engine = Script(two, [fault(1)], [], [fault(2)], [], [ok(0, 3)])
    run(tmp_path, engine, work(1))
    hosts = [host for _, host, _ in engine.started]
    assert hosts[2] not in hosts[:2] or len(set(hosts[:2])) == 2
    engine = Script(two[:1], [fault(1)], [], [fault(2)], [], [fault(3)])
    store = run(tmp_path / "again", engine, work(1))
    (row,) = store.rows("cells")
    assert row["status"] == "failed"
    assert row["message"].endswith("or end other programs; given up after attempt 3")


def test_a_fault_of_a_second_copy_says_nothing_about_the_first(tmp_path, capsys):
    two = [HostUp("m1", 1), HostUp("m2", 1)]
    late = Ended(SPECS[0].cell_id, 2, a_failure(SPECS[0], message=MEMORY))
    store = run(tmp_path, Script(two, [], [ok(0)], [late]), work(1))
    assert "another result" not in capsys.readouterr().err
    assert {o for _, o, _ in outcomes(store)} <= {"ok", "cancelled"}
