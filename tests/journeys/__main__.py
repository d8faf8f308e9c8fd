"""``make journey``."""

from tests.journeys.the_path import main

main()
