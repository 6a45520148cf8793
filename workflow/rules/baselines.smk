"""Registration of every pair by methods without a trained network.

Reads prepared images and, for methods that ask for them, the user's own files; labels are neither
inputs nor reachable from inputs. Writes what `infer` writes, under the name of the baseline.
"""


rule baseline:
    input:
        images=R / "cases/tables/{chunk}.images.tsv",
        sources=lambda wildcards: study.registrars[wildcards.model].sources(
            study.cohort.chunks[wildcards.chunk]
        ),
    output:
        table=R / "fields/tables/{model}/{chunk}.tsv",
    log:
        R / "logs/baseline/{model}/{chunk}.log",
    benchmark:
        R / "benchmarks/baseline/{model}/{chunk}.tsv"
    wildcard_constraints:
        model=study.registered_by("baseline"),
    threads: RUNTIME.threads
    params:
        rows=lambda wildcards: ROWS.path(wildcards.chunk, "baseline"),
        content=lambda wildcards: ROWS.digest(wildcards.chunk, "baseline"),
        settings=lambda wildcards: study.settings("baseline", wildcards.model),
        code=lambda wildcards: study.code("baseline", wildcards.model),
        cases=R / "cases",
        fields=str(R / "fields/{model}"),
    message:
        "register chunk {wildcards.chunk} with the baseline {wildcards.model}"
    shell:
        "tenter baseline --rows {params.rows:q} --images {input.images:q} "
        "--cases {params.cases:q} --sources {input.sources:q} --settings {params.settings:q} "
        "--code {params.code:q} --output {params.fields:q} --table {output.table:q} 2> {log:q}"
