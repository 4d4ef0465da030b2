"""The version of dbtorch, where it takes no time to look it up."""

VERSION = "0.1.0"
