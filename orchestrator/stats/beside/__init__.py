"""What stands beside a single test: its power, looking again, estimates. Imports the tests."""
