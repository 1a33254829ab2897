"""`python -m downhaul_server.cli`."""

from downhaul_server.cli import main

main(prog_name="downhaul-server")
