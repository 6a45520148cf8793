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
        images=lambda wildcards: study.training_tables(wildcards.fold, "images"),
        labels=lambda wildcards: study.training_tables(wildcards.fold, "labels"),
    output:
        weights=R / "models/{model}/fold-{fold}/model.safetensors",
        model=R / "models/{model}/fold-{fold}/model.json",
        history=R / "models/{model}/fold-{fold}/history.csv",
    log:
        R / "logs/train/{model}/fold-{fold}.log",
    benchmark:
        R / "benchmarks/train/{model}/fold-{fold}.tsv"
    threads: RUNTIME.threads * RUNTIME.devices
    resources:
        **launching.resources(RUNTIME),
    params:
        cases=R / "cases",
        settings=lambda wildcards: study.settings("train", wildcards.model),
        code=lambda wildcards: study.code("train", wildcards.model),
        folder=str(R / "models/{model}/fold-{fold}"),
        checkpoints=str(R / "checkpoints/{model}/fold-{fold}"),
        command=lambda wildcards, input, resources: session.train_command(resources),
    message:
        "train {wildcards.model}, fold {wildcards.fold} (follow with: tail -f {log:q})"
    shell:
        "{params.command} --images {input.images:q} --labels {input.labels:q} "
        "--cases {params.cases:q} --plan {input.plan:q} --fold {wildcards.fold:q} "
        "--settings {params.settings:q} --code {params.code:q} --output {params.folder:q} "
        "--checkpoints {params.checkpoints:q} 2>> {log:q}"
