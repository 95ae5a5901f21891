"""A real SLURM of two nodes on this machine, for `benchmarks.schedulers`. Needs root."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from train.config.errors import Ended

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")

_CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
# A requeued job waits for as long as its credential is valid.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/linear
SlurmdParameters=config_overrides
SlurmdTimeout=6
KillWait=20
ReturnToService=2
NodeName={nodes[0]} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4
NodeName={nodes[1]} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def missing() -> str | None:
    """Return what is missing to start one, None if it can be started."""
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    if programs:
        return f"{', '.join(programs)} not installed (Debian's slurm-wlm and munge)"
    return None if os.geteuid() == 0 else "not root"


class LoopbackSlurm:
    """A controller and the daemons of two nodes, which bear two addresses of this machine."""

    def __init__(self, folder: Path) -> None:
        """Start all in an empty folder."""
        self.folder, self.nodes = folder, ("127.0.0.1", "127.0.0.2")
        (folder / "state").mkdir()
        self.configuration = folder / "slurm.conf"
        ports = [_free_port() for _ in range(3)]
        values = {
            "folder": folder,
            "ports": ports,
            "host": socket.gethostname(),
            "nodes": self.nodes,
        }
        self.configuration.write_text(_CONFIGURATION.format(**values))
        self.environment = os.environ | {"SLURM_CONF": str(self.configuration)}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        try:
            self._start_all(key)
        except TimeoutError as error:
            self.__exit__()
            raise Ended(f"SLURM: {error}; its daemons said:\n{self.said()}", 1) from None

    def _start_all(self, key: Path) -> None:
        folder = self.folder
        munge = ["munged", "--foreground", "--force", f"--key-file={key}"]
        munge += [f"--{name}-file={folder}/munge.{name}" for name in ("log", "pid", "seed")]
        self._start("munge", *munge, f"--socket={folder}/munge.socket")
        _wait_for((folder / "munge.socket").exists, "munged", 30)
        self._start("slurmctld", "slurmctld", "-D", "-c")
        for node in self.nodes:
            self.start_node(node)
        _wait_for(lambda: self.run("sinfo", "-ho", "%T").split() == ["idle"], "the nodes", 60)

    def __enter__(self) -> "LoopbackSlurm":
        """Return it, to be stopped at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Cancel all jobs and stop the daemons."""
        self.run("scancel", "--state=PENDING")
        self.run("scancel", "--state=RUNNING", "--signal=KILL", "--full")
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
            daemon.wait()

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        (self.folder / f"spool-{node}").mkdir(exist_ok=True)
        self._start(node, "slurmd", "-D", "-N", node)

    def kill_node(self, node: str) -> None:
        """Kill the daemon of a node; its tasks live on."""
        self._daemons[node].send_signal(signal.SIGKILL)
        self._daemons[node].wait()

    def run(self, *command: str) -> str:
        """Return what one of SLURM's commands prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return done.stdout

    def submit(self, batch_file: Path, folder: Path, **variables: str) -> str:
        """Submit a batch file to run in a folder; return the number of the job."""
        exported = ",".join(["ALL", *(f"{name}={value}" for name, value in variables.items())])
        return self.run(
            "sbatch", "--parsable", f"--chdir={folder}", f"--export={exported}", str(batch_file)
        ).strip()

    def job(self, number: str) -> tuple[str, int]:
        """Return the state of a job, and how often it was requeued."""
        text = self.run("scontrol", "show", "job", number)
        found = re.search(r"JobState=(\w+).*Restarts=(\d+)", text, re.DOTALL)
        return (found[1], int(found[2])) if found else ("UNKNOWN", 0)

    def said(self) -> str:
        """Return the last lines of what the daemons have printed."""
        lines = [
            line for path in self.folder.glob("*.out") for line in path.read_text().splitlines()
        ]
        return "\n".join(lines[-9:])

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("w") as output:
            self._daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("", 0))
        return server.getsockname()[1]


def _wait_for(condition: Callable[[], bool], what: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not ready after {seconds:.0f} s")
        time.sleep(0.2)
