"""From the manifest to prepared cases.

Reads the configuration and the manifest. Writes cohort/plan.json, and for each chunk of
pairs a table of the files prepared in cases/: images by one rule, labels by another, so
that registration needs only the images. Jobs do not read the manifest but a file with the rows
of their own pairs, which is not an input of any rule: `content`, a fingerprint of these rows, and
the files that they name make a job stale.
"""


rule plan:
    output:
        R / "cohort/plan.json",
    log:
        R / "logs/plan.log",
    benchmark:
        R / "benchmarks/plan.tsv"
    localrule: True
    params:
        rows=ROWS.cohort,
        model=study.plan.model_flags(),
        settings=lambda wildcards: study.settings("plan"),
    message:
        "derive the common grid of the cohort"
    shell:
        "tenter plan --rows {params.rows:q} {params.model:q} --settings {params.settings:q} "
        "--output {output:q} 2> {log:q}"


rule prepare_images:
    input:
        plan=PLAN,
        files=lambda wildcards: study.cohort.files(wildcards.chunk, "prepare_images"),
    output:
        table=R / "cases/tables/{chunk}.images.tsv",
    log:
        R / "logs/prepare_images/{chunk}.log",
    benchmark:
        R / "benchmarks/prepare_images/{chunk}.tsv"
    params:
        rows=lambda wildcards: ROWS.path(wildcards.chunk, "prepare_images"),
        content=lambda wildcards: ROWS.digest(wildcards.chunk, "prepare_images"),
        settings=lambda wildcards: study.settings("prepare_images"),
        code=lambda wildcards: study.code("prepare_images"),
        cases=R / "cases",
    message:
        "prepare the images of chunk {wildcards.chunk}"
    shell:
        "tenter prepare-images --rows {params.rows:q} --plan {input.plan:q} "
        "--settings {params.settings:q} --code {params.code:q} --cases {params.cases:q} "
        "--table {output.table:q} 2> {log:q}"


rule prepare_labels:
    input:
        images=R / "cases/tables/{chunk}.images.tsv",
        files=lambda wildcards: study.cohort.files(wildcards.chunk, "prepare_labels"),
    output:
        table=R / "cases/tables/{chunk}.labels.tsv",
    log:
        R / "logs/prepare_labels/{chunk}.log",
    benchmark:
        R / "benchmarks/prepare_labels/{chunk}.tsv"
    params:
        rows=lambda wildcards: ROWS.path(wildcards.chunk, "prepare_labels"),
        content=lambda wildcards: ROWS.digest(wildcards.chunk, "prepare_labels"),
        settings=lambda wildcards: study.settings("prepare_labels"),
        code=lambda wildcards: study.code("prepare_labels"),
        cases=R / "cases",
    message:
        "prepare the labels of chunk {wildcards.chunk}"
    shell:
        "tenter prepare-labels --rows {params.rows:q} --images {input.images:q} "
        "--settings {params.settings:q} --code {params.code:q} --cases {params.cases:q} "
        "--table {output.table:q} 2> {log:q}"


# Prepared cases, which trainings and registrations read. A finished study does not need them.
rule cases:
    input:
        lambda wildcards: Staleness(study).target("cases", workflow.dag),
    localrule: True
    message:
        "all cases are prepared"
