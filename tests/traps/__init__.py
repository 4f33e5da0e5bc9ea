"""One named test for each mistake that a library shipped, a file for each area."""
