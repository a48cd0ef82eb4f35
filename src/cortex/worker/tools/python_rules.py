"""What the numbered Python rules of Bandit (`B602`) and Ruff's port of them (`S602`) mean here.

One table for both tools, since they share the numbers: severity, CWE and family as they count in
a repository scan, which differs from the tools' own: an `assert` or an unqualified program name
is not a security problem by itself and must not stand beside a shell injection.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PythonRule", "python_rule"]


class PythonRule(NamedTuple):
    """`family` None means the family of the CWE."""

    severity: str
    cwe: int
    title: str
    family: str | None = None


_XML = PythonRule("medium", 611, "XML parsed by a module that is open to entity attacks")
_WEAK_HASH = PythonRule("medium", 327, "Weak hash function")
_WEAK_CIPHER = PythonRule("high", 327, "Broken or weak cipher")
_PASSWORD = PythonRule("medium", 259, "Possible password written in the source")
_SQL = PythonRule("medium", 89, "SQL put together from strings")
_MARKUP = PythonRule("medium", 79, "Text marked as safe HTML without escaping")
_QUIET_ERROR = PythonRule("info", 703, "Exception swallowed silently")

_RULES = {
    101: PythonRule("info", 703, "assert is removed when Python optimises", "assert-used"),
    102: PythonRule("medium", 95, "exec runs text as code"),
    103: PythonRule("medium", 732, "File permissions are too open"),
    104: PythonRule("low", 605, "Listens on all network interfaces"),
    105: _PASSWORD,
    106: _PASSWORD,
    107: _PASSWORD,
    108: PythonRule("low", 377, "Fixed path in a temporary folder"),
    110: _QUIET_ERROR,
    112: _QUIET_ERROR,
    113: PythonRule("low", 400, "HTTP request without a timeout"),
    201: PythonRule("high", 94, "Flask debugger left on: it runs code for anybody"),
    202: PythonRule("high", 22, "Archive extracted without checking its paths"),
    301: PythonRule("medium", 502, "pickle can run code from the data that it loads"),
    302: PythonRule("medium", 502, "marshal reads untrusted data"),
    303: _WEAK_HASH,
    304: _WEAK_CIPHER,
    305: PythonRule("high", 327, "Weak cipher mode"),
    306: PythonRule("medium", 377, "mktemp leaves a gap in which another may take the name"),
    307: PythonRule("medium", 95, "eval runs text as code"),
    308: _MARKUP,
    310: PythonRule("low", 22, "URL opened without checking its scheme", "url-scheme"),
    311: PythonRule("low", 330, "Predictable random numbers"),
    312: PythonRule("high", 319, "Telnet sends everything in the clear"),
    321: PythonRule("medium", 319, "FTP sends everything in the clear"),
    323: PythonRule("high", 295, "TLS certificates are not checked"),
    324: _WEAK_HASH,
    501: PythonRule("high", 295, "TLS certificates are not checked"),
    502: PythonRule("high", 327, "Broken SSL or TLS version"),
    503: PythonRule("medium", 327, "Broken SSL or TLS version as a default"),
    504: PythonRule("low", 327, "No TLS version chosen"),
    505: PythonRule("high", 326, "Key is too short"),
    506: PythonRule("high", 502, "yaml.load can build any Python object"),
    507: PythonRule("high", 295, "SSH host keys are not checked"),
    508: PythonRule("medium", 319, "SNMP version without encryption"),
    509: PythonRule("medium", 319, "SNMP without authentication or privacy"),
    601: PythonRule("medium", 78, "Command sent to a remote shell"),
    602: PythonRule("high", 78, "Subprocess started through a shell"),
    603: PythonRule("info", 78, "Subprocess started with arguments to check", "subprocess-use"),
    604: PythonRule("medium", 78, "Function called with shell=True"),
    605: PythonRule("high", 78, "Command run through a shell"),
    606: PythonRule("info", 78, "Process started without a shell", "subprocess-use"),
    607: PythonRule("info", 426, "Program started by a name looked up on PATH", "subprocess-use"),
    608: _SQL,
    609: PythonRule("medium", 78, "Wildcard in a shell command"),
    610: _SQL,
    611: _SQL,
    612: PythonRule("high", 94, "Logging configuration accepted over the network"),
    613: PythonRule("high", 838, "Bidirectional control character hides code", "trojan-source"),
    614: PythonRule("medium", 502, "torch.load can run code from the data that it loads"),
    615: PythonRule("low", 494, "Model downloaded without a pinned revision", "unpinned-download"),
    701: PythonRule("high", 79, "Jinja2 does not escape HTML"),
    702: PythonRule("medium", 79, "Mako does not escape HTML"),
    703: _MARKUP,
    704: _MARKUP,
    **dict.fromkeys(range(313, 320), _XML),
    **dict.fromkeys(
        range(401, 416), PythonRule("info", 1104, "Import to be aware of", "risky-import")
    ),
}


def python_rule(code: str) -> PythonRule | None:
    """The meaning of `B602` or `S602`; None for a number that this table does not know yet."""
    digits = code[1:]
    return _RULES.get(int(digits)) if digits.isdigit() else None
