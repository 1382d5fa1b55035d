"""What tests of several packages share: conformance suites and counterparties."""
