"""A PostgreSQL server of Debian's for a benchmark, in a temporary directory, as the user postgres if this is root."""

import contextlib
import os
import pwd
import socket
import subprocess
import tempfile
from pathlib import Path

programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def server(program, *arguments):
    subprocess.run([programs / program, *arguments], check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def database():
    """Gives a function that makes one database more for each number, and returns its URL: of a Unix socket, as a database on the
    same machine is reached. On the loopback interface the machine's congestion control paces what the server sends."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        os.chmod(folder, 0o777)
        data = f"{folder}/data"
        server("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        server("pg_ctl", "-D", data, "-l", f"{folder}/log", "-o", options, "-w", "start")

        def url(number):
            server("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", f"rosterd{number}")
            return f"postgres:///rosterd{number}?host={folder}&port={port}&user=postgres"

        try:
            yield url
        finally:
            server("pg_ctl", "-D", data, "-m", "fast", "stop")
