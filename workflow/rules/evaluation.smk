"""Measurement of every registered pair, and its statistics.

Reads the transforms, and the original labels and points of the manifest. Writes metrics.tsv
(long form), summary.tsv, comparison.tsv and challenges.tsv.
"""


rule evaluate:
    input:
        fields=R / "fields/tables/{model}/{chunk}.tsv",
        files=lambda wildcards: study.cohort.files(wildcards.chunk, "evaluate"),
    output:
        R / "metrics/{model}/{chunk}.tsv",
    log:
        R / "logs/evaluate/{model}/{chunk}.log",
    benchmark:
        R / "benchmarks/evaluate/{model}/{chunk}.tsv"
    params:
        rows=lambda wildcards: ROWS.path(wildcards.chunk, "evaluate"),
        content=lambda wildcards: ROWS.digest(wildcards.chunk, "evaluate"),
        fold=lambda wildcards: chunks.tested_by(wildcards.chunk),
        settings=lambda wildcards: study.settings("evaluate"),
        code=lambda wildcards: study.code("evaluate"),
        transforms=str(R / "fields/{model}"),
        labels=str(R / "warped_labels/{model}"),
        points=str(R / "mapped_points/{model}"),
    message:
        "measure chunk {wildcards.chunk} of {wildcards.model}"
    shell:
        "tenter evaluate --rows {params.rows:q} --fields {input.fields:q} "
        "--transforms {params.transforms:q} --model {wildcards.model:q} --fold {params.fold:q} "
        "--settings {params.settings:q} --code {params.code:q} "
        "--warped-labels {params.labels:q} --mapped-points {params.points:q} "
        "--output {output:q} 2> {log:q}"


rule summarise:
    input:
        [R / f"metrics/{name}/{chunk}.tsv" for name in REGISTRARS for chunk in CHUNKS],
    output:
        metrics=R / "metrics.tsv",
        summary=report(
            R / "summary.tsv", caption="../report/summary.rst", category="Results"
        ),
        comparison=report(
            R / "comparison.tsv",
            caption="../report/comparison.rst",
            category="Results",
        ),
        challenges=R / "challenges.tsv",
    log:
        R / "logs/summarise.log",
    benchmark:
        R / "benchmarks/summarise.tsv"
    params:
        settings=lambda wildcards: study.settings("summarise"),
        code=lambda wildcards: study.code("summarise"),
    message:
        f"summarise {study.config.study}"
    shell:
        "tenter summarise --metrics {input:q} --settings {params.settings:q} "
        "--code {params.code:q} --output {output.metrics:q} --summary {output.summary:q} "
        "--comparison {output.comparison:q} --challenges {output.challenges:q} 2> {log:q}"
