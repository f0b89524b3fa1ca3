"""A kubeconfig with everything embedded, as kubectl and client libraries read it."""

from __future__ import annotations

import base64
from pathlib import Path

NAME = "navarch"
"""What cluster, user and context are called."""


def render(pki_directory: Path, server_url: str) -> str:
    """The administrator's kubeconfig, as YAML; the directory has ``ca.crt``, ``admin.crt`` and ``admin.key``."""
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: {NAME}
  cluster:
    certificate-authority-data: {_embedded(pki_directory / "ca.crt")}
    server: {server_url}
users:
- name: {NAME}
  user:
    client-certificate-data: {_embedded(pki_directory / "admin.crt")}
    client-key-data: {_embedded(pki_directory / "admin.key")}
contexts:
- name: {NAME}
  context:
    cluster: {NAME}
    user: {NAME}
current-context: {NAME}
preferences: {{}}
"""


def _embedded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
