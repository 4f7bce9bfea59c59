"""One small class for each tracker, and the table of all of them.

A sweep file says which trackers and under which name, never where to connect: that is for the
tracker's own environment variables. Without them everything stays in the results folder.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from orchestrator.execution.tracking.runs import Tracked
from tasks.sources.paths import real

PARAMS, METRICS = 100, 1000
"""What MLflow takes at once."""
LONGEST = 500
"""Characters of a parameter that every store of MLflow takes."""


class Tracker(Protocol):
    """Where runs are written.

    Attributes:
        where: Address of the store.
    """

    where: str

    def write(self, run: Tracked) -> None:
        """Write a cell as one run; an earlier one of the cell in this sweep is replaced."""


class Tensorboard:
    """Event files, one folder a run.

    Args:
        folder: Of the tracker in the results.
        name: Folder of the runs in it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / name
        self.where = str(self._folder)

    def write(self, run: Tracked) -> None:
        """Losses and scores as scalars, settings as text and for the tab `HParams`."""
        from tensorboardX import SummaryWriter

        name = re.sub(r"[^A-Za-z0-9=._ -]", "-", f"{run.name} {run.cell_id[:8]}")
        folder = self._folder / run.sweep / name
        for earlier in folder.glob("events.out.tfevents.*"):
            earlier.unlink()
        # a file of another name than that of the settings, which is made in the same second
        with SummaryWriter(str(folder), filename_suffix=".curves") as writer:
            for tag, step, value in points(run):
                writer.add_scalar(tag, value, step, run.finished_s)
            rows = "".join(f"| {k} | {v} |\n" for k, v in run.settings.items())
            text = f"{run.problem or 'ok'}\n\n| setting | value |\n|---|---|\n{rows}"
            writer.add_text("cell", text, walltime=run.finished_s)
            # "." is this run's own folder: by default it would be a run beside it
            writer.add_hparams(dict(run.settings), dict(run.scores), ".", run.last_step)


