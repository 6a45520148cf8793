"""Registration of every pair by models that were not trained on its patients.

Reads prepared images and trained models; labels are neither inputs nor reachable from inputs.
Writes for each chunk a table of the files in fields/<model>/<pair>/.
"""

from tenter import launching


rule infer:
    input:
        images=R / "cases/tables/{chunk}.images.tsv",
        models=lambda wildcards: study.member_files(wildcards.model, wildcards.chunk),
    output:
        table=R / "fields/tables/{model}/{chunk}.tsv",
    log:
        R / "logs/infer/{model}/{chunk}.log",
    benchmark:
        R / "benchmarks/infer/{model}/{chunk}.tsv"
    wildcard_constraints:
        model=study.registered_by("infer"),
    threads: RUNTIME.threads
    resources:
        gpu=launching.gpus_per_job(RUNTIME),
    params:
        rows=lambda wildcards: ROWS.path(wildcards.chunk, "infer"),
        content=lambda wildcards: ROWS.digest(wildcards.chunk, "infer"),
        models=lambda wildcards: study.member_folders(wildcards.model, wildcards.chunk),
        settings=lambda wildcards: study.settings("infer", wildcards.model),
        code=lambda wildcards: study.code("infer", wildcards.model),
        cases=R / "cases",
        fields=str(R / "fields/{model}"),
        runtime=lambda wildcards, input: launching.runtime_flags(RUNTIME, "device"),
    message:
        "register chunk {wildcards.chunk} by {wildcards.model}"
    shell:
        "tenter infer --rows {params.rows:q} --images {input.images:q} --cases {params.cases:q} "
        "--models {params.models:q} --settings {params.settings:q} --code {params.code:q} "
        "--output {params.fields:q} --table {output.table:q} {params.runtime} 2> {log:q}"
