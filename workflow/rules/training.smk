"""One training for each model and fold.

Reads the prepared images and labels of the fold's training chunks. Writes
models/<model>/fold-<k>/{model.safetensors, model.json, history.csv}. Checkpoints lie in a
folder that is not an output: Snakemake deletes the outputs of failed jobs, but training must
resume from its checkpoints. Snakemake does not track parameters that take `input`: where and how
long a job runs makes nothing stale.
"""

from tenter import launching


rule train:
    input:
        plan=PLAN,
        images=lambda wildcards: [
            R / f"cases/tables/{chunk}.images.tsv"
            for chunk in study.training_chunks(wildcards.fold)
        ],
        labels=lambda wildcards: [
            R / f"cases/tables/{chunk}.labels.tsv"
            for chunk in study.training_chunks(wildcards.fold)
        ],
    output:
        weights=R / "models/{model}/fold-{fold}/model.safetensors",
        model=R / "models/{model}/fold-{fold}/model.json",
        history=R / "models/{model}/fold-{fold}/history.csv",
    log:
        R / "logs/train/{model}/fold-{fold}.log",
    benchmark:
        R / "benchmarks/train/{model}/fold-{fold}.tsv"
    threads: study.config.runtime.threads * study.config.runtime.devices
    resources:
        **launching.resources(study.config.runtime),
        gpu=launching.gpus_per_job(study.config.runtime) * study.config.runtime.devices,
    params:
        cases=R / "cases",
        settings=lambda wildcards: study.settings("train", wildcards.model),
        code=lambda wildcards: study.code("train", wildcards.model),
        folder=str(R / "models/{model}/fold-{fold}"),
        checkpoints=str(R / "checkpoints/{model}/fold-{fold}"),
        runtime=lambda wildcards, input: launching.runtime_flags(
            study.config.runtime,
            "device",
            "execution",
            "memory_format",
            "checkpoint_s",
            "log_every",
        ),
        launcher=lambda wildcards, input: launching.command(study.config.runtime),
        job=lambda wildcards, input, resources: launching.job_flags(
            study.config.runtime,
            study.tracking_uri,
            session.tracking,
            resources.get("runtime"),
            scheduled=workflow.remote_exec,
        ),
    message:
        "train {wildcards.model}, fold {wildcards.fold} (follow with: tail -f {log:q})"
    shell:
        "{params.launcher} tenter train --images {input.images:q} --labels {input.labels:q} "
        "--cases {params.cases:q} --plan {input.plan:q} --fold {wildcards.fold:q} "
        "--settings {params.settings:q} --code {params.code:q} --output {params.folder:q} "
        "--checkpoints {params.checkpoints:q} {params.runtime} {params.job} 2>> {log:q}"
