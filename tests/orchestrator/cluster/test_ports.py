"""A port is taken if a program listens there on any address, whatever a bind would say."""

import socket

import pytest

from orchestrator.cluster.on_host.ray import is_taken


class Bsd(socket.socket):
    """A socket that may have a port which another one has on a single address."""

    def bind(self, address):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("kind", [socket.socket, Bsd])
def test_a_listener_is_found_where_bind_would_hide_it(address, kind, monkeypatch):
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(socket, "socket", kind)
        assert is_taken(port)
    monkeypatch.setattr(socket, "socket", socket.socket)


def test_a_port_where_nobody_listens_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not is_taken(port)
