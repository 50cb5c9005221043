"""A shell on this very machine, with a home folder and programs of a test's own."""

import subprocess

from edge_tester.core.deploying.shell import Answer


class LocalShell:
    """Runs scripts by this machine's sh; see :class:`edge_tester.core.deploying.shell.Shell`."""

    place = "pi@here"

    def __init__(self, home, path, **variables):
        self.environment = {"HOME": str(home), "PATH": str(path), **variables}

    def run(self, script, arguments=(), content=None, limit_s=60.0):
        process = subprocess.Popen(
            ["/bin/sh", "-c", script, *arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        # Standard input stays open until the script ends.
        if content is not None:
            process.stdin.write(content.read())
            process.stdin.flush()
        output, errors = process.stdout.read(), process.stderr.read()
        status = process.wait(limit_s)
        process.stdin.close()
        return Answer(status, output.decode(), errors.decode())
