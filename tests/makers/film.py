"""Made chest films for tests: the demo region's generator."""

from portal.demo_films import Flaw, Sign, make_film

__all__ = ["Flaw", "Sign", "make_film"]
