"""The results for people: the report, and the mirror of every run in MLflow.

Reads the statistics, the models and a few pairs' images and fields. Writes report.html and
tracking/<model>.txt, which says how to open the model's folds in MLflow, with
tracking/<model>.json beside it, which lists its runs.
"""


report: "../report/workflow.rst"


HISTORIES = [
    R / f"models/{model}/fold-{fold}/history.csv"
    for model in study.models
    for fold in study.trained_folds(model)
]


rule report:
    input:
        metrics=R / "metrics.tsv",
        summary=R / "summary.tsv",
        comparison=R / "comparison.tsv",
        challenges=R / "challenges.tsv",
        plan=PLAN,
        histories=HISTORIES,
    output:
        report(R / "report.html", caption="../report/report.rst", category="Report"),
    log:
        R / "logs/report.log",
    benchmark:
        R / "benchmarks/report.tsv"
    params:
        settings=lambda wildcards: study.settings("report"),
        code=lambda wildcards: study.code("report"),
        accepted=lambda wildcards: study.accepted_digest(),
        results=R,
        folds=lambda wildcards: (
            ["--folds", str(R / "cohort/folds.tsv")] if study.cohort.is_divided else []
        ),
    message:
        f"write the report of {study.config.study}"
    shell:
        "tenter report --metrics {input.metrics:q} --summary {input.summary:q} "
        "--comparison {input.comparison:q} --challenges {input.challenges:q} --plan {input.plan:q} "
        "{params.folds:q} --results {params.results:q} --settings {params.settings:q} "
        "--code {params.code:q} --output {output:q} 2> {log:q}"


# The command finds further files that it reads through the configuration.
rule publish:
    input:
        models=lambda wildcards: [
            R / f"models/{wildcards.model}/fold-{fold}/model.json"
            for fold in study.trained_folds(wildcards.model)
        ],
        metrics=R / "metrics.tsv",
        summary=R / "summary.tsv",
        comparison=R / "comparison.tsv",
        page=R / "report.html",
    output:
        R / "tracking/{model}.txt",
    log:
        R / "logs/publish/{model}.log",
    benchmark:
        R / "benchmarks/publish/{model}.tsv"
    localrule: True
    params:
        config=lambda wildcards, input: str(study.path),
        overrides=lambda wildcards, input: session.overrides,
        options=lambda wildcards: study.options_of(wildcards.model),
        store=lambda wildcards: str(study.tracking),
        rebuild=lambda wildcards: f"--rebuild {session.rebuilds.get(wildcards.model, 0)}",
    message:
        "mirror {wildcards.model} to MLflow"
    shell:
        "tenter publish {params.config:q} {params.overrides:q} --models {wildcards.model:q} "
        "{params.rebuild} > {log:q} 2>&1"
