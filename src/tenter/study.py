"""A study as the workflow uses it: pairs, folds, chunks, models, settings.

The Snakefile creates one in every job of a cluster, so this module must load quickly: it does not
import torch, MLflow or an image library.
"""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from tenter import addresses, chunks, config, files, finished, folds, manifest, provenance
from tenter.config import Config, PlanRules, Section, TestTime
from tenter.config.yaml_files import beside
from tenter.errors import InputError
from tenter.finished import FinishedModel
from tenter.manifest import pairing
from tenter.manifest.rows import RowFiles
from tenter.records import Pair

ALL = "all"
"""Name of the fold whose model is trained on all patients."""


class Study:
    """A configuration with its cohort, divided into folds and chunks.

    Args:
        settings: the validated configuration.
        path: its file; relative paths in it are relative to the folder of this file.
    """

    def __init__(self, settings: Config, path: Path) -> None:
        self.config = settings
        self.path = path
        self.manifest = beside(path, settings.manifest)
        root = beside(path, settings.data_root) if settings.data_root else None
        drawn = pairing.read_lock(pairs_lock(path))
        self.cohort = manifest.cohort(
            self.manifest, settings.stratum, root, settings.pairing, drawn
        )
        self.pairs = self.cohort.pairs
        self.models = settings.expanded_models()

    @classmethod
    def load(cls, path: Path, content: object = None) -> Study:
        """Read a configuration file (or take its `content`, with overrides) and its manifest.

        Raises:
            InputError: with every fault of the configuration or of the manifest.
        """
        return cls(config.read(path) if content is None else config.parse(content, path), path)

    @property
    def lock(self) -> Path:
        """The lock file of the folds, beside the configuration."""
        return self.path.with_name(f"{self.path.stem}.folds.tsv")

    def record_folds(self, copy: Path) -> None:
        """Write the lock file if it changes, and the study's copy of it."""
        if folds.read_lock(self.lock) != self.assignment:
            folds.write_lock(self.lock, self.assignment)
        folds.write_lock(copy, self.assignment)

    def record_pairs(self, copy: Path) -> None:
        """Write pairs of subjects: to the lock file if they were drawn, to a copy for `plan`."""
        if not self.cohort.subjects:
            return
        ids = sorted(pair.id for pair in self.pairs)
        lock = pairs_lock(self.path)
        if self.config.pairing.pairs_per_subject is not None and pairing.read_lock(lock) != tuple(
            ids
        ):
            pairing.write_lock(lock, ids)
        pairing.write_lock(copy, ids)

    def opening_commands(self, content: str, cohort: Path, tracking: Path) -> list[list[str]]:
        """Commands that must succeed before the first job: the check, and the start of tracking.

        Command lines are public: a login in `tracking.uri` reads `***`, and `equip` passes it on.

        Args:
            content: JSON of the configuration, with overrides from the command line.
            cohort: folder of check.json and plan.json.
            tracking: record of the tracking server.
        """
        check: dict[str, object] = {
            "content": files.canonical(addresses.masked_values(json.loads(content))),
            "plan": cohort / "plan.json",
            "cache": self.results / "cache/check.json",
            "output": cohort / "check.json",
        }
        commands = [["tenter", "check", str(self.path), *_flags(check), "--no-tracking"]]
        if self.models:
            start: dict[str, object] = {
                "uri": addresses.shown(self.tracking_uri),
                "experiment": self.experiment,
                "study": self.config.study,
                "manifest": self.manifest,
                "timeout-s": self.config.tracking.timeout_s,
                "output": tracking,
            }
            commands.append(["tenter", "start-tracking", *_flags(start)])
        return commands

    def plan_is_current(self, plan: Path) -> bool:
        """Whether a plan was made by the current rules, or is that of the applied model."""
        recorded = provenance.recorded(plan) if plan.is_file() else None
        if recorded is None or recorded["settings"] != json.loads(self.settings("plan")):
            return False
        return self.applied_model is None or finished.is_plan(plan, self.applied_model)

    @property
    def results(self) -> Path:
        """Folder of the study's results."""
        return self.config.results / self.config.study

    @functools.cached_property
    def assignment(self) -> dict[str, int]:
        """Patient to fold; empty if a finished model is applied."""
        if self.applied is not None:
            return {}
        rules = self.config.folds
        return folds.assign(
            self.cohort.members, rules.count, rules.seed, folds.read_lock(self.lock)
        )

    @functools.cached_property
    def chunks(self) -> dict[str, tuple[Pair, ...]]:
        """Chunk to its pairs."""
        pairs = self.pairs
        if self.applied is not None:
            pairs = tuple(_as_test(pair) for pair in pairs)
        return chunks.deal(pairs, self.assignment, self.config.chunks.count)

    @property
    def folds(self) -> list[str]:
        """Names of the cross-validation's folds."""
        return [str(fold) for fold in sorted(set(self.assignment.values()))]

    def trained_folds(self, model: str) -> list[str]:
        """Folds for which a model is trained, with `all` if the configuration requests it."""
        return [*self.folds, *([ALL] if self.models[model].final else [])]

    @property
    def applied(self) -> Path | None:
        """Folder of the finished model that registers this cohort, or None."""
        return beside(self.path, self.config.model) if self.config.model else None

    @functools.cached_property
    def applied_model(self) -> FinishedModel | None:
        """The finished model that registers this cohort, or None.

        Raises:
            InputError: with every fault of its folder.
        """
        return None if self.applied is None else finished.load(self.applied)

    @functools.cached_property
    def applied_members(self) -> tuple[Path, ...]:
        """Folders of the finished model's folds.

        Raises:
            InputError: there are no folds.
        """
        return () if self.applied is None else finished.members(self.applied)

    @functools.cached_property
    def plan_rules(self) -> PlanRules:
        """Rules of the plan: those of the configuration, or of the applied model's plan.

        Raises:
            InputError: the model is damaged, or the configuration's `plan` contradicts it.
        """
        if self.applied_model is None:
            return self.config.plan
        faults = finished.conflicts(self.config.plan, self.applied_model, self.path)
        if faults:
            raise InputError(faults)
        return self.applied_model.rules

    def model_flags(self) -> list[str]:
        """Flags of `plan` that name an applied model; they change only when its plan does."""
        model = self.applied_model
        return _flags({"model": model.folder, "model-plan": model.digest}) if model else []

    @property
    def registering_models(self) -> list[str]:
        """Names of all registration methods: models, each followed by its test-time options."""
        return [self.applied.name] if self.applied is not None else self.config.registering_names()

    @functools.cached_property
    def options(self) -> dict[str, tuple[str, TestTime]]:
        """Test-time options by the name of their results: name of the model, and the option."""
        return self.config.options()

    def options_of(self, model: str) -> list[str]:
        """Names of the results of a model's test-time options."""
        return [name for name, (base, _) in self.options.items() if base == model]

    def trained_behind(self, model: str) -> list[str]:
        """Trained models behind a name: a model itself, or the models of a test-time option."""
        base, option = self.options.get(model, (model, None))
        return self.config.seed_names(base) if option is not None and option.ensemble else [base]

    def training_chunks(self, fold: str) -> list[str]:
        """Chunks on which a fold's model may be trained: no patients of that fold or `test`."""
        return [chunk for chunk in self.chunks if chunks.teaches(chunk, fold)]

    def registered_chunks(self) -> list[str]:
        """Chunks whose pairs are registered: those of one fold, and those of set `test`."""
        return [chunk for chunk in self.chunks if chunks.tested_by(chunk) is not None]

    @functools.cached_property
    def registered(self) -> frozenset[str]:
        """Ids of the pairs that are registered."""
        return frozenset(
            pair.id for chunk in self.registered_chunks() for pair in self.chunks[chunk]
        )

    def members(self, models: Path, model: str, chunk: str) -> list[Path]:
        """Folders of the models that register a chunk: of its own fold, or of all folds for `test`.

        For an ensemble of seeds, those of every seed: all seeds have the same folds.

        Args:
            models: folder of this study's models, `<model>/fold-<k>/`.
            model: name of the model, or of a test-time option.
            chunk: name of the chunk.
        """
        if self.applied is not None:
            return list(self.applied_members)
        group = chunks.tested_by(chunk)
        if group is None:
            message = f"chunk {chunk} is of two folds or of set `train`: no model is tested on it"
            raise ValueError(message)
        folds = self.folds if group == chunks.TEST else [group]
        return [
            models / name / f"fold-{fold}" for name in self.trained_behind(model) for fold in folds
        ]

    def files(self, chunk: str, stage: str) -> list[Path]:
        """The files of a chunk's pairs that a stage reads."""
        return manifest.sources(self.chunks[chunk], manifest.SOURCES[stage])

    @property
    def row_files(self) -> RowFiles:
        """Files with the rows of each chunk's pairs, which jobs read."""
        return RowFiles(self.results / "cohort/rows", self.manifest.parent, self.chunks)

    def settings(self, stage: str, model: str | None = None) -> str:
        """Canonical JSON of the settings that a stage takes from the configuration."""
        section = getattr(self, f"_{stage}_settings")
        value: Section = section(model) if model is not None else section()
        return files.canonical(value.model_dump(mode="json"))

    def code(self, stage: str, model: str | None = None) -> str:
        """Fingerprint of a stage's code: in a job as planned, otherwise as accepted or as is."""
        known = provenance.planned_code(stage if model is None else f"{stage}/{model}")
        if known is not None:
            return known
        settings = self.settings(stage, model)
        return provenance.accepted(provenance.fingerprint(stage, settings), self.accepted)

    def codes(self) -> dict[str, str]:
        """Fingerprints of the code of stages that have one, by `<stage>` or `<stage>/<model>`."""
        names = ["prepare_images", "prepare_labels", "evaluate", "summarise", "report"]
        names += [
            *(f"train/{x}" for x in self.models),
            *(f"infer/{x}" for x in self.registering_models),
        ]
        return {name: self.code(*name.split("/")) for name in names}

    @property
    def accepted(self) -> Path:
        """The file of accepted code changes, beside the configuration."""
        return self.path.with_name(f"{self.path.stem}.accepted.json")

    def accepted_digest(self) -> str:
        """Short fingerprint of the accepted code changes, which the report shows."""
        return files.sha256(self.accepted)[:16] if self.accepted.is_file() else ""

    def runtime_flags(self, *names: str) -> str:
        """Flags for computing resources, which do not make a step stale."""
        return " ".join(
            _flags({name.replace("_", "-"): getattr(self.config.runtime, name) for name in names})
        )

    def job_flags(self, tracking: Path, minutes: int | None = None, *, scheduled: bool) -> str:
        """Flags of a training that depend on where it runs: its tracking, and the end of its job.

        Jobs on a cluster do not write to a SQLite database, since network file systems do not lock
        it reliably: `publish` mirrors such a training when it is finished.

        Args:
            tracking: record of the tracking server.
            minutes: time limit of the job.
            scheduled: whether the job runs on a cluster.
        """
        mirrored = not scheduled or not self.tracking_uri.startswith("sqlite:")
        flags: dict[str, object] = {"tracking": tracking} if mirrored else {}
        if scheduled and minutes is not None:
            flags["deadline"] = max(0.0, 60 * minutes - self.config.runtime.margin_s)
        return shlex.join(_flags(flags))

    @property
    def gpus_per_job(self) -> int:
        """GPUs of a training or registration on this machine; on a cluster the profile decides."""
        uses_gpu = self.config.runtime.device != "cpu" and any(Path("/dev").glob("nvidia[0-9]*"))
        return int(uses_gpu)

    @property
    def tracking_uri(self) -> str:
        """Address of the tracking server, or of the database in the results."""
        return self.config.tracking.uri or f"sqlite:///{self.results / 'tracking/mlflow.db'}"

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment."""
        return self.config.tracking.experiment or self.config.study

    def tracking_store(self) -> str:
        """Tracking store as a parameter of `publish`: a new store makes publishing stale."""
        return f"{addresses.shown(self.tracking_uri)} {self.experiment}"

    def _plan_settings(self) -> Section:
        return self.plan_rules

    def _prepare_images_settings(self) -> Section:
        return config.ImageSettings(plan=self.plan_rules)

    def _prepare_labels_settings(self) -> Section:
        return config.LabelSettings(labels=self.config.labels)

    def _train_settings(self, model: str) -> Section:
        chosen = self.models[model]
        return config.TrainSettings(
            network=chosen.network,
            losses=chosen.losses,
            augmentation=chosen.augmentation,
            validation=chosen.validation,
            training=chosen.training,
            seed=chosen.seeds[0],
            warm_start=beside(self.path, chosen.warm_start) if chosen.warm_start else None,
            twins=self.config.labels.twins if chosen.augmentation.mirror else (),
        )

    def _infer_settings(self, model: str) -> Section:
        chosen = self.config.export
        names = config.RegistrationExport.model_fields
        export = config.RegistrationExport.model_validate(
            {name: getattr(chosen, name) for name in names}
        )
        if self.applied_model is None:
            base, option = self.options.get(model, (model, None))
            return config.InferSettings(
                network=self.models[base].network, export=export, test_time=option
            )
        return config.InferSettings(network=self.applied_model.folds[0].network, export=export)

    def _evaluate_settings(self) -> Section:
        return config.EvaluateSettings(
            labels=self.config.labels,
            evaluation=self.config.evaluation,
            warped_labels=self.config.export.warped_labels,
            mapped_points=self.config.export.points,
        )

    def _summarise_settings(self) -> Section:
        return config.SummariseSettings(
            summary=self.config.summary, models=tuple(self.registering_models)
        )

    def _report_settings(self) -> Section:
        return config.ReportSettings(
            study=self.config.study,
            report=self.config.report,
            labels=self.config.labels,
            models=tuple(self.registering_models),
            options=tuple((name, base) for name, (base, _) in self.options.items()),
        )


def pairs_lock(config: Path) -> Path:
    """The lock file of the pairs drawn from subjects, beside the configuration."""
    return config.with_name(f"{config.stem}.pairs.tsv")


def _flags(values: Mapping[str, object]) -> list[str]:
    return [argument for name, value in values.items() for argument in (f"--{name}", str(value))]


def _as_test(pair: Pair) -> Pair:
    values = {name: getattr(pair, name) for name in Pair.__dataclass_fields__}
    return Pair(**(values | {"set": "test", "fold": None}))