class Mlflow:
    """MLflow, at `MLFLOW_TRACKING_URI` or as files.

    Args:
        folder: Of the tracker in the results.
        name: Of the experiment.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.where = os.environ.get("MLFLOW_TRACKING_URI") or real(folder).as_uri()
        self._name = name

    def write(self, run: Tracked) -> None:
        """Settings as parameters, losses and scores as metrics, the sweep as a tag."""
        own = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}
        for variable, value in own.items():
            os.environ.setdefault(variable, value)
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        client = MlflowClient(self.where)
        known = client.get_experiment_by_name(self._name)
        experiment = known.experiment_id if known else client.create_experiment(self._name)
        tags = {"rho_sweep.cell": run.cell_id, "rho_sweep.sweep": run.sweep}
        same = f"tags.`rho_sweep.cell` = '{run.cell_id}'"
        for earlier in client.search_runs([experiment], same):
            if earlier.data.tags.get("rho_sweep.sweep") == run.sweep:
                client.delete_run(earlier.info.run_id)
        began, at = int(run.began_s * 1000), int(run.finished_s * 1000)
        if run.problem:
            tags["rho_sweep.problem"] = run.problem
        made = client.create_run(experiment, began, tags, run.name).info.run_id
        params = [Param(k, str(v)[:LONGEST]) for k, v in run.settings.items()]
        metrics = [Metric(tag, value, at, step) for tag, step, value in points(run)]
        for some in pieces(params, PARAMS):
            client.log_batch(made, params=some)
        for some in pieces(metrics, METRICS):
            client.log_batch(made, metrics=some)
        client.set_terminated(made, "FAILED" if run.problem else "FINISHED", at)


class Wandb:
    """Weights & Biases, offline unless `WANDB_MODE` says otherwise.

    Args:
        folder: Of the tracker in the results.
        name: Of the project.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._mode = os.environ.get("WANDB_MODE", "offline")
        self.where = f"{folder if self._mode == 'offline' else os.environ.get('WANDB_BASE_URL')}"

    def write(self, run: Tracked) -> None:
        """Settings as the configuration, losses as history, scores as the summary."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        key = re.sub(r"[^A-Za-z0-9._-]", "-", f"{run.sweep}-{run.cell_id}")
        # nothing of this process or machine, which is not where the cell ran
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
        )
        # The library makes links beside its files, and a results folder with a link is refused.
        with TemporaryDirectory() as made_in:
            made = wandb.init(
                project=self._name,
                group=run.sweep,
                name=run.name,
                id=key,
                config=dict(run.settings),
                notes=run.problem,
                dir=made_in,
                mode=self._mode,
                resume="allow" if self._mode == "online" else None,
                settings=settings,
            )
            for step, values in by_step(run):
                made.log(values, step=step)
            made.finish(exit_code=1 if run.problem else 0)
            for earlier in self._folder.glob(f"offline-run-*-{key}"):
                shutil.rmtree(earlier)
            for file in Path(made_in).glob(f"wandb/offline-run-*-{key}/*.wandb"):
                target = self._folder / file.parent.name
                target.mkdir(parents=True)
                shutil.copy(file, target)


class Trackio:
    """Trackio, in `TRACKIO_DIR` or the results folder.

    Args:
        folder: Of the tracker in the results.
        name: Of the project.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.where, self._name = os.environ.setdefault("TRACKIO_DIR", str(folder)), name

    def write(self, run: Tracked) -> None:
        """Settings as the configuration, losses and scores as metrics."""
        import trackio

        name = f"{run.name} {run.sweep} {run.cell_id[:8]}"
        with suppress(ValueError):  # the project is not there yet
            for earlier in trackio.Api().runs(self._name):
                if earlier.name == name:
                    earlier.delete()
        trackio.init(
            project=self._name,
            name=name,
            group=run.sweep,
            config={**run.settings, "problem": run.problem},
            embed=False,
            # of this machine, which is not where the cell ran
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        for step, values in by_step(run):
            trackio.log(values, step=step)
        # a run without any number, as of a failed cell, would not be kept
        trackio.log({"scored": float(run.problem is None)}, step=run.last_step)
        trackio.finish()


def points(run: Tracked) -> Iterator[tuple[str, int, float]]:
    """Name, optimizer step and value of every point; scores of the end stand at the last step."""
    ends = ((tag, [(run.last_step, value)]) for tag, value in run.scores.items())
    for tag, curve in chain(run.curves.items(), ends):
        for step, value in curve:
            yield tag, step, float(value)


def by_step(run: Tracked) -> list[tuple[int, dict[str, float]]]:
    """Steps in order, each with the values of its points by name."""
    found: dict[int, dict[str, float]] = {}
    for tag, step, value in points(run):
        found.setdefault(step, {})[tag] = value
    return sorted(found.items())


def pieces(values: Sequence[Any], length: int) -> Iterator[Sequence[Any]]:
    """The values in lists of at most so many."""
    return (values[i : i + length] for i in range(0, len(values), length))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A tracker that a sweep file can name.

    Attributes:
        make: Its class.
        module: What must be installed; the extra of that name installs it.
        keys: Environment variables with secrets that it may read, and no other process.
    """

    make: Callable[[Path, str], Tracker]
    module: str
    keys: tuple[str, ...] = ()


TRACKERS = {
    "mlflow": Kind(
        make=Mlflow,
        module="mlflow",
        keys=("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    ),
    "tensorboard": Kind(make=Tensorboard, module="tensorboardX"),
    "trackio": Kind(make=Trackio, module="trackio", keys=("HF_TOKEN", "TRACKIO_WRITE_TOKEN")),
    "wandb": Kind(make=Wandb, module="wandb", keys=("WANDB_API_KEY",)),
}
"""Field of `track` in a sweep file -> the tracker."""
