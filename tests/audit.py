"""`make audit`: the installed packages against the database of known vulnerabilities, by pip-audit.

pip-audit itself ends well where it could ask nobody, as behind a mirror of PyPI that has no vulnerabilities; here
that is told. The exit status is 1 where a vulnerability was found that is not among `ACCEPTED`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping

#: Vulnerabilities that have no fixed version or do not reach us, by their identifier, with the reason.
ACCEPTED: Mapping[str, str] = {}
#: The packages that PyPI never has under their version: our own.
_OWN = frozenset({"latent-workbench"})
#: What pip-audit says where there is no network.
_UNREACHABLE = ("ConnectionError", "Could not connect", "not redirecting properly", "network may be blocking")


def pip_audit(*options: str) -> subprocess.CompletedProcess[str]:
    """Run pip-audit on the environment of this Python."""
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--desc=off", "--progress-spinner=off"]
    return subprocess.run([*command, *options], capture_output=True, text=True)


def audit(run: Callable[..., subprocess.CompletedProcess[str]] = pip_audit) -> tuple[int, str]:
    """The exit status and what to say.

    Args:
        run: as `pip_audit`.
    """
    done = run(*(f"--ignore-vuln={name}" for name in ACCEPTED))
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if any(sign in done.stderr for sign in _UNREACHABLE):
            return 0, f"audit: NOTHING WAS AUDITED: the database of vulnerabilities cannot be reached ({last})"
        return 2, f"audit: pip-audit failed: {last}"
    asked = [package for package in packages if "vulns" in package]
    skipped = sorted(
        package["name"] for package in packages if "vulns" not in package and package["name"] not in _OWN
    )
    if not asked:
        why = "the index of packages here has no vulnerabilities (a mirror?)"
        return 0, f"audit: NOTHING WAS AUDITED, none of {len(skipped)} packages: {why}"
    found = [_line(package, one) for package in asked for one in package["vulns"]]
    told = [f"audit: {len(asked)} packages audited, {len(found)} vulnerabilities found", *found]
    if skipped:
        told.append(f"not audited, as PyPI has no such version: {', '.join(skipped)}")
    told += [f"accepted: {name}, {why}" for name, why in ACCEPTED.items()]
    return int(bool(found)), "\n".join(told)


def _line(package: Mapping[str, str], vulnerability: Mapping[str, list[str]]) -> str:
    names = ", ".join([str(vulnerability["id"]), *vulnerability.get("aliases", ())])
    fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
    return f"{package['name']} {package['version']}: {names}; fixed in {fixed}"


if __name__ == "__main__":
    status, text = audit()
    print(text)
    sys.exit(status)
