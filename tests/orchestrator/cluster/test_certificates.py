"""Certificates of a cluster with TLS, made by the real openssl."""

import shutil

import pytest

from orchestrator.cluster.certificates import make


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl command")
def test_a_cluster_may_have_the_longest_name():
    made = make("x" * 200, {"mac1": "10.0.0.1"})
    assert made["mac1"]["ca.crt"].startswith("-----BEGIN CERTIFICATE")
