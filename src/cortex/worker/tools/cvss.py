"""The base score of a CVSS 3 vector, by section 7 of the CVSS v3.1 specification (first.org)."""

from __future__ import annotations

import math

__all__ = ["base_score"]

_ATTACK_VECTOR = {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2}
_COMPLEXITY = {"L": 0.77, "H": 0.44}
_INTERACTION = {"N": 0.85, "R": 0.62}
_IMPACT = {"H": 0.56, "L": 0.22, "N": 0.0}
_PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}


def base_score(vector: str) -> float | None:
    """0.0 to 10.0 for a vector such as `CVSS:3.1/AV:N/…`; None for anything else, CVSS 4 too."""
    if not vector.startswith(("CVSS:3.0/", "CVSS:3.1/")):
        return None
    metrics = dict(part.split(":", 1) for part in vector.split("/")[1:] if ":" in part)
    try:
        scope = metrics["S"]
        rest = 1.0
        for name in ("C", "I", "A"):
            rest *= 1 - _IMPACT[metrics[name]]
        exploitability = (
            8.22
            * _ATTACK_VECTOR[metrics["AV"]]
            * _COMPLEXITY[metrics["AC"]]
            * _PRIVILEGES[scope][metrics["PR"]]
            * _INTERACTION[metrics["UI"]]
        )
    except KeyError:
        return None
    base = 1 - rest
    if scope == "U":
        impact = 6.42 * base
        total = impact + exploitability
    else:
        impact = 7.52 * (base - 0.029) - 3.25 * (base - 0.02) ** 15
        total = 1.08 * (impact + exploitability)
    return 0.0 if impact <= 0 else _round_up(min(total, 10.0))


def _round_up(value: float) -> float:
    """Up to one decimal, in whole hundred-thousandths so that 4.000001 of a float is not 4.1."""
    whole = round(value * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (math.floor(whole / 10_000) + 1) / 10
