"""Addresses of tracking stores: shown without a login,
and refused where nothing can ever answer.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tenter import addresses, config, files, job_environment
from tenter.errors import InputError
from tenter.study import Study
from tenter.tools.session import opening_commands

PASSWORD = "s3cr3tpw"  # noqa: S105 - what must not be seen

LOGINS = {
    f"http://user:{PASSWORD}@host:5000": "http://***@host:5000",
    f"https://{PASSWORD}@host/mlflow": "https://***@host/mlflow",
    f"http://user:{PASSWORD}/x@host": "http://***@host",
    f"http://user:{PASSWORD}@@host": "http://***@host",
    f"http://user:{PASSWORD} x@host": "http://***@host",
    f"http://us'er:{PASSWORD}@host": "http://***@host",
    f"HTTP://:{PASSWORD}@host": "HTTP://***@host",
    f"postgresql://u:{PASSWORD}@host:5432/db": "postgresql://***@host:5432/db",
    f"mysql+pymysql://u:{PASSWORD}@[::1]/db": "mysql+pymysql://***@[::1]/db",
    f"postgresql://host/db?user=u&password={PASSWORD}": (
        "postgresql://host/db?user=***&password=***"
    ),
    f"htp://user:{PASSWORD}@host": "htp://***@host",
    "http://host:5000": "http://host:5000",
    "sqlite:////home/me@work/mlflow.db": "sqlite:////home/me@work/mlflow.db",
}


@pytest.mark.parametrize(("uri", "expected"), LOGINS.items())
def test_a_login_is_shown_as_stars(uri: str, expected: str) -> None:
    assert addresses.shown(uri) == expected
    assert addresses.shown(expected) == expected


@given(st.text(min_size=4), st.text(min_size=4))
def test_no_password_is_shown_however_it_is_written(user: str, password: str) -> None:
    for login in (f"{user}:{password}", f"{quote(user, '')}:{quote(password, '')}"):
        assert addresses.shown(f"http://{login}@host:5000") == "http://***@host:5000"


@pytest.mark.parametrize("uri", [uri for uri in LOGINS if PASSWORD in uri])
def test_no_message_holds_the_password(uri: str) -> None:
    text = f"request to {uri}/api/2.0 failed: {PASSWORD} is wrong, see <{uri}>"
    assert PASSWORD not in addresses.masked(text, uri)


IMPOSSIBLE = {
    "": "leave `uri` out",
    "htp://host:5000": "no store of scheme htp",
    "ftp://host": "no store of scheme ftp",
    "host:5000": "http://host:5000",
    "localhost": "folder is not a tracking store",
    "./mlruns": "sqlite:///",
    "file:///data/mlruns": "sqlite:///",
    "http://": "names no host",
    "http://:5000": "names no host",
    "http:///page": "names no host",
    "http://host:port": "the port",
    "http://host:0": "the port",
    "http://host:99999": "the port",
    "http://my host:5000": "blanks",
    "http://host:5000/#/experiments/1": "address of a page",
    f"http://user:{PASSWORD}/x@host": "%2F",
    "postgres://host/db": "write postgresql://",
    "postgresql://host": "names no database",
    "postgresql://u:a@b@host/db": "%40",
    "sqlite://folder/mlflow.db": "sqlite:///folder/mlflow.db",
    "sqlite://": "sqlite:///",
    "sqlite:///:memory:": "in memory",
    "sqlite:///folder/": "names a folder",
    "sqlite:///why?/mlflow.db": "question mark",
}


@pytest.mark.parametrize(("uri", "word"), IMPOSSIBLE.items())
def test_an_address_that_can_never_work_is_refused_with_what_to_write(uri: str, word: str) -> None:
    with pytest.raises(InputError) as caught:
        config.parse(
            {"study": "s", "manifest": "m", "models": {"a": {}}, "tracking": {"uri": uri}},
            Path("c"),
        )
    (fault,) = caught.value.faults
    assert fault.column == "tracking.uri"
    assert word in f"{fault.message}; {fault.fix}"
    assert PASSWORD not in str(fault)


POSSIBLE = [
    "http://host:5000",
    "https://host/mlflow/",
    "http://[::1]:5000",
    f"http://user@work.org:{PASSWORD}@host",
    "sqlite:///folder/mlflow.db",
    "sqlite:////abs/my folder/mlflow.db?timeout=30",
    "postgresql://host:5432/db",
    "postgresql+psycopg2:///db",
    "mysql+pymysql://u:p@host/db",
    "databricks",
]


@pytest.mark.parametrize("uri", POSSIBLE)
def test_an_address_that_may_work_is_taken(uri: str) -> None:
    assert addresses.fault(uri) is None


FAULTY = [
    f"tracking: 'http://u:{PASSWORD}@host'",
    f"tracking: ['http://u:{PASSWORD}@host']",
    f"tracking: {{uri: ['http://u:{PASSWORD}@host']}}",
    f"tracking: {{uri: {{server: 'http://u:{PASSWORD}@host'}}}}",
    f"tracking: {{url: 'http://u:{PASSWORD}@host'}}",
    f"tracking: {{uri: 'http://u:{PASSWORD}@host'",
    f"tracking: {{uri: 'http://u:{PASSWORD}@host', uri: x}}",
    f"tracking:\n  uri: http://u:{PASSWORD}@host\n model: x",
]


@pytest.mark.parametrize("text", FAULTY)
def test_no_complaint_about_a_configuration_holds_the_password(tmp_path: Path, text: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"{text}\n")
    with pytest.raises(InputError) as caught:
        config.read(path)
    assert PASSWORD not in str(caught.value)


def study(folder: Path, uri: str) -> Study:
    rows = "pair\tpatient\tmoving_image\tfixed_image\np\tP\tm\tf\nq\tQ\tn\tg\n"
    (folder / "m.tsv").write_text(rows)
    content = {"study": "s", "manifest": "m.tsv", "models": {"a": {}}, "folds": {"count": 2}}
    (folder / "s.yaml").write_text(yaml.safe_dump(content | {"tracking": {"uri": uri}}))
    return Study.load(folder / "s.yaml")


@pytest.mark.parametrize("uri", [f"http://u:{PASSWORD}@host", f"postgresql://u:{PASSWORD}@host/db"])
def test_only_the_environment_of_jobs_holds_the_login(tmp_path: Path, uri: str) -> None:
    made = study(tmp_path, uri)
    content = files.canonical(yaml.safe_load(made.path.read_text()))
    commands = opening_commands(made, content, tmp_path, tmp_path / "t.json")
    environment: dict[str, str] = {}
    job_environment.equip(
        environment, accepted=made.accepted, caches=tmp_path / "caches", tracking=made.tracking.uri
    )
    assert PASSWORD not in str(commands)
    assert PASSWORD not in str(made.tracking)
    assert environment[addresses.VARIABLE] == uri
