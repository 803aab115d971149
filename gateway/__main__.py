"""`python -m gateway`: the command line, for where its script is not on the path."""

from gateway.cli import main

main(prog_name="fhir-anchor")
