"""The hosts of a TPU slice are counted by the variables and the server that JAX asks too."""

import http.server
import threading

import pytest

from train.runtime.tpu_slice import count_hosts

SKIP = {"TPU_SKIP_MDS_QUERY": "1"}  # as on Colab; the tests ask nobody


@pytest.mark.parametrize(
    ("environment", "devices", "chips", "hosts"),
    [
        ({}, 16, 0, 1),  # no TPU
        (SKIP, 2, 1, 1),  # Colab's only chip
        (SKIP, 8, 4, 1),  # v3: two devices a chip
        ({}, 4, 4, 1),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, 8, 4, 1),
        ({"TPU_WORKER_HOSTNAMES": ""}, 8, 4, 1),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, 8, 4, 2),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, 8, 0, 1),  # a pod without a chip
        ({"TPU_PROCESS_ADDRESSES": "a:1,b:1,c:1,d:1", "TPU_WORKER_HOSTNAMES": "a"}, 16, 4, 4),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "MEGASCALE_NUM_SLICES": "2"}, 16, 4, 4),
        ({"TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_NUM_SLICES": "3"}, 12, 4, 3),
    ],
)
def test_hosts_are_counted_by_the_variables_of_gke(environment, devices, chips, hosts):
    assert count_hosts(environment, devices, chips) == hosts


def test_hosts_are_counted_by_the_file_of_gke(tmp_path):
    path = tmp_path / "addresses"
    path.write_text("a:8471,b:8471\n")
    assert count_hosts({"TPU_PROCESS_ADDRESSES_PATH": str(path)}, 8, 4) == 2


@pytest.fixture
def metadata_server():
    """A server with the answer that it is given; it keeps what it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append((self.path, self.headers["Metadata-Flavor"]))
            self.send_response(200 if server.answer else 404)
            self.end_headers()
            self.wfile.write(server.answer.encode())

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.answer, server.asked = "", []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("answer", "hosts"),
    [("a,b,c,d", 4), ("unknown:unknown:10.0.0.2,unknown:unknown:10.0.0.3", 2), ("a", 1), ("", 1)],
)
def test_the_metadata_server_tells_the_hosts_of_a_slice(answer, hosts, metadata_server):
    metadata_server.answer = answer
    environment = {"GCE_METADATA_IP": f"127.0.0.1:{metadata_server.server_port}"}
    assert count_hosts(environment, 16, 4) == hosts
    path = "/computeMetadata/v1/instance/attributes/worker-network-endpoints"
    assert metadata_server.asked == [(path, "Google")]


@pytest.mark.parametrize(("devices", "chips", "more"), [(4, 4, {}), (16, 0, {}), (16, 4, SKIP)])
def test_nobody_is_asked_about_one_host(devices, chips, more, metadata_server):
    metadata_server.answer = "a,b"
    environment = {"GCE_METADATA_IP": f"127.0.0.1:{metadata_server.server_port}"} | more
    assert count_hosts(environment, devices, chips) == 1
    assert metadata_server.asked == []


def test_a_server_that_is_not_there_means_one_host():
    assert count_hosts({"GCE_METADATA_IP": "127.0.0.1:9"}, 16, 4) == 1
