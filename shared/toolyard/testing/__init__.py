"""Suites and fakes for those who write a transport, a store or an executor kind. Imported by tests only."""
