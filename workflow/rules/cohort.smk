"""From the manifest to prepared cases.

Needs the configuration and the manifest. Gives cohort/{check.json, plan.json, folds.tsv},
and for each chunk of pairs a table of what was prepared below cases/: images by one rule,
labels by another, so that registration can have the first without the second.
The manifest, the folds, the check and the plan are no ordinary inputs of any rule: each
job is stale by its own rows and files alone.
"""


rule check:
    input:
        files=[path for pair in study.pairs for path in pair.files()],
    output:
        R / "cohort/check.json",
    log:
        R / "logs/check.log",
    benchmark:
        R / "benchmarks/check.tsv"
    params:
        config=study.path,
        settings=lambda wildcards: study.settings("check"),
        # Asking for `input` keeps Snakemake from tracking it: `settings` says what makes a check stale.
        content=lambda wildcards, input: canonical(config),
        plan=R / "cohort/plan.json",
        cache=R / "cache/check.json",
    message:
        "check every file of {study.manifest}"
    shell:
        "tenter check {params.config:q} --content {params.content:q} --plan {params.plan:q} "
        "--cache {params.cache:q} --output {output:q} 2> {log:q}"


rule plan:
    input:
        ancient(R / "cohort/check.json"),
    output:
        R / "cohort/plan.json",
    log:
        R / "logs/plan.log",
    benchmark:
        R / "benchmarks/plan.tsv"
    params:
        manifest=study.manifest,
        settings=lambda wildcards: study.settings("plan"),
    message:
        "derive the common grid of the cohort"
    shell:
        "tenter plan --manifest {params.manifest:q} --settings {params.settings:q} --output {output:q} 2> {log:q}"


rule split:
    input:
        ancient(R / "cohort/check.json"),
    output:
        R / "cohort/folds.tsv",
    log:
        R / "logs/split.log",
    benchmark:
        R / "benchmarks/split.tsv"
    params:
        manifest=study.manifest,
        settings=lambda wildcards: study.settings("split"),
        assignment=lambda wildcards: study.split_digest(),
        lock=study.lock,
    message:
        "record the folds of {params.lock}"
    shell:
        "tenter split --manifest {params.manifest:q} --settings {params.settings:q} "
        "--assignment {params.assignment:q} --lock {params.lock:q} --output {output:q} 2> {log:q}"


rule prepare_images:
    input:
        check=ancient(R / "cohort/check.json"),
        plan=ancient(R / "cohort/plan.json"),
        files=lambda wildcards: study.files(
            wildcards.chunk, ["moving", "fixed", "initial_transform"]
        ),
    output:
        table=R / "cases/tables/{chunk}.images.tsv",
    log:
        R / "logs/prepare_images/{chunk}.log",
    benchmark:
        R / "benchmarks/prepare_images/{chunk}.tsv"
    params:
        manifest=study.manifest,
        pairs=lambda wildcards: study.ids(wildcards.chunk),
        rows=lambda wildcards: study.rows(wildcards.chunk),
        settings=lambda wildcards: study.settings("prepare_images"),
        code=lambda wildcards: study.code("prepare_images"),
        cases=R / "cases",
    message:
        "prepare the images of chunk {wildcards.chunk}"
    shell:
        "tenter prepare-images --manifest {params.manifest:q} --pairs {params.pairs:q} --plan {input.plan:q} "
        "--settings {params.settings:q} --code {params.code:q} --cases {params.cases:q} "
        "--table {output.table:q} 2> {log:q}"


rule prepare_labels:
    input:
        images=R / "cases/tables/{chunk}.images.tsv",
        files=lambda wildcards: study.files(
            wildcards.chunk, ["moving_labels", "fixed_labels"]
        ),
    output:
        table=R / "cases/tables/{chunk}.labels.tsv",
    log:
        R / "logs/prepare_labels/{chunk}.log",
    benchmark:
        R / "benchmarks/prepare_labels/{chunk}.tsv"
    params:
        manifest=study.manifest,
        pairs=lambda wildcards: study.ids(wildcards.chunk),
        settings=lambda wildcards: study.settings("prepare_labels"),
        code=lambda wildcards: study.code("prepare_labels"),
        cases=R / "cases",
    message:
        "prepare the labels of chunk {wildcards.chunk}"
    shell:
        "tenter prepare-labels --manifest {params.manifest:q} --pairs {params.pairs:q} --images {input.images:q} "
        "--settings {params.settings:q} --code {params.code:q} --cases {params.cases:q} "
        "--table {output.table:q} 2> {log:q}"
