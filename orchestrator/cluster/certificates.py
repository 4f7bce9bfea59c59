"""Certificates for Ray's connections: one authority per cluster, one certificate per host.

Made with the openssl command; the authority's key is deleted when all are signed.
"""

import ipaddress
import tempfile
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.visible import last_line
from tasks.model import children

DAYS = "825"  # the longest that macOS accepts
LONGEST_CN = 64
"""Characters of a common name (X.509, `ub-common-name`)."""
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def make(cluster: str, addresses: dict[str, str]) -> dict[str, dict[str, str]]:
    """Make the certificates of a new cluster.

    Args:
        cluster: Its name.
        addresses: Host name -> IP address that its certificate names.

    Returns:
        Host name -> `ca.crt`, `node.crt`, `node.key` as PEM.

    Raises:
        UserError: There is no openssl command, or it fails.
    """
    with tempfile.TemporaryDirectory(prefix="rho-sweep-") as place:
        folder = Path(place)
        name = f"rho-sweep {cluster}"[:LONGEST_CN]
        authority = ["-keyout", "ca.key", "-out", "ca.crt", "-subj", f"/CN={name}"]
        _openssl(folder, "req", "-x509", *KEY, *authority, "-days", DAYS)
        made = {}
        for host, address in addresses.items():
            ip = ipaddress.ip_address(address)
            (folder / "names").write_text(f"subjectAltName=IP:{ip},IP:127.0.0.1,DNS:localhost\n")
            request = ["-keyout", "node.key", "-out", "node.csr", "-subj", f"/CN={ip}"]
            _openssl(folder, "req", *KEY, *request)
            signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
            signed += ["-days", DAYS, "-out", "node.crt"]
            _openssl(folder, "x509", "-req", "-in", "node.csr", *signed)
            files = ("ca.crt", "node.crt", "node.key")
            made[host] = {name: (folder / name).read_text() for name in files}
        return made


def _openssl(folder: Path, *arguments: str) -> None:
    try:
        done = children.ran(["openssl", *arguments], cwd=folder)
    except FileNotFoundError:
        raise UserError("tls: true needs the openssl command on this machine") from None
    if done.returncode != 0:
        said = last_line(done.stderr, f"exit code {done.returncode}")
        raise UserError(f"openssl {arguments[0]}: {said}")
