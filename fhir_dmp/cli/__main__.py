"""`python -m fhir_dmp.cli`, for a machine where the script is not on the path."""

from fhir_dmp.cli import main

main()
