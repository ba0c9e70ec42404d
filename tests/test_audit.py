"""The audit of packages fails on what it finds, and says so where it could ask nobody."""

from __future__ import annotations

import json
from subprocess import CompletedProcess

import pytest

from tests import audit

SOUND = {"name": "numpy", "version": "2.4.6", "vulns": []}
HURT = {
    "name": "jinja2",
    "version": "3.1.2",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.1.3"], "aliases": ["CVE-1"]}],
}
OWN = {"name": "latent-workbench", "skip_reason": "not found on PyPI"}
UNKNOWN = {"name": "torch", "skip_reason": "not found on PyPI"}


def said(*packages: object, stdout: str | None = None, stderr: str = "", code: int = 0) -> tuple[int, str]:
    text = json.dumps({"dependencies": packages, "fixes": []}) if stdout is None else stdout
    return audit.audit(lambda *options: CompletedProcess([], code, text, stderr))


def test_packages_without_known_vulnerabilities_pass():
    status, text = said(SOUND, OWN)
    assert status == 0 and text == "audit: 1 packages audited, 0 vulnerabilities found"


def test_a_vulnerability_fails_and_is_listed_with_the_version_that_mends_it():
    status, text = said(SOUND, HURT, code=1)
    assert status == 1 and "jinja2 3.1.2: PYSEC-1, CVE-1; fixed in 3.1.3" in text


def test_packages_that_the_database_does_not_know_are_named():
    status, text = said(SOUND, UNKNOWN, OWN)
    assert status == 0 and text.endswith("not audited, as PyPI has no such version: torch")


@pytest.mark.parametrize(
    "stderr", ["requests.exceptions.ConnectionError: Failed to resolve", "Could not connect to PyPI"]
)
def test_without_a_network_it_says_that_nothing_was_audited(stderr):
    status, text = said(stdout="", stderr=stderr, code=1)
    assert status == 0 and "NOTHING WAS AUDITED" in text and stderr in text


def test_a_mirror_without_vulnerabilities_is_no_audit():
    status, text = said(UNKNOWN, OWN)
    assert status == 0 and "NOTHING WAS AUDITED, none of 1 packages" in text


def test_any_other_failure_of_pip_audit_fails():
    assert said(stdout="", stderr="error: unrecognized arguments", code=2)[0] == 2


def test_what_is_accepted_is_told_to_pip_audit_and_shown(monkeypatch):
    monkeypatch.setattr(audit, "ACCEPTED", {"PYSEC-1": "no path of ours renders templates of others"})
    options: list[str] = []

    def run(*given: str) -> CompletedProcess[str]:
        options.extend(given)
        return CompletedProcess([], 0, json.dumps({"dependencies": [SOUND]}), "")

    assert "accepted: PYSEC-1, no path of ours" in audit.audit(run)[1]
    assert options == ["--ignore-vuln=PYSEC-1"]
